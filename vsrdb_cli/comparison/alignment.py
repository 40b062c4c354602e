"""Which frame of one video belongs beside which of another: by their numbers, times or contents."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vsrdb_cli.errors import VideoError
from vsrdb_cli.evaluation.pairs import picked
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.side_data.orientation import upright

if TYPE_CHECKING:
    from vsrdb_cli.video.frame import FrameSource, SeekableSource

# What frames show is compared in thumbnails of this height and width, in 8-bit codes: blur and
# size make no difference there, another moment does.
THUMBNAIL = (9, 16)
PROBES = 8
# Thumbnails of the same moment differ by about one code on average, blurred or not.
SAME, CLEARLY, ALIKE, FAINT = 5.0, 1.5, 1.05, 0.1
# How far apart two rates may be that are called the same: 24 and 23.976 are.
SAME_RATE = Fraction(1, 200)
# The frame of one video at the place of each frame of another; None where it shows none then.
Picks = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Timestamps:
    """When the frames of a source are shown.

    Attributes:
        starts: of each frame, in seconds after the first one's.
        frame_seconds: how long a frame usually lasts.
        own_start: of the first frame, on the file's own clock.
        timed: whether the source says so itself; pictures do not.
    """

    name: str
    starts: tuple[Fraction, ...]
    frame_seconds: Fraction
    own_start: Fraction
    timed: bool

    @property
    def seconds(self) -> Fraction:
        """From the first frame's beginning to the last one's end."""
        return self.starts[-1] + self.frame_seconds

    @property
    def rate(self) -> str:
        return f"{float(1 / self.frame_seconds):.5g} frames a second"

    def at(self, seconds: Fraction) -> int | None:
        """The frame shown then; None before the first and after the last."""
        if not 0 <= seconds < self.seconds:
            return None
        return bisect_right(self.starts, seconds) - 1


def timestamps(source: SeekableSource) -> Timestamps:
    """Read the times of all frames of a source, or of the part of it that is wanted.

    Raises:
        VideoError: it has no frames.
    """
    info = source.info
    times = list(_wanted(source.times(), info))
    if not times:
        raise VideoError(f"{info.path} holds no frames", hint="give a video or pictures")
    base = info.time_base
    # A part begins its own clock: what was made of it starts as the whole would.
    begin = info.cut.begin if info.cut else 0
    return Timestamps(
        info.path.name or str(info.path),
        tuple((pts - times[0]) * base for pts in times),
        1 / info.rate,
        info.start_seconds + (times[0] - begin) * base,
        info.kind is Kind.VIDEO,
    )


def _wanted(times: Iterable[int], info: VideoInfo) -> Iterator[int]:
    """Times of the frames of `info.cut`; readers tell those of the whole source."""
    for index, pts in enumerate(times, -info.frames_before):
        if info.cut is not None and index >= info.cut.count:
            return
        if index >= 0:
            yield pts


def align(
    other: FrameSource, other_times: Timestamps, main: FrameSource, main_times: Timestamps
) -> tuple[Picks, tuple[str, ...]]:
    """For every frame of `main` the frame of `other` beside it, and what is to be said of it.

    As many frames belong together one by one. At different rates over the same length, each goes
    with the one shown at its time. Where lengths differ, times begin together or on the files' own
    clocks or somewhere else, whichever the pictures prove.

    Raises:
        VideoError: the numbers of frames differ, and nothing proves which belong together.
    """
    same_rate = abs(other_times.frame_seconds / main_times.frame_seconds - 1) < SAME_RATE
    timed = other_times.timed and main_times.timed
    names = f"{other_times.name} and {main_times.name}"
    rates = f"{other_times.name} has {other_times.rate}, {main_times.name} {main_times.rate}"
    if len(other_times.starts) == len(main_times.starts):
        return tuple(range(len(main_times.starts))), tuple(
            _equal_counts(other_times, main_times, rates, timed=timed, same_rate=same_rate)
        )
    counts = (
        f"{other_times.name} has {len(other_times.starts)} frames"
        f" ({float(other_times.seconds):.3f} s), {main_times.name} {len(main_times.starts)}"
        f" ({float(main_times.seconds):.3f} s)"
    )
    longer = max(other_times.frame_seconds, main_times.frame_seconds)
    if timed and not same_rate and abs(other_times.seconds - main_times.seconds) <= longer:
        notice = f"{rates}: each frame stands beside the one shown at its time"
        return _by_time(other_times, main_times, Fraction(0)), (notice,)
    offset = _offset(other, other_times, main, main_times) if timed else None
    if offset is None:
        raise VideoError(
            f"{counts}, and nothing tells which belong together",
            hint="give two videos of the same frames; a part can be made with: ffmpeg -ss START"
            " -i IN -t LENGTH OUT"
            if timed
            else "give as many pictures as there are frames",
        )
    picks = _by_time(other_times, main_times, offset)
    shared = sum(pick is not None for pick in picks)
    return picks, (
        f"{counts}: {shared} frames of {names} are aligned by time and what they show,"
        f" {_moved(offset, other_times, main_times)}",
    )


def _equal_counts(
    other: Timestamps, main: Timestamps, rates: str, *, timed: bool, same_rate: bool
) -> Iterator[str]:
    if not timed:
        return
    if not same_rate:
        yield f"{rates}: frames stand side by side by their numbers, at {main.name}'s times"
    late = other.own_start - main.own_start
    if abs(late) > main.frame_seconds / 2:
        first, second = (other, main) if late < 0 else (main, other)
        yield (
            f"{second.name} starts {float(abs(late)):.3f} s after {first.name} by its own clock:"
            " their first frames are taken for the same"
        )


def _moved(offset: Fraction, other: Timestamps, main: Timestamps) -> str:
    if not offset:
        return "beginning together"
    late, early = (main, other) if offset > 0 else (other, main)
    return f"{late.name} beginning {float(abs(offset)):.3f} s into {early.name}"


def _by_time(other: Timestamps, main: Timestamps, offset: Fraction) -> Picks:
    # In the middle of a frame rounded times do not matter.
    middle = main.frame_seconds / 2
    return tuple(other.at(start + middle + offset) for start in main.starts)


def probes(count: int) -> list[int]:
    """Some of `count` frames, spread over all, that tell what the others show."""
    return sorted({round(place) for place in np.linspace(0, count - 1, PROBES)})


def _offset(
    other: FrameSource, other_times: Timestamps, main: FrameSource, main_times: Timestamps
) -> Fraction | None:
    """How long after `other` the main one begins, as their thumbnails have it; None if unsure."""
    if main_times.seconds > other_times.seconds:  # the shorter one is looked for in the longer
        offset = _offset(main, main_times, other, other_times)
        return None if offset is None else -offset
    places_probed = probes(len(main_times.starts))
    wanted = _thumbnails(main, places_probed)
    seen = _thumbnails(other, range(len(other_times.starts)))
    costs = np.abs(wanted[:, None] - seen[None]).mean(axis=2)  # (probes, frames of other)

    def cost(offset: Fraction) -> float:
        middle = main_times.frame_seconds / 2
        places = [other_times.at(main_times.starts[p] + middle + offset) for p in places_probed]
        seen_then = [costs[k, place] for k, place in enumerate(places) if place is not None]
        return float(np.mean(seen_then)) if 2 * len(seen_then) >= len(places_probed) else np.inf

    by_clock = (Fraction(0), main_times.own_start - other_times.own_start)
    ends = (main_times.starts[0], main_times.starts[places_probed[-1]])
    anywhere = {start - end for start in other_times.starts for end in ends}
    found = {offset: cost(offset) for offset in (*by_clock, *anywhere)}
    best = min(found, key=lambda offset: (found[offset], abs(offset)))
    if found[best] > SAME:
        return None
    for offset in by_clock:  # two witnesses, where the pictures agree as well as they do anywhere
        if found[offset] < ALIKE * found[best] + FAINT:
            return offset
    step = min(other_times.frame_seconds, main_times.frame_seconds)
    rivals = [cost for offset, cost in found.items() if abs(offset - best) > step * 3 / 2]
    return best if min(rivals, default=np.inf) > CLEARLY * found[best] + FAINT else None


def _thumbnails(source: FrameSource, indices: Sequence[int]) -> NDArray[np.float32]:
    """(frames, values) in codes of 255."""
    orientation = source.info.orientation
    return np.stack([_thumbnail(upright(f.rgb, orientation)) for f in picked(source, indices)])


def apart(one: Tensor, other: Tensor) -> float:
    """How far what two pictures, (3, H, W) codes of a `Frame`, show is apart, in codes of 255."""
    return float(np.abs(_thumbnail(one) - _thumbnail(other)).mean())


def _thumbnail(picture: Tensor) -> NDArray[np.float32]:
    """(3, H, W) codes of a `Frame` -> what it shows, (values,) in codes of 255."""
    small: Tensor = adaptive_avg_pool2d(to_float(picture), THUMBNAIL)
    return (255 * small.numpy().reshape(-1)).astype(np.float32)
