"""Draw crops of what peers.py wrote side by side, each method under its name.

    python tests/benchmarks/peers_crops.py SHEET.png FOLDER/blur3/CLIP:550,310,160,90 ...

Each row is a folder of `peers.py --crops`, with left, top, width and height in HR pixels.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

METHODS = (
    *("bicubic", "unsharp_mask", "fmanet-xs", "SPAN_x4"),
    *("Real-ESRGAN_animevideov3", "Real-ESRGAN_x4plus", "truth"),
)
WIDTH, GAP, HEAD = 232, 4, 22  # of a column, between crops, for the names


def main(target: Path, rows: list[str]) -> None:
    """Write `target`, one row of crops for each of `rows`."""
    drawn = []
    for row in rows:
        folder, _, place = row.rpartition(":")
        left, top, width, height = map(int, place.split(","))
        size = WIDTH, round(WIDTH * height / width)
        box = left, top, left + width, top + height
        pictures = [Image.open(Path(folder) / f"{method}.png") for method in METHODS]
        drawn.append([picture.crop(box).resize(size, Image.NEAREST) for picture in pictures])
    heights = [row[0].height + GAP for row in drawn]
    across = (WIDTH + GAP) * len(METHODS) - GAP
    sheet = Image.new("RGB", (across, HEAD + sum(heights) - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, method in enumerate(METHODS):
        left = column * (WIDTH + GAP)
        pen.text((left + 2, 2), method.replace("_", " "), "black", font)
        top = HEAD
        for row, height in zip(drawn, heights, strict=True):
            sheet.paste(row[column], (left, top))
            top += height
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
