"""The time a network takes, measured on a small part where whole pictures would take long."""

from __future__ import annotations

import time

import torch

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.pipeline.tiling import TiledRunner

# (height, width) of the part. A CPU takes as long for each of its pixels as for those of a whole.
PART = (128, 192)
# A network restores only a part if the whole frames of a dry run would take longer.
LONGEST_SECONDS = 8.0


def is_large(runner: Runner, size: tuple[int, int]) -> bool:
    """Whether measuring a part pays: on a GPU a picture is done at once."""
    return runner.info.device == "cpu" and size[0] * size[1] > 4 * PART[0] * PART[1]


def frame_seconds(runner: Runner, size: tuple[int, int]) -> float:
    """How long a picture of (height, width) will take, by the time that a part of it takes.

    Args:
        runner: as it would restore whole pictures, in tiles or not.
    """
    work, encodings = size[0] * size[1], 1
    if isinstance(runner, TiledRunner):
        height, width = runner.tiling.tile_size
        work = runner.tiling.count * height * width
        encodings = 1 if runner.hold else runner.length
        runner = runner.runner
    picture = torch.rand(1, 3, *PART)
    features = [runner.encode(picture)] * runner.length  # also warms the network
    started = time.monotonic()
    runner.encode(picture)
    encoded = time.monotonic()
    runner.restore(features)
    restored = time.monotonic()
    seconds = encodings * (encoded - started) + restored - encoded
    return seconds * work / (PART[0] * PART[1])
