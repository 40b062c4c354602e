"""Write packets of side streams at times that the output's format accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from vsrdb_cli.video.containers.capabilities import container_of
from vsrdb_cli.video.timing import shift, ticks

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from vsrdb_cli.video.info import StreamInfo
    from vsrdb_cli.video.streams.sound_converter import SoundConverter

# Subtitles' ticks a second in mp4 and mov: FFmpeg's muxer compares their times with those of other
# packets as if in the same units, and overlapping cues drift unless theirs are finer.
SUBTITLE_TICKS = 192_000
# Between two of them; they count no more than 2 ** 31.
BLANK_TICKS = 2**30


@dataclass(frozen=True)
class Copied:
    """Counts of packets for each of the source's streams, by index.

    refused: whole, but of a kind that the output's format does not take.
    holes: places where some of it is missing.
    """

    packets: Counter[int] = field(default_factory=Counter)
    damaged: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    """Whole packets that the output's format does not take."""
    holes: Counter[int] = field(default_factory=Counter)
    """Places where some of a stream is missing."""

    def lost(self, index: int) -> int:
        """Return how many packets of a stream were not written."""
        return self.damaged[index] + self.refused[index]


class PacketWriter:
    """Writes packets of side streams to an open output.

    Args:
        output: the header is written before the first packet.
        streams: of the source, by their indices, as all that follows.
        targets: the output's stream for each that is written.
        sounds: tracks that are re-encoded.

    Attributes:
        copied: what was written so far, and what could not be.
        lead_seconds: how long before 0 the first sound is heard or the first text seen.
        priming: how much of a copied track its decoder drops.
    """

    def __init__(
        self,
        output: OutputContainer,
        streams: Mapping[int, StreamInfo],
        targets: Mapping[int, Stream],
        sounds: Mapping[int, SoundConverter],
    ) -> None:
        self._output = output
        self._streams, self._targets, self._sounds = streams, targets, sounds
        self._hides = container_of(output).iso
        self._last_dts: dict[int, int] = {}
        self.copied = Copied()
        self.lead_seconds = Fraction(0)
        self.priming: dict[int, Fraction] = {}

    def write(self, index: int, packets: Iterable[Packet[Any]]) -> None:
        """Write packets of one of the source's streams, as they are to be in the output."""
        with _counting_errors(self.copied.damaged, index):
            for packet in packets:
                with _counting_errors(self.copied.refused, index):
                    self._write_one(index, packet)

    def _write_one(self, index: int, packet: Packet[Any]) -> None:
        last = self._last_dts.get(index, 0)
        self._rise(index, packet)
        packet.stream = self._targets[index]
        if self._hides and self._streams[index].text:
            self._output.mux([*_blanks(packet, last)])
        self.lead_seconds = max(self.lead_seconds, -self._begin(index, packet))
        self._output.mux(packet)
        self.copied.packets[index] += 1

    def _begin(self, index: int, packet: Packet[Any]) -> Fraction:
        """Return when a packet is heard or seen; declared priming is neither."""
        if index in self._sounds:
            return self._sounds[index].begin_seconds
        if packet.pts is None:
            return Fraction(0)
        return packet.pts * packet.time_base + self.priming.get(index, 0)

    def _rise(self, index: int, packet: Packet[Any]) -> None:
        """Convert a packet's times to its track's time base, and make them rise.

        One that does not would abort the whole file with an error; in Matroska they may be equal.
        """
        tick = self._targets[index].time_base
        assert tick is not None
        source, packet.time_base = packet.time_base, tick
        packet.duration = ticks((packet.duration or 0) * source, tick)
        if packet.pts is not None:
            packet.pts = ticks(packet.pts * source, tick)
        if packet.dts is None:
            return
        packet.dts = ticks(packet.dts * source, tick)
        if index in self._last_dts:
            late = self._last_dts[index] + self._hides - packet.dts
            shift(packet, max(late, 0) * tick)
        if packet.pts is not None:
            packet.pts = max(packet.pts, packet.dts)
        self._last_dts[index] = packet.dts


@contextmanager
def _counting_errors(errors: Counter[int], index: int) -> Iterator[None]:
    """Count what FFmpeg refuses; system errors, such as a full disk, are raised."""
    try:
        yield
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise
        errors[index] += 1


def _blanks(packet: Packet[Any], last: int) -> Iterator[Packet[Any]]:
    """Yield empty texts where nothing is shown for longer than mp4 and mov can count."""
    for time in range(last + BLANK_TICKS, packet.dts or 0, BLANK_TICKS):
        blank = av.Packet(b"\0\0")
        blank.stream, blank.time_base = packet.stream, packet.time_base
        blank.pts = blank.dts = time
        blank.duration = min(BLANK_TICKS, (packet.dts or 0) - time)
        yield blank
