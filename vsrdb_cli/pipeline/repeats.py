"""Repeated frames: runs of equal pictures, and the different pictures around a range of frames.

Windows are formed over runs, so that a picture is restored once, however often it is shown, and its
neighbours are the nearest different pictures of the shot.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from vsrdb_cli.video.frame import Frame, FrameSource

Item = TypeVar("Item")

# Bytes compared at once: few, because pictures of moving video differ early; and of them the first
# are fewer still.
_BLOCK = 64 << 10
_FIRST = 4 << 10
# How many times more frames are read before a range once those were too few.
_WIDER = 8


@dataclass
class Run(Generic[Item]):
    """Frames in a row with equal pictures."""

    picture: Tensor
    """(3, H, W), as it was given."""

    items: list[Item] = field(default_factory=list)
    """One for each frame."""


def runs(pictures: Iterable[tuple[Item, Tensor]]) -> Iterator[Run[Item]]:
    """Collect (item, picture) pairs into runs; each is yielded once its last frame is known.

    One picture is held of each run, however long.
    """
    run: Run[Item] | None = None
    for item, picture in pictures:
        if run is None or not is_equal(run.picture, picture):
            if run is not None:
                yield run
            run = Run(picture)
        run.items.append(item)
    if run is not None:
        yield run


def is_equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two pictures on the CPU are equal in size, type and every bit."""
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    ours, theirs = _bytes(one), _bytes(other)
    begin, end = 0, _FIRST
    while begin < len(ours):
        if not np.array_equal(ours[begin:end], theirs[begin:end]):
            return False
        begin, end = end, end + _BLOCK
    return True


def _bytes(picture: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return picture.contiguous().numpy().reshape(-1).view(np.uint8)


def shared(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames; those whose pictures are equal to the one before share its tensor."""
    picture: Tensor | None = None
    for frame in frames:
        if picture is not None and is_equal(picture, frame.rgb):
            yield replace(frame, rgb=picture)
        else:
            picture = frame.rgb
            yield frame


def with_context(
    source: FrameSource,
    reach: int,
    first: int = 0,
    last: int | None = None,
    *,
    margin: int | None = None,
) -> Iterator[tuple[int, Frame]]:
    """Yield a range of a source's frames, and those around it that its windows reach.

    Before the range these are the frames from `reach` different pictures before its first picture
    on, and after it those until `reach` other pictures have begun. Repeated frames are `shared`.

    Args:
        reach: different pictures that a window sees on either side of its centre.
        first, last: the range, by indices `first` <= i < `last`; None is the source's end.
        margin: frames before the range that are known to suffice; without it as few are read as
            suffice where none repeats, and more where some do.

    Yields:
        (index, frame), rising.
    """
    cut = source.info.cut
    if last is None and cut is not None:
        last = cut.count
    # Of a part, None would mean its end, and not the frames behind it.
    end = None if last is None else sys.maxsize
    earliest = -source.info.frames_before
    margin = reach if margin is None else margin
    while True:
        begin = max(earliest, first - margin)
        frames = enumerate(shared(source.frames(begin, end)), begin)
        before = _runs_until(first, frames, reach + 1)
        if len(before) > reach or begin == earliest:
            break
        margin *= _WIDER
    picture: Tensor | None = None
    beyond = 0
    for index, frame in chain((item for run in before for item in run), frames):
        yield index, frame
        if last is not None and index >= last - 1:
            beyond += index >= last and frame.rgb is not picture
            if beyond == reach:
                return
        picture = frame.rgb


def _runs_until(
    first: int, frames: Iterator[tuple[int, Frame]], count: int
) -> Sequence[list[tuple[int, Frame]]]:
    """Read shared frames up to `first`; return the last `count` runs of them."""
    kept: deque[list[tuple[int, Frame]]] = deque(maxlen=count)
    for index, frame in frames:
        if not kept or frame.rgb is not kept[-1][0][1].rgb:
            kept.append([])
        kept[-1].append((index, frame))
        if index == first:
            break
    return kept
