"""Draw crops of the enlarged input, of the restoration and of the truth side by side.

    python -m recipe.crops LR GT --frame 5 --crop 250,120,220,160 -o crops.png

LR and GT are videos or folders of pictures, frame for frame; `--gt-frame` where they are not.
`--crop` is left, top, width, height in HR pixels; given again, each is a row of the picture.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from vsrdb_cli.backends import load_runner
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.open import open_source

GAP = 4


def frame_of(path: Path, index: int, reach: int) -> list[torch.Tensor]:
    """Read frames index - reach .. index + reach of a source, (3, H, W) float each."""
    with open_source(path) as source:
        return [to_float(frame.rgb) for frame in source.frames(index - reach, index + reach + 1)]


def restored(pictures: list[torch.Tensor], weights: str) -> torch.Tensor:
    """Restore the middle one of `pictures`."""
    frames = restore_frames(pictures, load_runner(weights), scene_cuts=False)
    return next(islice(frames, len(pictures) // 2, None))


def sheet(columns: list[torch.Tensor], crops: list[tuple[int, ...]], zoom: int) -> np.ndarray:
    """Place the crops of every column side by side, one row per crop; (H, W, 3), BGR, 8 bit."""
    rows = []
    for left, top, width, height in crops:
        parts = []
        for picture in columns:
            crop = picture[:, top : top + height, left : left + width].clamp(0, 1)
            pixels = (crop.permute(1, 2, 0).numpy()[:, :, ::-1] * 255).round().astype(np.uint8)
            parts.append(
                cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
            )
            parts.append(np.full((parts[0].shape[0], GAP, 3), 255, np.uint8))
        rows.append(np.hstack(parts[:-1]))
        rows.append(np.full((GAP, rows[0].shape[1], 3), 255, np.uint8))
    return np.vstack(rows[:-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lr", type=Path)
    parser.add_argument("gt", type=Path, nargs="?", help="left away: no third column")
    parser.add_argument("--frame", type=int, required=True)
    parser.add_argument("--gt-frame", type=int, help="index of the same moment in GT")
    parser.add_argument("--crop", action="append", required=True)
    parser.add_argument("--zoom", type=int, default=2)
    parser.add_argument("--weights", default="fmanet-xs")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    pictures = frame_of(arguments.lr, arguments.frame, 1)
    columns = [restored(pictures, "bicubic"), restored(pictures, arguments.weights)]
    if arguments.gt:
        index = arguments.frame if arguments.gt_frame is None else arguments.gt_frame
        columns += frame_of(arguments.gt, index, 0)
    crops = [tuple(map(int, crop.split(","))) for crop in arguments.crop]
    cv2.imwrite(str(arguments.output), sheet(columns, crops, arguments.zoom))


if __name__ == "__main__":
    main()
