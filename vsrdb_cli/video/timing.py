"""The clock of a source: one time line, rising from 0, whatever its timestamps do.

The reader and the copier of the other streams open the file separately and must agree on time
without communicating, so every decision follows from the packets' own numbers in file order.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet

# The unit of Matroska and WebM.
MILLISECOND = Fraction(1, 1000)
# Going back further than this is a new recording (joined files, restarted or wrapped clocks); less
# is an error, repaired where it occurs.
RESTART_SECONDS = Fraction(1, 2)
# The range of a transport stream's clock of 33 bits. FFmpeg takes a step back of more than a minute
# for a wrap, and adds the range to all later times: joined recordings jump forward by nearly as
# much.
WRAP_SECONDS = Fraction(2**33, 90_000)
# Without decode times only presentation times show a restart, and those go back by the length of
# a B-frame pyramid anyway: no codec reorders over more than 16 frames.
REORDER_FRAMES = 16
# Moving times by fractions of a tick rounds them by up to half a tick; in longer ticks that is
# audible.
COARSE_TICK = Fraction(1, 10_000)
# The most ticks that mp4 and mov can hold for a second, and for a frame.
MOST_TICKS = 2**31 - 1
# Fallbacks; the last can hold a frame of three weeks.
COARSE_TIME_BASES = (Fraction(1, 1_000_000), Fraction(1, 90_000), Fraction(1, 1000))


def ticks(seconds: Fraction, time_base: Fraction) -> int:
    """Return a time as the nearest number of ticks."""
    return round(seconds / time_base)


def output_time_base(time_base: Fraction, longest_seconds: Fraction) -> Fraction:
    """Return an output's ticks: the source's, or coarser ones that mp4 and mov can count.

    Args:
        longest_seconds: the longest that one frame stays.
    """
    for ticks_ in (time_base, *COARSE_TIME_BASES):
        if ticks_.denominator <= MOST_TICKS and longest_seconds / ticks_ <= MOST_TICKS:
            return ticks_
    return COARSE_TIME_BASES[-1]


@dataclass(frozen=True, slots=True)
class Timeline:
    """How our time counts, and where a file's own times lie on it."""

    time_base: Fraction
    """Seconds per tick, as in the video stream."""
    frame_ticks: int
    """The usual length of one frame."""
    start_seconds: Fraction
    """The file's own time that becomes 0."""
    begin: int = 0
    """Our time of the file's beginning, in ticks; before 0 if only a part is wanted."""


class Clock:
    """Puts the main video's packets on one rising time line, and tells others what to add."""

    def __init__(self, timeline: Timeline) -> None:
        # In whole ticks for speed: this is done for every packet of a video.
        self._time_base = timeline.time_base
        self._frame_ticks = timeline.frame_ticks
        self._back = ticks(RESTART_SECONDS, timeline.time_base)
        self._ahead = ticks(WRAP_SECONDS / 2, timeline.time_base)
        self._offset = ticks(-timeline.start_seconds, timeline.time_base)
        # Seconds to add to the file's own times, one entry per recording found so far.
        self.offsets = [-timeline.start_seconds]
        self._last_dts: int | None = None
        self._last_pts: int | None = None
        self._end = timeline.begin  # of the newest frame, on the repaired time line

    @property
    def restarts(self) -> int:
        """Number of times the file's clock went back."""
        return len(self.offsets) - 1

    @property
    def now(self) -> int:
        """The repaired end of the video as read so far, in ticks."""
        return self._end

    @property
    def now_seconds(self) -> Fraction:
        """The same in seconds."""
        return self._end * self._time_base

    def repair(self, packet: Packet[Any]) -> None:
        """Move a packet of the main video, the next in file order, onto the time line."""
        if self._restarts_at(packet):
            first = packet.pts if packet.pts is not None else packet.dts
            assert first is not None
            self._offset = self._end - first
            self.offsets.append(self._offset * self._time_base)
            self._last_dts = self._last_pts = None
        if packet.dts is not None and not packet.is_discard:
            self._last_dts = packet.dts
        if packet.pts is not None and not packet.is_discard:
            self._last_pts = max(packet.pts, self._last_pts or packet.pts)
        if packet.pts is not None:
            packet.pts += self._offset
        if packet.dts is not None:
            packet.dts += self._offset
        shown = packet.pts if packet.pts is not None else packet.dts
        if shown is not None and not packet.is_discard:
            self._end = max(self._end, shown + (packet.duration or self._frame_ticks))

    def _restarts_at(self, packet: Packet[Any]) -> bool:
        if packet.is_discard:  # an edit list leaves it out, and FFmpeg counts it back
            return False
        if packet.dts is not None and self._last_dts is not None:
            return not -self._back <= packet.dts - self._last_dts <= self._ahead
        if packet.pts is not None and self._last_pts is not None:
            return packet.pts < self._last_pts - self._back - REORDER_FRAMES * self._frame_ticks
        return False


def shift(packet: Packet[Any], seconds: Fraction) -> None:
    """Add a time to both of a packet's times, where it has them."""
    offset = ticks(seconds, packet.time_base)
    if packet.pts is not None:
        packet.pts += offset
    if packet.dts is not None:
        packet.dts += offset


