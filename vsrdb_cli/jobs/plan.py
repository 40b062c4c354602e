"""The plan of a job: a first pass over the source finds where to divide it into segments."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.jobs.typed import fits
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.repeats import with_context
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
    """Frames that begin a shot, as a run without segments would have found them; also around a part
    of a video."""

    repeats: tuple[int, ...]
    """Frames of each segment that repeat the one before."""

    margin: int
    """Frames before and after a segment that hold the different pictures its windows reach."""

    @property
    def frames(self) -> int:
        return self.bounds[-1] - self.bounds[0]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(
            Segment(index, first, last) for index, (first, last) in enumerate(pairwise(self.bounds))
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "bounds": list(self.bounds),
            "cuts": sorted(self.cuts),
            "repeats": list(self.repeats),
            "margin": self.margin,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """Create a plan from what `to_json` returned.

        Raises:
            ValueError: the values are not valid.
        """
        lists = [values.get(name) for name in ("bounds", "cuts", "repeats")]
        margin = values.get("margin")
        if not (all(fits(each, list[int]) for each in lists) and fits(margin, int)):
            raise ValueError("the plan has values of wrong types")
        bounds, cuts, repeats = (each or () for each in lists)
        plan = cls(tuple(bounds), frozenset(cuts), tuple(repeats), margin or 0)
        rises = all(first < last for first, last in pairwise(plan.bounds))
        if len(plan.bounds) < 2 or plan.bounds[0] < 0 or not rises:
            raise ValueError("the plan's bounds do not rise")
        if len(plan.repeats) != len(plan.segments) or min(*plan.repeats, plan.margin) < 0:
            raise ValueError("the plan's repeats are not those of its segments")
        return plan


def plan_segments(
    reader: FrameSource,
    *,
    segment_seconds: float,
    scene_cuts: bool,
    reach: int,
    lead_in: int = 0,
    on_frame: Callable[[int], None] = ignore,
) -> Plan:
    """Decode a source once, without the network, and divide it.

    Args:
        segment_seconds: approximate length of a segment, in the video's own time.
        scene_cuts: end windows, and segments where possible, at scene cuts.
        reach: different pictures that a window sees on either side of its centre.
        lead_in: frames on either side of a segment that are restored as well, for filters.
        on_frame: called with the number of frames decoded so far.
    """
    detector = SceneCutDetector()
    count = reader.info.cut.count if reader.info.cut is not None else None
    times, changes = array("q"), array("q")
    cuts = []
    picture = None
    with Prefetch(with_context(reader, reach)) as frames:
        for index, frame in frames:
            if frame.rgb is not picture:
                picture = frame.rgb
                changes.append(index)
                # Also around a part of a video, which its windows reach.
                if scene_cuts and detector(to_float(picture)):
                    cuts.append(index)
            if index >= 0 and (count is None or index < count):
                times.append(frame.pts)
                on_frame(index + 1)
    length = Fraction(str(segment_seconds)) / reader.info.time_base
    bounds = divide(times, changes, cuts, length)
    repeats = tuple(
        last - first - 1 - (bisect_left(changes, last) - bisect_right(changes, first))
        for first, last in pairwise(bounds)
    )
    return Plan(bounds, frozenset(cuts), repeats, _margin(bounds, changes, reach, lead_in))


def _margin(bounds: Sequence[int], changes: Sequence[int], reach: int, lead_in: int) -> int:
    """Return how many frames before and after each segment hold `reach` different pictures.

    Args:
        changes: indices of the frames whose pictures differ from the one before, rising.
    """
    margin = reach
    if not reach:
        return margin
    for begin, end in pairwise(bounds):
        first, last = max(bounds[0], begin - lead_in), min(bounds[-1], end + lead_in)
        own = bisect_right(changes, first) - 1
        before = changes[max(own - reach + 1, 0)] - 1
        beyond = bisect_left(changes, last) + reach - 1
        after = changes[beyond] if beyond < len(changes) else bounds[-1] - 1
        margin = max(margin, first - before, after + 1 - last)
    return margin


def divide(
    times: Sequence[int], changes: Sequence[int], cuts: Sequence[int], length: Fraction
) -> tuple[int, ...]:
    """Return bounds of segments of about `length` ticks, moved to a scene cut where one is near.

    Args:
        times: of all frames, rising.
        changes: indices of the frames whose pictures differ from the one before, rising; those
            before or after all frames are ignored. A segment begins at one of them, so that no
            picture is restored twice, and none is a window's neighbour for itself.
        cuts: those of them that begin a shot.
    """
    bounds = [0]
    while True:
        start = times[bounds[-1]]
        # Never the segment's own first frame, however long that is shown.
        bound = max(bisect_left(times, start + length), bounds[-1] + 1)
        near = [
            cut
            for cut in cuts[bisect_left(cuts, bounds[-1] + 1) : bisect_left(cuts, len(times))]
            if abs(times[cut] - start - length) <= NEAR * length
        ]
        if near:
            bound = min(near, key=lambda cut: abs(times[cut] - start - length))
        change = bisect_left(changes, bound)
        bound = changes[change] if change < len(changes) else len(times)
        if bound >= len(times):
            return (*bounds, len(times))
        bounds.append(bound)
