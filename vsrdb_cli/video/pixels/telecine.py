"""Find film in interlaced video, and bring its frames back.

A telecine shows 24 frames of film in 30 of video: by two and three fields in turn (3:2 pulldown).
Every fifth field then repeats the last but one, and only fields of the same film frame weave
without combs. Where the cadence lies is decided for a whole video at once, by the likeliest path
through it (Viterbi's algorithm): still scenes, in which any cadence is right, keep that of the
scenes around them, and the same frames come out wherever reading begins. FFmpeg's fieldmatch and
decimate decide by a few frames at a time, so that a still scene may lose any frame of five.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from vsrdb_cli.video.pixels.fields import same_size
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.interlacing import (
    COMB_SHARE,
    Planar,
    both_weaves,
    combs_of_moments,
    moved_pixels,
    some_columns,
)
from vsrdb_cli.video.pixels.pixel_formats import plane_rows

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray
    from torch import Tensor

# How many fields show each film frame, in turn: 3:2 pulldown, and that of cameras for 24p on DV.
CADENCES = ((3, 2), (2, 3, 3, 2))
# Frames of film for a frame of video.
FRAMES_OF_FILM = Fraction(4, 5)
# Film frames at an even rate begin at quarters of a video frame.
QUARTERS = 4

# Frames of video a second; 30 is near enough.
_RATE = Fraction(30000, 1001)
_RATE_TOLERANCE = Fraction(1, 500)

# Columns of a picture that are compared; these suffice.
_COLUMNS = 240
# Fields are compared in blocks, by those that changed most: one of 50, or a few. Not even a small
# title may move where a field repeats another.
_BLOCK = 8
_OF_BLOCKS = 50
_FEWEST_BLOCKS = 4
# What a change is measured against, in 8-bit codes; less is rounding.
_LEAST_CHANGE = 0.5
# The most that a field counts for or against a cadence. The unit is that of natural logarithms: a
# repeated field that changed a 20th as much as the other one, or combs as bad as any nearby.
_MOST = 3.0
# Combs nearly as bad as the worst nearby, in this share of the picture, are worse than a break.
_AS_BAD = 0.9
_OBVIOUS = 1e-3
# What it costs to begin another cadence, or video: less than half a second of motion proves.
_BREAK = 8.0
# What a field costs as video: more than one of film, and less than combs.
_VIDEO = 0.6
# A repeat changes less than half as much as the other field. Where there is none although the other
# one changes clearly, by these codes, the picture moves on without a repeat, which costs this.
_REPEATS = -0.7
_CLEARLY = 8.0
_MOVES_ON = 2.0
# Repeats that prove a cadence, where the other field changes visibly, by these codes.
_FEWEST_REPEATS = 3
_VISIBLY = 2.0
# What changes by as many codes is no repeat: coding at CRF 32 changes one by up to 21.
_NO_REPEAT = 25.0
# As many missed in a row, over a second, show something that moves on: a title that scrolls over
# film, for example. Coding at CRF 32 misses up to 12.
_MOST_MISSED = 15
# An unbroken cadence lasts for as many video frames on average, or it is another one.
_FEWEST_UNBROKEN = 30

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a film with an unbroken cadence; ends where the next one begins."""

    first: int
    """Its first field, counted from the video's first."""
    cadence: tuple[int, ...]
    """One of `CADENCES`."""
    place: int
    """Where in the cadence it begins, in fields."""

    def frames(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield first field, number of fields and time of its film frames, up to a field.

        The time is in quarters of a video frame. Frames of which only one field is there are left
        out: it is shown for a 60th of a second.
        """
        starts = (0, *accumulate(self.cadence))
        cycle = self.first - self.place  # the field with which the running cycle begins
        while cycle < end:
            for number, (start, following) in enumerate(pairwise(starts)):
                first, last = max(self.first, cycle + start), min(end, cycle + following)
                if last - first > 1:
                    yield first, last - first, 2 * cycle + 5 * number
            cycle += starts[-1]


class FilmFrame(NamedTuple):
    """A frame of film, as fields of a video."""

    field: int
    """The first field that shows it, counted from the video's first."""
    fields: int
    """How many fields do."""
    quarters: int
    """When it is shown at an even rate, in quarters of a video frame from the video's beginning."""

    @property
    def complete(self) -> int:
        """Number of the video frame with which it is complete."""
        return (self.field + 1) // 2

    @property
    def divided(self) -> bool:
        """True if no single video frame holds both of its fields."""
        return self.field % 2 == 1 and self.fields == 2


@dataclass(frozen=True, slots=True)
class Film:
    """Where the frames of a film lie in a telecined video."""

    top_first: bool
    """Whether the upper field of a video frame is shown first."""
    fields: int
    """The number of fields of the video."""
    sections: tuple[Section, ...]

    @property
    def count(self) -> int:
        """Number of its frames."""
        return sum(1 for _ in self.frames())

    def frames(self) -> Iterator[FilmFrame]:
        """Yield its frames; the first one is shown from the video's beginning on."""
        delay: int | None = None
        ends = (*(section.first for section in self.sections[1:]), self.fields)
        for section, end in zip(self.sections, ends, strict=True):
            for field, count, quarters in section.frames(end):
                if delay is None:
                    delay = -quarters
                yield FilmFrame(field, count, quarters + delay)

    def along(self, entries: Iterable[Item]) -> Iterator[tuple[FilmFrame, Item, Item]]:
        """Yield its frames along with the video's.

        Args:
            entries: one for each frame of the video, in order.

        Yields:
            A frame, and the entries of the video frames in which it begins and is complete.
        """
        frames = self.frames()
        wanted = next(frames, None)
        before: Item | None = None
        for number, entry in enumerate(entries):
            if wanted is not None and wanted.complete == number:
                begin = before if wanted.field % 2 and before is not None else entry
                yield wanted, begin, entry
                wanted = next(frames, None)
            before = entry


class FieldWeaver:
    """Weaves the frames of a film that are divided between two frames of video."""

    def __init__(self, *, top_first: bool) -> None:
        self._first = 0 if top_first else 1  # the line with which a frame's first field begins
        self._copy = FilterChain(("copy", ""))

    def __call__(self, before: VideoFrame, frame: VideoFrame) -> VideoFrame:
        """Return a frame with the first field replaced in `before`, by that of the next `frame`."""
        if not same_size(before, frame):
            return frame
        (woven,), (other,) = self._copy.push(before), self._copy.push(frame)
        for plane, source in zip(woven.planes, other.planes, strict=True):
            plane_rows(plane)[self._first :: 2] = plane_rows(source)[self._first :: 2]
        return woven


def has_telecined_rate(rate: Fraction | None) -> bool:
    """Return whether video of a frame rate may be film in 3:2 pulldown."""
    return rate is not None and abs(rate / _RATE - 1) <= _RATE_TOLERANCE


class Finding(NamedTuple):
    """What was found in a video."""

    film: Film | None = None
    """Where its frames lie; None unless all of it is film."""
    in_part: bool = False
    """True if it is film, but not all of it."""


class CadenceFinder:
    """Finds the cadence of a video whose frames it is shown one after another."""

    def __init__(self) -> None:
        self._planar = Planar()
        self._before: Tensor | None = None
        self._changes = array("d")  # of the upper and the lower field
        self._combs = array("d")  # in the frame, and with either field of the frame before
        self._samples = 1

    def push(self, frame: VideoFrame) -> None:
        """Look at the next frame."""
        lines = some_columns(self._planar(frame), _COLUMNS)
        before = self._before
        if before is None or before.shape != lines.shape:
            before = lines
        self._changes.extend(_changes(before, lines))
        moved = moved_pixels(lines, before)
        with_top, with_bottom = both_weaves(lines, before)
        for woven in (lines, with_bottom, with_top):
            self._combs.append(int((combs_of_moments(woven) & moved).sum()))
        self._before, self._samples = lines, lines.numel()

    def finding(self) -> Finding:
        """Return what was found in the frames seen."""
        changes = np.frombuffer(self._changes).reshape(-1, 2)
        combed = np.frombuffer(self._combs).reshape(-1, 3)
        if len(changes) < 2:
            return Finding()
        paths = [_Path(changes, combed, self._samples, top_first=first) for first in (True, False)]
        return min(paths, key=lambda path: path.cost).finding()


def _changes(before: Tensor, lines: Tensor) -> list[float]:
    """Return how much the upper and the lower field of a frame changed, in codes."""
    change = (lines - before).abs().to(torch.float32)
    height = len(change) // 2
    if not height:
        return [0.0, 0.0]
    fields = torch.stack((change[: 2 * height : 2], change[1 : 2 * height : 2]))
    blocks = avg_pool2d(fields[None], (min(_BLOCK, height), min(_BLOCK, lines.shape[1])))[0]
    blocks = blocks.flatten(1)
    chosen = min(blocks.shape[1], max(_FEWEST_BLOCKS, blocks.shape[1] // _OF_BLOCKS))
    changes: list[float] = blocks.topk(chosen).values.mean(1).tolist()
    return changes


class _State(NamedTuple):
    """What a field is: a place in a cadence."""

    cadence: tuple[int, ...]
    place: int
    number: int
    """Of the field among those of its film frame; the third repeats the first."""


_STATES = tuple(
    _State(cadence, place, number)
    for cadence in CADENCES
    for place, number in enumerate(number for count in cadence for number in range(count))
)
_IS_VIDEO = -1
_ROLES = np.array([state.number for state in _STATES] + [_IS_VIDEO])
_FILM = len(_STATES)  # the last state is video
# From which state each one continues.
_BEFORE = np.array(
    [
        _STATES.index(_State(s.cadence, p, n))
        for s in _STATES
        for p in [(s.place - 1) % sum(s.cadence)]
        for n in [next(o.number for o in _STATES if (o.cadence, o.place) == (s.cadence, p))]
    ]
    + [_FILM]
)


class _Path:
    """The likeliest path through a video, given its order of fields.

    Args:
        changes: of upper and lower field, (frames, 2).
        combed: pixels in combs, in the frame and with either field of the one before, (frames, 3).
        samples: pixels of a frame.
    """

    def __init__(
        self,
        changes: NDArray[np.float64],
        combed: NDArray[np.float64],
        samples: int,
        *,
        top_first: bool,
    ) -> None:
        self._top_first = top_first
        fields = changes if top_first else changes[:, ::-1]
        others = fields[:, ::-1]
        repeats = np.log((fields + _LEAST_CHANGE) / (others + _LEAST_CHANGE)).ravel()
        self._repeats = np.clip(repeats, -_MOST, _MOST)
        self._changes, self._other_changes = fields.ravel(), others.ravel()
        # A frame's first field shows the picture of the one before, or its second that of the
        # first.
        weaves = np.stack((combed[:, 1 if top_first else 2], combed[:, 0]), 1).ravel()
        around = np.pad(weaves, 1)
        worst = np.maximum(np.maximum(around[:-2], around[2:]), weaves)
        share = weaves / np.maximum(worst, 1) * (worst > COMB_SHARE * samples)
        obvious = (share > _AS_BAD) & (weaves > _OBVIOUS * samples)
        self._combs = np.where(obvious, _MOST + _BREAK, _MOST * share)
        self._states, self._breaks, self.cost = self._likeliest()

    def _likeliest(self) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
        """Return the state of every field, those that begin after a break, and the path's cost."""
        moves_on = (self._repeats > _REPEATS) & (self._other_changes > _CLEARLY)
        repeated = self._repeats + _MOVES_ON * moves_on
        costs = np.full((len(repeated), _FILM + 1), _VIDEO)
        for state, role in enumerate(_ROLES[:_FILM]):
            costs[:, state] = (repeated if role == 2 else 0) + (self._combs if role else 0)
        # A cut may fall anywhere in a cadence; its first field has none to be woven with.
        begun_cost = _BREAK + np.where(_ROLES == _IS_VIDEO, _VIDEO, 0)
        came_from, breaks = np.zeros(costs.shape, np.uint8), np.zeros(costs.shape, np.bool_)
        total = costs[0]
        for field in range(1, len(costs)):
            best = total.argmin()
            going_on, begun = total[_BEFORE] + costs[field], total[best] + begun_cost
            came_from[field] = np.where(begun < going_on, best, _BEFORE)
            breaks[field] = begun < going_on
            total = np.minimum(begun, going_on)
        states, broken = np.empty(len(costs), np.intp), np.empty(len(costs), np.bool_)
        state = total.argmin()
        cost = float(total[state])
        for field in range(len(costs) - 1, -1, -1):
            states[field], broken[field] = state, breaks[field, state]
            state = came_from[field, state]
        return states, np.flatnonzero(broken), cost

    def finding(self) -> Finding:
        """Return what the path tells about the video."""
        roles = _ROLES[self._states]
        repeated = roles == 2
        found = self._repeats[repeated] < _REPEATS
        change, other_change = self._changes[repeated], self._other_changes[repeated]
        seen = found & (other_change > _VISIBLY)
        missed = (~found & (other_change > _CLEARLY)) | (change > _NO_REPEAT)
        if seen.sum() < _FEWEST_REPEATS:
            return Finding()
        fields = len(self._states)
        often_broken = len(self._breaks) * 2 * _FEWEST_UNBROKEN > fields
        if (
            (roles == _IS_VIDEO).any()
            or often_broken
            or missed.sum() > seen.sum()
            or _longest_run(missed) >= _MOST_MISSED
        ):
            return Finding(in_part=True)
        sections = tuple(
            Section(first, _STATES[state].cadence, _STATES[state].place)
            for first, state in ((int(f), int(self._states[f])) for f in (0, *self._breaks))
        )
        return Finding(Film(self._top_first, fields, sections))


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Return how many flags in a row are set, at most."""
    unset = np.flatnonzero(~flags)
    return int(np.diff(unset, prepend=-1, append=len(flags)).max()) - 1