def _refine(packet: Packet[Any]) -> None:
    """Count a packet's times in finer ticks: AVI counts blocks of sound, of 0.04 s and more.

    Raises:
        OverflowError: the times are too large, as a damaged file's may be.
    """
    given = packet.time_base
    packet.time_base = Fraction(
        1, math.ceil(1 / (given.denominator * COARSE_TICK)) * given.denominator
    )
    factor = int(given / packet.time_base)
    if packet.pts is not None:
        packet.pts *= factor
    if packet.dts is not None:
        packet.dts *= factor
    packet.duration = (packet.duration or 0) * factor


class SideClock:
    """Puts another stream on the video's time line; its clock restarts with the video's.

    A side stream's restart may come before the video's in the file; its packets then wait until
    the video shows how far to move them. Where the video's clock never restarts, neither does
    the side stream's: its times continue after a while from where they stopped.

    Attributes:
        timeless: packets dropped because nothing gives their time.
    """

    # How much of a stream may wait for the video to restart too; files interleave more finely.
    PATIENCE_PACKETS = 512

    def __init__(self, clock: Clock, *, sparse: bool) -> None:
        self._clock = clock
        self._sparse = sparse  # subtitles: too few packets to see a restart in them
        self._recording = 0
        self._last: int | None = None
        self._end_seconds = clock.now_seconds
        self._own_offset: Fraction | None = None
        self._waiting: list[Packet[Any]] = []
        self.timeless = 0

    def repair(self, packet: Packet[Any], *, final: bool = False) -> Iterator[Packet[Any]]:
        """Take a packet; yield those, in order, whose place on the time line is now known.

        Args:
            packet: the stream's next one in file order.
            final: whether the file has ended, so that nothing may wait any more.
        """
        self._waiting.append(packet)
        yield from self.release(final=final or len(self._waiting) > self.PATIENCE_PACKETS)

    def release(self, *, final: bool = False) -> Iterator[Packet[Any]]:
        """Yield the waiting packets whose place is known by now; all of them when `final`."""
        while self._waiting:
            packet = self._waiting[0]
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                del self._waiting[0]
                self.timeless += 1
                continue
            if not packet.is_discard:
                if not self._place(time, packet.time_base, final=final):
                    return
                self._last = time
            del self._waiting[0]
            offset = self._own_offset
            if offset is None:
                offset = self._clock.offsets[self._recording]
            try:
                if packet.time_base > COARSE_TICK:
                    _refine(packet)
                shift(packet, offset)
            except OverflowError:
                self.timeless += 1
                continue
            repaired = packet.dts if packet.dts is not None else packet.pts
            assert repaired is not None
            end = (repaired + (packet.duration or 0)) * packet.time_base
            self._end_seconds = max(self._end_seconds, end)
            yield packet

    def _place(self, time: int, time_base: Fraction, *, final: bool) -> bool:
        if self._sparse:
            self._recording = self._clock.restarts
            return True
        limit = ticks(RESTART_SECONDS, time_base)
        furthest = ticks(WRAP_SECONDS / 2, time_base)
        if self._last is None or -limit <= time - self._last <= furthest:
            return True
        if self._clock.restarts > self._recording:
            self._recording += 1
            self._own_offset = None
            return True
        if final:
            self._own_offset = self._end_seconds - time * time_base
            return True
        return False


class DecodeOrder:
    """Times for reordered frames whose file has only those of decoding.

    Frames are shown at the same intervals, each at the next of these times.
    """

    def __init__(self) -> None:
        self._times: list[int] = []  # of packets whose frames are still to come, in order
        self._newest: int | None = None
        self._lag: int | None = None

    def feed(self, time: int | None) -> None:
        """Take the time of the next packet, which is about to be decoded."""
        self._newest = time
        if time is not None:
            insort(self._times, time)

    def lose(self) -> None:
        """Forget the newest packet, which cannot be decoded."""
        if self._newest in self._times:
            self._times.remove(self._newest)

    def next(self, depth: int, dts: int | None) -> int | None:
        """Return the time of the next frame that comes out of a decoder.

        Args:
            depth: how many others it may hold; more times are of packets that gave no frame.
            dts: of the packet that brought it out, where the file means the times at which
                decoders give frames; None where it means the first to be shown at the first.
        """
        del self._times[: -depth - 1]
        if not self._times:
            return None
        time = self._times.pop(0)
        if self._lag is None:
            self._lag = 0 if dts is None else dts - time
        return time + self._lag


class FrameTimes:
    """Times of decoded frames, in the order shown: filled in where missing, always rising.

    Presentation times that fall more often than decoding times are invalid: a muxer wrote no
    others. FFmpeg's best-effort timestamps follow the same rule.

    Attributes:
        repaired: how many times were missing, or did not rise.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._last: int | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._falls = 0  # of pts, less those of dts
        self.repaired = 0

    def repair(self, pts: int | None, dts: int | None) -> int:
        """Return the time of the next frame, in ticks."""
        timeline, last = self._timeline, self._last
        if pts is not None:
            self._falls += self._last_pts is not None and pts < self._last_pts
            self._last_pts = pts
        if dts is not None:
            self._falls -= self._last_dts is not None and dts < self._last_dts
            self._last_dts = dts
        time = pts if pts is not None and self._falls <= 0 else dts
        if time is None:
            time = timeline.begin if last is None else last + timeline.frame_ticks
        elif last is not None and time <= last:
            time = last + 1
        self.repaired += time != (dts if pts is None else pts)
        self._last = time
        return time
