"""Measure the time a network takes on a small part of a picture."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.pipeline.tiling import TiledRunner

# (height, width) of the part. A CPU takes the same time per pixel for it as for a whole picture.
PART = (128, 192)


def is_large(runner: Runner, size: tuple[int, int]) -> bool:
    """Return whether to measure a part; a GPU restores whole pictures quickly."""
    return runner.info.device == "cpu" and size[0] * size[1] > 4 * PART[0] * PART[1]


def frame_seconds(
    runner: Runner,
    size: tuple[int, int],
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Estimate the time of a picture from that of a part.

    Args:
        runner: restores whole pictures, or in tiles.
        size: (height, width) of the picture, in LR pixels.
        clock: returns the time in seconds.
    """
    work, encodings = size[0] * size[1], 1
    if isinstance(runner, TiledRunner):
        height, width = runner.tiling.tile_size
        work = runner.tiling.count * height * width
        encodings = 1 if runner.hold else runner.length
        runner = runner.runner
    picture = torch.rand(1, 3, *PART)
    features = [runner.encode(picture)] * runner.length  # also warms up the network
    started = clock()
    runner.encode(picture)
    encoded = clock()
    runner.restore(features)
    restored = clock()
    seconds = encodings * (encoded - started) + restored - encoded
    return seconds * work / (PART[0] * PART[1])
