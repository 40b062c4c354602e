"""The README's moving picture: before and after under a wipe that swings from side to side.

python docs/moving_picture.py docs/demo.mp4 restored.mp4 docs/before_after.webp
"""

import math
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vsrdb_cli.comparison.versions import enlarged
from vsrdb_cli.evaluation.pairs import together
from vsrdb_cli.video.reading.open import open_source

RATE = 10  # frames a second: as fast as the camera moved, which took 30 and lost two of three
SWING = 0.36  # of the width, to either side of the middle
QUALITY = 72


def main(before: Path, after: Path, target: Path) -> None:
    """Write `target`, an animated WebP picture that repeats."""
    with open_source(before) as small, open_source(after) as large:
        size = large.info.height, large.info.width
        pairs = [(enlarged(a.rgb, size), b.rgb) for a, b in together([small, large])]
    pictures = []
    for index, pair in enumerate(pairs):
        left, right = (Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy()) for rgb in pair)
        swing = SWING * math.sin(2 * math.pi * index / len(pairs))
        column = round(right.width * (0.5 + swing))
        right.paste(left.crop((0, 0, column, left.height)), (0, 0))
        draw_wipe(right, column)
        pictures.append(right)
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=1000 // RATE,
        loop=0,
        quality=QUALITY,
        method=6,
    )


def draw_wipe(picture: Image.Image, column: int) -> None:
    """The line between the two, and what they are."""
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rectangle((column - 1, 0, column, picture.height), "white")
    font = ImageFont.load_default(18)
    for text, place, anchor in (
        ("bicubic", (18, 15), "lt"),
        ("vsrdb", (picture.width - 18, 15), "rt"),
    ):
        x0, y0, x1, y1 = draw.textbbox(place, text, font, anchor)
        draw.rounded_rectangle((x0 - 10, y0 - 7, x1 + 10, y1 + 7), 10, (0, 0, 0, 150))
        draw.text(place, text, "white", font, anchor)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
