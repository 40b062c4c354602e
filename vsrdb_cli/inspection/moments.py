"""Read the frames to inspect, with the neighbours the network sees beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import Position
from vsrdb_cli.pipeline.repeats import runs, with_context
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.pipeline.windows import sliding_windows
from vsrdb_cli.video.frame import SeekableSource
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.trim import busiest, index_of

if TYPE_CHECKING:
    from vsrdb_cli.video.frame import FrameSource

# Without a time, the middle of the busiest stretch of this length is inspected.
_BUSY_SECONDS = Fraction(1)


@dataclass(frozen=True)
class Moment:
    """One frame and its window."""

    index: int
    """Of the centre frame, from 0."""
    seconds: float
    """When it is shown."""
    clip: Tensor
    """(1, 3, T, H, W), RGB float32, 0 to 1: the nearest different pictures of the shot."""
    mirrored: tuple[bool, ...]
    """For each of the T frames, True if it stands in for one beyond the end of the shot."""


def moments(
    source: FrameSource, length: int, *, at: Position | None = None, count: int = 1
) -> Iterator[Moment]:
    """Yield consecutive frames as a restoration of the whole source sees them.

    Args:
        source: the video.
        length: T, the frames of one window.
        at: the first frame; None is the middle of the busiest second, the one with most bytes.
        count: the number of frames; at the end of the source there are fewer.

    Raises:
        OptionError: the source has no frame there, or is a stream.
    """
    if not isinstance(source, SeekableSource):
        raise OptionError(
            "inspect needs a file, not a stream on stdin", hint="save the stream to a file first"
        )
    if at is None:
        begin = busiest(source, _BUSY_SECONDS)
        latest = Fraction(source.info.duration_seconds or 0) - 1 / source.info.rate
        at = begin + max(Fraction(0), min(_BUSY_SECONDS, latest - begin)) / 2
    first = index_of(source, at)
    last = first + count
    # The detector recognises a cut by the motion before it, so it starts some pictures earlier.
    frames = with_context(source, length, first, last)
    numbered = enumerate(runs((item, item[1].rgb) for item in frames))
    held = ((place, run, to_float(run.picture)) for place, run in numbered)
    detector = SceneCutDetector()
    time_base = source.info.time_base
    for window in sliding_windows(held, length, lambda item: detector(item[2])):
        centre, run, _ = window[length // 2]
        wanted = range(centre - length // 2, centre + length // 2 + 1)
        for index, frame in run.items:
            if first <= index < last:
                yield Moment(
                    index,
                    float(frame.pts * time_base),
                    torch.stack([picture for _, _, picture in window], dim=1)[None],
                    tuple(it[0] != place for it, place in zip(window, wanted, strict=True)),
                )
            if index >= last - 1:
                return
