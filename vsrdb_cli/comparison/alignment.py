"""Find which frames of two videos belong together: by number, time or content."""

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
from vsrdb_cli.text import count
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.side_data.orientation import upright

if TYPE_CHECKING:
    from vsrdb_cli.video.frame import FrameSource, SeekableSource

# Contents are compared in thumbnails of this height and width, in 8-bit codes: blur and size make
# no difference there, but another moment does.
THUMBNAIL = (9, 16)
PROBES = 8
# Thumbnails of the same moment differ by about one code on average, blurred or not.
SAME, CLEARLY, ALIKE, FAINT = 5.0, 1.5, 1.05, 0.1
# Rates that differ by no more count as the same, as 24 and 23.976 do.
SAME_RATE = Fraction(1, 200)
# For each frame of one video the frame of another shown at that time; None if it shows none.
Picks = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Timestamps:
    """The times at which the frames of a source are shown."""

    name: str
    starts: tuple[Fraction, ...]
    """Start of each frame, in seconds after the first."""
    frame_seconds: Fraction
    """Nominal duration of a frame."""
    own_start: Fraction
    """Start of the first frame on the file's own clock, in seconds."""
    timed: bool
    """True for a video; pictures have no times of their own."""

    @property
    def seconds(self) -> Fraction:
        """Duration from the start of the first frame to the end of the last."""
        return self.starts[-1] + self.frame_seconds

    @property
    def rate(self) -> str:
        """Frame rate, for messages."""
        return f"{float(1 / self.frame_seconds):.5g} frames per second"

    def at(self, seconds: Fraction) -> int | None:
        """Return the frame shown at a time, or None before the first and after the last."""
        if not 0 <= seconds < self.seconds:
            return None
        return bisect_right(self.starts, seconds) - 1


def timestamps(source: SeekableSource) -> Timestamps:
    """Read the times of all frames of a source, or of the part of it that was cut out.

    Raises:
        VideoError: it has no frames.
    """
    info = source.info
    times = list(_wanted(source.times(), info))
    if not times:
        raise VideoError(f"{info.path} has no frames", hint="give a video or pictures")
    base = info.time_base
    # A part has its own clock: the output made from it starts where the whole would.
    begin = info.cut.begin if info.cut else 0
    return Timestamps(
        info.path.name or str(info.path),
        tuple((pts - times[0]) * base for pts in times),
        1 / info.rate,
        info.start_seconds + (times[0] - begin) * base,
        info.kind is Kind.VIDEO,
    )


def _wanted(times: Iterable[int], info: VideoInfo) -> Iterator[int]:
    """Yield the times of the frames of `info.cut`, from those of the whole source."""
    for index, pts in enumerate(times, -info.frames_before):
        if info.cut is not None and index >= info.cut.count:
            return
        if index >= 0:
            yield pts


def align(
    other: FrameSource, other_times: Timestamps, main: FrameSource, main_times: Timestamps
) -> tuple[Picks, tuple[str, ...]]:
    """Find for every frame of `main` the frame of `other` that belongs beside it.

    Videos with as many frames are paired one by one; videos of the same duration but different
    rates by time. If durations differ, the contents decide whether the videos start together, are
    aligned on the files' own clocks, or with some other offset.

    Returns:
        The frames, and notices, one line each.

    Raises:
        VideoError: the numbers of frames differ, and the contents match nowhere.
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
        f"{other_times.name} has {count(len(other_times.starts), 'frame')}"
        f" ({float(other_times.seconds):.3f} s), {main_times.name} {len(main_times.starts)}"
        f" ({float(main_times.seconds):.3f} s)"
    )
    longer = max(other_times.frame_seconds, main_times.frame_seconds)
    if timed and not same_rate and abs(other_times.seconds - main_times.seconds) <= longer:
        notice = f"{rates}: each frame is shown beside the one at the same time"
        return _by_time(other_times, main_times, Fraction(0)), (notice,)
    offset = _offset(other, other_times, main, main_times) if timed else None
    if offset is None:
        raise VideoError(
            f"{counts}, and their contents do not match",
            hint="give two videos of the same scene; to cut out a part: ffmpeg -ss START -i IN"
            " -t LENGTH OUT"
            if timed
            else "give as many pictures as there are frames",
        )
    picks = _by_time(other_times, main_times, offset)
    shared = sum(pick is not None for pick in picks)
    return picks, (
        f"{counts}: {shared} frames of {names} are aligned by time and content,"
        f" {_moved(offset, other_times, main_times)}",
    )


def _equal_counts(
    other: Timestamps, main: Timestamps, rates: str, *, timed: bool, same_rate: bool
) -> Iterator[str]:
    if not timed:
        return
    if not same_rate:
        yield f"{rates}: frames are paired by number, at {main.name}'s times"
    late = other.own_start - main.own_start
    if abs(late) > main.frame_seconds / 2:
        first, second = (other, main) if late < 0 else (main, other)
        yield (
            f"{second.name} starts {float(abs(late)):.3f} s after {first.name} on its own clock:"
            " their first frames are paired"
        )


def _moved(offset: Fraction, other: Timestamps, main: Timestamps) -> str:
    if not offset:
        return "starting together"
    late, early = (main, other) if offset > 0 else (other, main)
    return f"{late.name} starting {float(abs(offset)):.3f} s into {early.name}"


def _by_time(other: Timestamps, main: Timestamps, offset: Fraction) -> Picks:
    # In the middle of a frame the rounding of times does not matter.
    middle = main.frame_seconds / 2
    return tuple(other.at(start + middle + offset) for start in main.starts)


def probes(frames: int) -> list[int]:
    """Choose PROBES indices spread evenly over a number of frames."""
    return sorted({round(place) for place in np.linspace(0, frames - 1, PROBES)})


def _offset(
    other: FrameSource, other_times: Timestamps, main: FrameSource, main_times: Timestamps
) -> Fraction | None:
    """Find by thumbnails how long after `other` the main one starts, or None if unsure."""
    if main_times.seconds > other_times.seconds:  # search for the shorter one in the longer
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
    for offset in by_clock:  # preferred, if the pictures match there as well as anywhere
        if found[offset] < ALIKE * found[best] + FAINT:
            return offset
    step = min(other_times.frame_seconds, main_times.frame_seconds)
    rivals = [cost for offset, cost in found.items() if abs(offset - best) > step * 3 / 2]
    return best if min(rivals, default=np.inf) > CLEARLY * found[best] + FAINT else None


def _thumbnails(source: FrameSource, indices: Sequence[int]) -> NDArray[np.float32]:
    """Return (frames, values) in 8-bit codes."""
    orientation = source.info.orientation
    return np.stack([_thumbnail(upright(f.rgb, orientation)) for f in picked(source, indices)])


def content_difference(one: Tensor, other: Tensor) -> float:
    """Return the mean difference of two pictures' thumbnails in 8-bit codes.

    Args:
        one: (3, H, W) codes of a `Frame`.
        other: likewise, of any size.
    """
    return float(np.abs(_thumbnail(one) - _thumbnail(other)).mean())


def _thumbnail(picture: Tensor) -> NDArray[np.float32]:
    """Shrink (3, H, W) codes of a `Frame` to (values,) in 8-bit codes."""
    small: Tensor = adaptive_avg_pool2d(to_float(picture), THUMBNAIL)
    return (255 * small.numpy().reshape(-1)).astype(np.float32)
