"""Damage that decoders pass over in silence."""

from __future__ import annotations

import zlib

# FFV1 checksums take the highest bit of a byte first, zlib the lowest.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_TRAILER = 8  # of an FFV1 slice: 3 bytes of length, 1 of status, 4 of checksum
_INTACT = 0xFFFFFFFF


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
