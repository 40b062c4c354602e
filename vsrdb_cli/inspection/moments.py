"""Read the frames to inspect, with the neighbours the network sees beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import Position
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
    """(1, 3, T, H, W), RGB float32, 0 to 1."""
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
        last = Fraction(source.info.duration_seconds or 0) - 1 / source.info.rate
        at = begin + max(Fraction(0), min(_BUSY_SECONDS, last - begin)) / 2
    first = index_of(source, at)
    detector = SceneCutDetector()
    # The detector recognises a cut by the motion before it, so it starts some frames earlier.
    earliest = max(0, first - length)
    frames = source.frames(earliest, first + count + length // 2)
    pictures = (
        (index, frame.pts, to_float(frame.rgb)) for index, frame in enumerate(frames, earliest)
    )
    windows = sliding_windows(pictures, length, lambda item: detector(item[2]))
    time_base = source.info.time_base
    for window in islice(windows, first - earliest, first - earliest + count):
        index, pts, _ = window[length // 2]
        wanted = range(index - length // 2, index + length // 2 + 1)
        yield Moment(
            index,
            float(pts * time_base),
            torch.stack([picture for _, _, picture in window], dim=1)[None],
            tuple(held[0] != place for held, place in zip(window, wanted, strict=True)),
        )
