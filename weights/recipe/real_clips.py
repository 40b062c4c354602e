"""Make blurred LR versions of sharp real clips, with their truth, for measuring.

Every `--step`-th source frame is restored's truth; its blurry LR frame is the mean in linear light
over 0.8 of the time between two truths, of flow-interpolated moments, then bicubic x4 down with
antialiasing. With `--sharp` the truth, then from the first frame on, is downscaled only.

    python -m recipe.real_clips --out CLIPS/blur3 --step 3 gopro_walk.mp4 ...

writes CLIPS/blur3/lr/gopro_walk/00000000.png ... and CLIPS/blur3/gt/gopro_walk/00000000.png ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from recipe.motion import pixel_grid
from recipe.photos import Array, to_codes, to_linear
from recipe.render import SCALE, downscale, to_bytes

SHUTTER = 0.8  # exposure, in parts of the time between two frames
MOMENTS = 13  # per exposure


class Interpolator:
    """A clip interpolated in time, in linear light; `time` counts source frames from 0."""

    def __init__(self, frames: list[NDArray[np.uint8]]) -> None:
        self._frames = frames
        self._flows: dict[tuple[int, int], Array] = {}
        self._finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def at(self, time: float) -> Array:
        first = min(int(np.floor(time)), len(self._frames) - 1)
        part = time - first
        if part < 1e-6:
            return to_linear(self._frames[first])
        before = self._moved(first, first + 1, part)
        after = self._moved(first + 1, first, 1 - part)
        return before * np.float32(1 - part) + after * np.float32(part)

    def _moved(self, source: int, target: int, part: float) -> Array:
        """Move frame `source` by `part` of its way to `target`, read backwards along the flow."""
        grid = pixel_grid(*self._frames[0].shape[:2])
        flow = self._flow(source, target)
        # The flow stands at the source's pixels; half-way pixels borrow it from where they came.
        there = cv2.remap(
            flow,
            grid - np.float32(part) * flow,
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return cv2.remap(
            to_linear(self._frames[source]),
            grid - np.float32(part) * there,
            None,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _flow(self, source: int, target: int) -> Array:
        if (source, target) not in self._flows:
            if len(self._flows) > 16:
                self._flows.clear()
            grey = [cv2.cvtColor(self._frames[i], cv2.COLOR_RGB2GRAY) for i in (source, target)]
            self._flows[source, target] = self._finder.calc(grey[0], grey[1], None)
        return self._flows[source, target]


def read_clip(file: Path) -> list[NDArray[np.uint8]]:
    """Read all frames, (H, W, 3) RGB, cropped to multiples of the scale."""
    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    height, width = (length // SCALE * SCALE for length in frames[0].shape[:2])
    return [np.ascontiguousarray(frame[:height, :width]) for frame in frames]


def make(file: Path, out: Path, step: int, *, sharp: bool, limit: int | None) -> int:
    """Write one clip's LR and truth pictures, and return their number."""
    frames = read_clip(file)
    reach = 0.0 if sharp else SHUTTER * step / 2
    first = int(np.ceil(reach))
    centres = range(first, len(frames) - first, step)[:limit]
    clip = Interpolator(frames)
    folders = [out / kind / file.stem for kind in ("lr", "gt")]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, centre in enumerate(centres):
        moments = centre + (np.linspace(-reach, reach, MOMENTS) if reach else np.zeros(1))
        light = np.mean([clip.at(moment) for moment in moments], axis=0, dtype=np.float32)
        pictures = (to_bytes(downscale(to_codes(light))), frames[centre])
        for folder, picture in zip(folders, pictures, strict=True):
            cv2.imwrite(str(folder / f"{number:08d}.png"), picture[..., ::-1])
    return len(centres)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+", help="sharp videos")
    parser.add_argument("--out", type=Path, required=True, help="folder for lr/ and gt/")
    parser.add_argument("--step", type=int, default=3, help="source frames per frame")
    parser.add_argument("--sharp", action="store_true", help="downscaled, not blurred")
    parser.add_argument("--limit", type=int, help="frames per clip at most")
    args = parser.parse_args()
    for file in args.clips:
        count = make(file, args.out, args.step, sharp=args.sharp, limit=args.limit)
        print(f"{file.stem}: {count} frames", flush=True)


if __name__ == "__main__":
    main()
