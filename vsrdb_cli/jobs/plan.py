"""The plan of a job: a first pass over the source finds where to divide it into segments."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.jobs.typed import fits
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.pixels.colour import to_float

# A segment ends at a scene cut where one lies within this share of its length.
NEAR = Fraction(1, 4)


@dataclass(frozen=True)
class Segment:
    """The frames with index `first` <= i < `last` of a source."""

    index: int
    """Number of the segment, counted from 0."""

    first: int
    last: int | None
    """None for the source's end."""

    @property
    def count(self) -> int | None:
        """Number of frames; None for all there are."""
        return None if self.last is None else self.last - self.first


# A source that is not divided.
WHOLE = Segment(0, 0, None)


@dataclass(frozen=True)
class Plan:
    """The segments of a whole job."""

    bounds: tuple[int, ...]
    """The first frame of each segment, then the number of frames."""

    cuts: frozenset[int]
    """Frames that begin a shot, as a run without segments would have found them."""

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
        """Create a plan from what `to_json` returned.

        Raises:
            ValueError: the values are not valid.
        """
        bounds, cuts = values.get("bounds"), values.get("cuts")
        if not (fits(bounds, list[int]) and fits(cuts, list[int])):
            raise ValueError("the plan has values of wrong types")
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
    on_frame: Callable[[int], None] = ignore,
) -> Plan:
    """Decode a source once, without the network, and divide it.

    Args:
        segment_seconds: approximate length of a segment, in the video's own time.
        scene_cuts: end windows, and segments where possible, at scene cuts.
        on_frame: called with the number of frames decoded so far.
    """
    detector = SceneCutDetector()
    times = array("q")
    cuts = []
    # The frame before a part of a video shows whether the part begins with a cut.
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
    """Return bounds of segments of about `length` ticks, moved to a scene cut where one is near.

    Args:
        times: of all frames, rising.
        cuts: indices of frames, rising.
    """
    bounds = [0]
    while True:
        start = times[bounds[-1]]
        # Never the segment's own first frame, however long that is shown.
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
