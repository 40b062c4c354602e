"""What restoring repeated frames once saves, and what their different neighbours gain.

    python tests/benchmarks/repeats.py [--weights NAME] [--frames N] [--slide N] [--turns N]

Makes three clips of photographs (of scikit-image): a pan, every frame of it twice; three slides;
and the pan once. The first two are restored as they are and with every frame taken for another
picture, in turns, and the processor time compared. Of the third, restored with bicubic at 640x360,
the share that comparing takes is printed. At last the pan, shown twice at several speeds, is
compared with the sharp photograph: PSNR over RGB, 16 HR pixels cut.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline import repeats
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.restore import restore_video
from vsrdb_cli.runtime import configure_runtime

sys.path.insert(0, str(Path(__file__).parents[1]))

from panned import decibels, panned

OPTIONS = RestoreOptions(tile=None, overwrite=True, segment_seconds=1e6)
STEPS = (2, 3, 5, 6, 7, 9, 10)  # HR pixels a frame; multiples of 4 show the same samples again


@contextmanager
def every_frame_by_itself() -> Iterator[None]:
    """Take every frame for another picture."""
    with patch.object(repeats, "is_equal", lambda one, other: False):
        yield


def photograph(name: str, height: int, width: int) -> Tensor:
    """(3, H, W), uint8."""
    picture = torch.from_numpy(np.ascontiguousarray(getattr(data, name)())).permute(2, 0, 1)
    resized = F.interpolate(picture[None].float(), size=(height, width), mode="bilinear")
    return resized[0].round().to(torch.uint8)


def save(path: Path, pictures: Sequence[Tensor]) -> Path:
    """Write pictures without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = pictures[0].shape[1:]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            array: NDArray[np.uint8] = picture.permute(1, 2, 0).contiguous().numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, "rgb24")))
        container.mux(stream.encode(None))
    return path


def pan(count: int, height: int, width: int) -> list[Tensor]:
    wide = photograph("astronaut", height, width + 3 * count)
    return [wide[..., 3 * i : 3 * i + width].contiguous() for i in range(count)]


def processor_seconds(source: Path, runner: Runner) -> float:
    began = time.process_time()
    restore_video(source, source.with_name("out.mkv"), OPTIONS, runner=runner)
    return time.process_time() - began


def compare(name: str, source: Path, runner: Runner, turns: int) -> None:
    """Print the processor time of a clip, every frame by itself and repeated ones once."""
    alone, once = [], []
    for _ in range(turns):
        with every_frame_by_itself():
            alone.append(processor_seconds(source, runner))
        once.append(processor_seconds(source, runner))
    ratio = median(alone) / median(once)
    print(f"{name}: {median(alone):.1f} s by itself, {median(once):.1f} s once, {ratio:.1f} times")


def comparing_share(source: Path) -> float:
    """Share of the processor time of a bicubic run that comparing takes."""
    spent = 0.0
    is_equal = repeats.is_equal

    def timed(one: Tensor, other: Tensor) -> bool:
        nonlocal spent
        began = time.thread_time()
        equal = is_equal(one, other)
        spent += time.thread_time() - began
        return equal

    with patch.object(repeats, "is_equal", timed):
        whole = processor_seconds(source, BuiltinRunner("bicubic"))
    return spent / whole


def shown_twice(step: int, runner: Runner, count: int = 5) -> tuple[float, float]:
    """Return PSNR of a pan shown twice: every frame by itself, and repeated ones once."""
    truths, small = panned(count, step)
    twice, shown = ([one for one in each for _ in range(2)] for each in (small, truths))

    def measured() -> float:
        return decibels(list(restore_frames(twice, runner))[2:-2], shown[2:-2])

    with every_frame_by_itself():
        alone = measured()
    return alone, measured()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", default="fmanet-xs")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--slide", type=int, default=125)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    configure_runtime()
    runner = load_runner(asked.weights, precision="float32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once = pan(asked.frames // 2, 90, 160)
        twice = save(folder / "twice.mkv", [one for one in once for _ in range(2)])
        compare("every frame twice", twice, runner, asked.turns)
        slides = [photograph(each, 90, 160) for each in ("astronaut", "chelsea", "coffee")]
        shown = save(folder / "slides.mkv", [one for one in slides for _ in range(asked.slide)])
        compare(f"3 slides of {asked.slide} frames", shown, runner, 1)
        moving = save(folder / "moving.mkv", pan(48, 360, 640))
        print(
            f"comparing: {comparing_share(moving):.3%} of a bicubic run of a moving clip, 640x360"
        )
    for step in STEPS:
        alone, seeing = shown_twice(step, runner)
        print(f"{step / 4:.2f} LR pixels a frame, shown twice: {alone:.3f} -> {seeing:.3f} dB")


if __name__ == "__main__":
    main()
