"""Damage that decoders pass over in silence."""

from __future__ import annotations

import zlib
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vsrdb_cli.video.timing import REORDER_FRAMES, RESTART_SECONDS, WRAP_SECONDS, ticks

if TYPE_CHECKING:
    from av.packet import Packet

# FFV1 checksums take the highest bit of a byte first, zlib the lowest.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_TRAILER = 8  # of an FFV1 slice: 3 bytes of length, 1 of status, 4 of checksum
_INTACT = 0xFFFFFFFF


class Holes:
    """Tells where a part of a stream is missing in its file.

    FFmpeg marks packets of a transport stream where its counter does not go on, and at joints of
    glued recordings and segments, whose counters begin anew with nothing missing. So it counts as a
    hole only if times are missing near by.

    Args:
        usual: ticks of a packet that does not say how long it lasts.
    """

    REACH = 32  # packets on either side: a frame's neighbours in time, a hole's edges

    def __init__(self, usual: int = 0) -> None:
        self._usual = usual
        self._near: deque[tuple[int, int]] = deque(maxlen=2 * self.REACH + 1)
        self._wait = 0  # packets until a marked one is judged
        self.count = 0

    def look(self, packet: Packet[Any]) -> None:
        """Take the stream's next packet, its times as in the file."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            step = time - self._near[-1][0] if self._near else 0
            limit = ticks(RESTART_SECONDS, packet.time_base)
            if step < -limit or step > ticks(WRAP_SECONDS / 2, packet.time_base):
                self.end()  # another recording's clock
            self._near.append((time, packet.duration or self._usual))
        if packet.is_corrupt:
            self._wait = self.REACH
        elif self._wait:
            self._wait -= 1
            self.count += not self._wait and self._is_gap_near(ahead=REORDER_FRAMES)

    def end(self) -> None:
        """No packet follows, or none with this clock."""
        self.count += bool(self._wait) and self._is_gap_near(ahead=0)
        self._wait = 0
        self._near.clear()

    def _is_gap_near(self, ahead: int) -> bool:
        """Whether times are missing; `ahead` of the last ones may have neighbours still to come."""
        behind = REORDER_FRAMES if len(self._near) == self._near.maxlen else 0
        near = sorted(self._near)[behind : len(self._near) - ahead]
        return any(
            later - (time + length) > length // 2 for (time, length), (later, _) in pairwise(near)
        )


class Ffv1Checksums:
    """Tells damaged FFV1 packets by their slices' checksums, where the file has them.

    Source: RFC 9043, 4.9 (slice footer). FFmpeg's decoder checks them too, but only logs it.
    """

    def __init__(self) -> None:
        self._used: bool | None = None

    def damaged(self, packet: bytes) -> bool:
        """Whether a packet, the next of the stream, fails; the first one tells if there are any."""
        intact = _all_slices_intact(packet)
        if self._used is None:
            self._used = intact
        return self._used and not intact


def _all_slices_intact(packet: bytes) -> bool:
    end = len(packet)
    while end > 0:
        length = int.from_bytes(packet[max(0, end - _TRAILER) : end][:3]) + _TRAILER
        if length > end:
            return False
        part = packet[end - length : end].translate(_REVERSED)
        # With 0 at the start and its checksum at the end, an intact slice leaves 0.
        if zlib.crc32(part, _INTACT) != _INTACT:
            return False
        end -= length
    return True
