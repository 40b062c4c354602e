"""The first pass over a source: its scene cuts, its number of frames, and where to divide it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from vsrdb_cli.jobs.typed import fits
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.pixels.colour import to_float

# A segment ends at a scene cut where one lies within this share of its length.
NEAR = Fraction(1, 4)


@dataclass(frozen=True)
class Segment:
    """Frames `first` <= i < `last` of the source; index counts segments from 0."""

    index: int
    first: int
    last: int | None

    @property
    def count(self) -> int | None:
        """None for all there are."""
        return None if self.last is None else self.last - self.first


# A source that is not divided.
WHOLE = Segment(0, 0, None)


@dataclass(frozen=True)
class Plan:
    """A whole job, divided.

    bounds: the first frame of each segment, then the number of frames.
    cuts: the frames that begin a shot, as an unbroken run would have found them.
    """

    bounds: tuple[int, ...]
    cuts: frozenset[int]

    @property
    def frames(self) -> int:
        return self.bounds[-1] - self.bounds[0]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(
            Segment(index, first, last) for index, (first, last) in enumerate(pairwise(self.bounds))
        )

    def to_json(self) -> dict[str, Any]:
        return {"bounds": list(self.bounds), "cuts": sorted(self.cuts)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """What `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        bounds, cuts = values.get("bounds"), values.get("cuts")
        if not (fits(bounds, list[int]) and fits(cuts, list[int])):
            raise ValueError("the plan is not what it should be")
        plan = cls(tuple(bounds or ()), frozenset(cuts or ()))
        rises = all(first < last for first, last in pairwise(plan.bounds))
        if len(plan.bounds) < 2 or plan.bounds[0] < 0 or not rises:
            raise ValueError("the plan's bounds do not rise")
        return plan


def plan_segments(
    reader: FrameSource,
    *,
    segment_seconds: float,
    scene_cuts: bool,
    on_frame: Callable[[int], None] = lambda frames: None,  # noqa: ARG005
) -> Plan:
    """Decode the source once, without the network.

    Args:
        segment_seconds: how long a segment is, about, in the video's own time.
        scene_cuts: whether windows, and segments where possible, end at scene cuts.
        on_frame: called with the number of frames seen so far.
    """
    detector = SceneCutDetector()
    times = array("q")
    cuts = []
    # One frame before a part of a video tells whether the part begins with a cut.
    begin = -min(1, reader.info.frames_before)
    with Prefetch(reader.frames(begin)) as frames:
        for index, frame in enumerate(frames, begin):
            cut = scene_cuts and detector(to_float(frame.rgb))
            if index < 0:
                continue
            if cut:
                cuts.append(index)
            times.append(frame.pts)
            on_frame(index + 1)
    length = Fraction(str(segment_seconds)) / reader.info.time_base
    return Plan(divide(times, cuts, length), frozenset(cuts))


def divide(times: Sequence[int], cuts: Sequence[int], length: Fraction) -> tuple[int, ...]:
    """Bounds of segments of about `length` ticks, moved to the nearest scene cut that is near.

    Args:
        times: of all frames, rising.
        cuts: indices of frames, rising.
    """
    bounds = [0]
    while True:
        start = times[bounds[-1]]
        # Never at the segment's own first frame, however long that is shown.
        bound = max(bisect_left(times, start + length), bounds[-1] + 1)
        near = [
            cut
            for cut in cuts[bisect_left(cuts, bounds[-1] + 1) :]
            if abs(times[cut] - start - length) <= NEAR * length
        ]
        if near:
            bound = min(near, key=lambda cut: abs(times[cut] - start - length))
        if bound >= len(times):
            return (*bounds, len(times))
        bounds.append(bound)
