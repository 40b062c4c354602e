"""Copy or convert everything a file holds beside its main video, as planned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from av.stream import Discard

from vsrdb_cli.text import count
from vsrdb_cli.video.containers.capabilities import container_of
from vsrdb_cli.video.containers.demuxing import Demuxer, Holes
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.info import StreamInfo, VideoInfo
from vsrdb_cli.video.streams.metadata import copy_chapters, copy_stream_metadata
from vsrdb_cli.video.streams.packet_writer import SUBTITLE_TICKS, PacketWriter
from vsrdb_cli.video.streams.plan import COVERS, StreamAction, StreamPlan
from vsrdb_cli.video.streams.sound import (
    PRIMING_SECONDS,
    Loudness,
    SoundDecoder,
    flushing,
    samples_of,
)
from vsrdb_cli.video.streams.sound_converter import SoundConverter
from vsrdb_cli.video.streams.subtitles import USUAL_MILLISECONDS, TextConverter
from vsrdb_cli.video.timing import Clock, SideClock, ticks

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import AttachmentStream, Stream

# Subtitles that last until the next one: of Blu-ray, which may be several packets, and of DVB.
_PGS = "hdmv_pgs_subtitle"
_UNTIL_NEXT = (_PGS, "dvb_subtitle")
_PGS_BEGINS = 0x16
# As much sound as recordings that were glued together may have twice.
TOLD_SECONDS = Fraction(1, 4)
# How far sound may lie behind its pictures in a file.
READ_ON_SECONDS = 10


class SideStreams:
    """Copies all other streams of a source into an open output, in step with its video.

    Reads the source by itself, so it needs nothing from the video's reader, and also works when
    finished segments are joined. Used from one thread.

    Args:
        info: of the source.
        plans: from `plan_streams`.
        output: before its header is written; the streams are added to it.

    Attributes:
        copied: what was written so far, and what could not be.
        heard: the loudness of each written track of sound, by the source's index, in order.
    """

    def __init__(
        self,
        info: VideoInfo,
        plans: tuple[StreamPlan, ...],
        output: OutputContainer,
    ) -> None:
        self._info = info
        self._streams = {stream.index: stream for stream in info.streams}
        self._output = output
        self._source = open_input(info.path)
        self._targets: dict[int, Stream] = {}
        self._texts: dict[int, TextConverter] = {}
        self._sounds: dict[int, SoundConverter] = {}
        self._decoders: dict[int, SoundDecoder] = {}  # of sound that is copied
        self._decodable = {plan.stream.index for plan in plans if plan.decodes}
        self.heard: dict[int, Loudness] = {}
        self._clocks: dict[int, SideClock] = {}
        self._before: dict[int, list[Packet[Any]]] = {}  # what is on the screen as a part begins
        self._ready: deque[Packet[Any]] = deque()
        self._covers = 0
        self._end = info.cut.seconds if info.cut else None
        self._hides = container_of(output).iso
        self._writer = PacketWriter(output, self._streams, self._targets, self._sounds)
        self.copied = self._writer.copied
        if self._hides:  # these need them before the header
            copy_chapters(self._source, output, info)
        for plan in plans:
            self._add(plan)
        self._clock = Clock(info.timeline)
        for index in self._targets:
            sparse = self._source.streams[index].type != "audio"
            self._clocks[index] = SideClock(self._clock, sparse=sparse)
        self._packets = iter(self._read())

    def _add(self, plan: StreamPlan) -> None:
        source = self._source.streams[plan.stream.index]
        decoder = SoundDecoder(self._info.duration_seconds)
        if plan.action is StreamAction.COPY:
            target = self._output.add_stream_from_template(source, opaque=True)
            copy_stream_metadata(source, target)
            self._targets[source.index] = target
            source.discard = Discard.default  # FFmpeg hides data that lasts no time
            if source.type == "audio":
                context: Any = source.codec_context
                self._writer.priming[source.index] = Fraction(
                    context.delay, context.sample_rate or 1
                )
                self.heard[source.index] = Loudness()
                self._decoders[source.index] = decoder
        elif plan.sound is not None:
            begin = None if self._info.cut is None else Fraction(0)
            sound = SoundConverter(
                source,  # type: ignore[arg-type]
                self._output,
                plan.sound,
                decoder,
                begin_seconds=begin,
                end_seconds=self._end,
            )
            copy_stream_metadata(source, sound.stream)
            self._sounds[source.index] = sound
            self._targets[source.index] = sound.stream
            self.heard[source.index] = sound.heard
        elif plan.action is StreamAction.ATTACH:
            self._attach(plan, source)
        elif plan.action is StreamAction.CONVERT:
            codec = container_of(self._output).text
            converter = TextConverter(source, self._output, codec)  # type: ignore[arg-type]
            copy_stream_metadata(source, converter.stream)
            self._texts[source.index] = converter
            self._targets[source.index] = converter.stream
        if source.type == "subtitle" and self._hides and source.index in self._targets:
            finest = max(SUBTITLE_TICKS, self._info.output_time_base.denominator)
            self._targets[source.index].time_base = Fraction(1, finest)

    def _attach(self, plan: StreamPlan, source: Stream) -> None:
        if plan.stream.cover:
            ending, mimetype = COVERS[plan.stream.codec]
            self._covers += 1
            name = f"cover_{self._covers}" if self._covers > 1 else "cover"
            data = _first_packet(self._info, source.index)
            if data:
                self._output.add_attachment(f"{name}.{ending}", mimetype, data)
            return
        attachment: AttachmentStream = source  # type: ignore[assignment]
        name = attachment.metadata.get("filename", f"attachment-{source.index}")
        mimetype = attachment.mimetype or "application/octet-stream"
        self._output.add_attachment(name, mimetype, attachment.data)

    def mux_until(self, seconds: Fraction) -> None:
        """Write what belongs before a time of the video, so that streams are interleaved."""
        if not self._targets:
            return
        while self._fill() and _seconds(self._ready[0]) <= seconds:
            self._mux(self._ready.popleft())
        for index, converter in self._texts.items():
            self._put_texts(index, converter.until(seconds))

    def finish(self) -> None:
        """Write the rest; sound may go on after the last picture."""
        while self._targets and self._fill():
            self._mux(self._ready.popleft())
        self._write_before()
        for index, converter in self._texts.items():
            self._put_texts(index, converter.finish())
        for index in self._decoders:
            stream: Any = self._source.streams[index]
            self._listen(index, flushing(stream))
        for index, sound in self._sounds.items():
            self._writer.write(index, sound.finish())
            self.copied.damaged[index] += sound.failed
        if not self._hides:
            # Nothing can begin before 0: everything is moved, by whole milliseconds.
            later = Fraction(int(self._writer.lead_seconds * 1000), 1000)
            copy_chapters(self._source, self._output, self._info, later)

    @property
    def moved_seconds(self) -> Fraction:
        """Delay of the output against the source's clock."""
        return Fraction(0) if self._hides else self._writer.lead_seconds

    def audible(self, begin_seconds: Fraction) -> tuple[Fraction | None, Fraction | None]:
        """Return between which times the output's sound is the source's, given its first picture.

        mp4 and mov hide what comes before it; of a part, whole packets reach beyond both ends.
        """
        hides = self._hides or self._info.cut is not None
        return (begin_seconds if hides else None), self._end

    @property
    def damage(self) -> tuple[str, ...]:
        """What could not be copied so far, one line for each stream."""
        streams, copied = self._streams, self.copied
        dropped = tuple(
            f"{number} damaged packet{'s' if number > 1 else ''} of {streams[index]} dropped"
            for index, number in sorted(copied.damaged.items())
            if number
        )
        refused = tuple(
            f"{count(number, 'packet')} of {streams[index]} dropped: the output's format refuses"
            f" {'it' if number == 1 else 'them'}"
            for index, number in sorted(copied.refused.items())
            if number
        )
        missing = tuple(
            f"{streams[index]} cannot be read in {count(number, 'place')}"
            for index, number in sorted(copied.holes.items())
            if number
        )
        overlapping = tuple(
            f"{float(sound.overlap_seconds):.2f} s of {streams[index]} dropped: there is other"
            " sound at its time"
            for index, sound in sorted(self._sounds.items())
            if sound.overlap_seconds > TOLD_SECONDS
        )
        unconverted = tuple(
            f"{count(converter.lost, 'text')} of {streams[index]} could not be converted"
            for index, converter in sorted(self._texts.items())
            if converter.lost
        )
        return dropped + refused + missing + overlapping + unconverted

    def close(self) -> None:
        """Close the source."""
        self._packets = iter(())
        self._source.close()

    def _fill(self) -> bool:
        """Read the next packet if none is waiting; return False at the end."""
        if not self._ready:
            packet = next(self._packets, None)
            if packet is None:
                return False
            self._ready.append(packet)
        return True

    def _read(self) -> Iterator[Packet[Any]]:
        """Yield the packets to copy, on the video's time line."""
        main = self._source.streams[self._info.stream_index]
        others = [self._source.streams[index] for index in self._targets]
        # Of sound alone: between subtitles time is missing anyway.
        holes = {stream.index: Holes() for stream in others if stream.type == "audio"}
        for packet in Demuxer(self._source, main, *others):
            if not packet.size:
                continue
            if packet.stream.index in holes:
                holes[packet.stream.index].look(packet)
            if self._end is not None and self._clock.now_seconds > self._end + READ_ON_SECONDS:
                break
            index = packet.stream.index
            if index == main.index:
                restarts = self._clock.restarts
                self._clock.repair(packet)
                if self._clock.restarts > restarts:
                    for clock in self._clocks.values():
                        yield from clock.release()
            elif self._is_cover(index):
                packet.pts = packet.dts = 0
                yield packet
            else:
                yield from self._clocks[index].repair(packet)
        for index, clock in self._clocks.items():
            yield from clock.release(final=True)
            self.copied.damaged[index] += clock.timeless
        for index, found in holes.items():
            found.end()
            self.copied.holes[index] = found.count

    def _is_cover(self, index: int) -> bool:
        return any(s.index == index and s.cover for s in self._info.streams)

    def _mux(self, packet: Packet[Any]) -> None:
        index = packet.stream.index
        if packet.dts is None:
            packet.dts = packet.pts
        if self._before and _seconds(packet) >= 0:
            self._write_before()
        converter = self._texts.get(index)
        if converter is not None and converter.late:
            self._put_texts(index, converter(packet))
        elif self._is_cover(index) or self._cut(packet):
            self._write(packet)

    def _write_before(self) -> None:
        for packets in self._before.values():
            for packet in packets:
                self._write(packet)
        self._before.clear()

    def _write(self, packet: Packet[Any]) -> None:
        index = packet.stream.index
        if index in self._sounds:
            self._writer.write(index, self._sounds[index](packet))
        elif index in self._texts:
            self._put_texts(index, self._texts[index](packet))
        elif index not in self._decoders or self._listen(index, packet):
            self._writer.write(index, (packet,))
        else:
            self.copied.damaged[index] += 1

    def _put_texts(self, index: int, texts: Iterator[Packet[Any]]) -> None:
        """Write converted texts that belong to the wanted part."""
        late = self._texts[index].late

        def wanted() -> Iterator[Packet[Any]]:
            for text in texts:
                text.stream = self._source.streams[index]
                if not late or self._cut(text):
                    yield text

        self._writer.write(index, wanted())

    def _listen(self, index: int, packet: Packet[Any]) -> bool:
        """Decode a packet of copied sound; return False if it alone is damaged.

        Its duration is filled in where the source has none: mp4 and mov hide a last packet of none.
        """
        decode = self._decoders[index]
        failed = decode.failed
        seconds = Fraction(0)
        for frame, begin in decode(packet):
            self.heard[index].add(samples_of(frame), frame.sample_rate, begin)
            seconds += Fraction(frame.samples, frame.sample_rate)
        if packet.size and not packet.duration:
            packet.duration = ceil(seconds / packet.time_base)
        return decode.failed == failed or index not in self._decodable

    def _cut(self, packet: Packet[Any]) -> bool:
        """Return whether a packet belongs to the wanted part; texts are shortened to lie within.

        A packet of sound that only begins before it is kept: containers hide the surplus. Sound
        that the source hides stays hidden, or is dropped if the container cannot hide it.
        """
        if packet.pts is None:
            return True
        begin = packet.pts * packet.time_base
        end = begin + (packet.duration or 0) * packet.time_base
        unheard = packet.is_discard and not self._hides and end <= -PRIMING_SECONDS
        if unheard or self._info.cut is None:
            return not unheard
        if self._end is not None and begin >= self._end:
            return False
        if packet.stream.type != "subtitle":
            return end > 0
        return self._cut_subtitle(packet, begin, end)

    def _cut_subtitle(self, packet: Packet[Any], begin: Fraction, end: Fraction) -> bool:
        stream = self._streams[packet.stream.index]
        if begin == end and stream.codec in _UNTIL_NEXT:
            if begin < 0:
                packet.pts = packet.dts = 0
                self._keep(packet, stream)
            return begin >= 0
        if begin == end and not stream.text:
            return begin >= 0  # its content holds the duration
        if begin == end:
            end = begin + Fraction(USUAL_MILLISECONDS, 1000)
        shown = max(begin, Fraction(0))
        hidden = end if self._end is None else min(end, self._end)
        if hidden <= shown:
            return False
        packet.pts = packet.dts = ticks(shown, packet.time_base)
        packet.duration = ticks(hidden - shown, packet.time_base)
        return True

    def _keep(self, packet: Packet[Any], stream: StreamInfo) -> None:
        """Keep what is on the screen before the part, for its beginning."""
        if stream.codec != _PGS or bytes(packet)[:1] == bytes([_PGS_BEGINS]):
            self._before[stream.index] = []
        self._before.setdefault(stream.index, []).append(packet)


def _seconds(packet: Packet[Any]) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if time is None else time * packet.time_base


def _first_packet(info: VideoInfo, index: int) -> bytes:
    with open_input(info.path) as source:
        for packet in source.demux(source.streams[index]):
            return bytes(packet)
    return b""
