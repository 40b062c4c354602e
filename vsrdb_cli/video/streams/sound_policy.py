"""Decide for sound whether a copy sounds the same, and what it is re-encoded as otherwise."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import EOFError, FFmpegError

from vsrdb_cli.text import count
from vsrdb_cli.video.containers.capabilities import CONTAINERS, Container
from vsrdb_cli.video.containers.demuxing import Demuxer
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.info import StreamInfo, VideoInfo
from vsrdb_cli.video.streams.plan import (
    SoundTarget,
    StreamAction,
    StreamPlan,
    can_be_mixed,
    holds,
    nearest_target,
)
from vsrdb_cli.video.streams.side_streams import READ_ON_SECONDS, SideStreams
from vsrdb_cli.video.streams.sound import (
    PRIMING_SECONDS,
    ROUNDING_SECONDS,
    SoundDecoder,
    describe_difference,
    match_tracks,
    measure_loudness,
)

if TYPE_CHECKING:
    from av.packet import Packet, PktSideDataT


_IN_MEMORY = 64 << 20
# Samples a second: fewer than anyone can hear, and more than DSD has, are of a damaged header.
_POSSIBLE_RATES = range(100, 3_000_000)
_CHANGES: tuple[PktSideDataT, ...] = ("new_extradata", "param_change")
# Codecs whose copies sound the same in every container that holds them, as tested; others are
# tried.
_USUAL = {"aac", "mp2", "mp3", "ac3", "eac3", "dts", "flac", "alac", "opus", "vorbis"}


@dataclass
class SoundScan:
    """What decoding a track shows."""

    decode: SoundDecoder
    """Decodes its packets."""
    shapes: set[tuple[int, str, str]] = field(default_factory=set)
    """Each (samples a second, channel layout, sample format) of its frames."""
    changes: bool = False
    """Whether packets give the decoder other parameters on the way."""
    hides_inside: bool = False
    """Whether something between two audible parts is hidden."""
    goes_back: bool = False
    """Whether times fall, which those of a copy may not."""
    begins_late: bool = False
    """Whether there are packets long before the first sound, as nothing but priming."""
    drifts: bool = False
    """Whether samples are not where counting from the first one places them."""
    packets: int = 0
    """The number of packets."""
    first: tuple[bytes, int] | None = None
    """The bytes and the duration of the first packet."""
    _sounded: bool = False
    _hid: bool = False
    _due: Fraction | None = None
    _last: int | None = None

    def take(self, packet: Packet[Any]) -> None:
        """Decode the stream's next packet."""
        if self._due is None and packet.pts is not None:
            self._due = packet.pts * packet.time_base
        for frame, begin in self.decode(packet):
            due = begin if self._due is None else self._due
            if not self.shapes:
                self.begins_late = begin - due > PRIMING_SECONDS
                due = begin
            self.shapes.add((frame.sample_rate, frame.layout.name, frame.format.name))
            self.drifts |= abs(begin - due) > ROUNDING_SECONDS
            self._due = due + Fraction(frame.samples, frame.sample_rate)
        if packet.size and self.first is None:
            self.first = bytes(packet), packet.duration or 1
        self.packets += bool(packet.size)
        if packet.pts is not None:
            self.goes_back |= self._last is not None and packet.pts < self._last
            self._last = packet.pts
        if packet.is_discard or not packet.size:
            self._hid |= self._sounded
            return
        self.changes |= self._sounded and any(map(packet.has_sidedata, _CHANGES))
        hidden_before, hidden_after = _skipped(packet)
        self.hides_inside |= self._sounded and (self._hid or hidden_before > 0)
        self._hid = hidden_after > 0
        self._sounded = True

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout with the most channels."""
        return max((layout for _, layout, _ in self.shapes), key=_channels)

    @property
    def failed(self) -> int:
        """Number of packets that could not be decoded."""
        return self.decode.failed

    @property
    def decodes(self) -> bool:
        """True if most of it could be decoded."""
        return bool(self.shapes) and 2 * self.failed < self.packets

    @property
    def impossible_rate(self) -> int | None:
        """Samples a second that no sound has, as a damaged header gives; None if there are none."""
        rates = [rate for rate, _, _ in self.shapes]
        possible = not rates or any(rate in _POSSIBLE_RATES for rate in rates)
        return None if possible else max(rates)

    @property
    def is_plain(self) -> bool:
        """True if nothing prevents a copy."""
        hides = self.hides_inside or self.begins_late
        doubts = self.failed or self.changes or hides or self.goes_back
        return len(self.shapes) <= 1 and not doubts


def _skipped(packet: Packet[Any]) -> tuple[int, int]:
    """Return how many samples at a packet's beginning and end are not heard."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    begin, end = struct.unpack_from("<2I", bytes(packet.get_sidedata("skip_samples")))
    return begin, end


def scan_sound(info: VideoInfo) -> Mapping[int, SoundScan]:
    """Decode all sound of a source once; return scans by stream index."""
    last = None
    if info.duration_seconds is not None:
        last = float(info.start_seconds) + info.duration_seconds
    sounds = [s.index for s in info.streams if s.type == "audio" and s.codec]
    tracks = {index: SoundScan(SoundDecoder(last)) for index in sounds}
    if not tracks:
        return tracks
    end = None
    if info.cut is not None and info.cut.seconds is not None:
        end = info.start_seconds + info.cut.seconds + READ_ON_SECONDS
    with open_input(info.path) as container:
        streams = [container.streams[index] for index in tracks]
        for packet in Demuxer(container, *streams):
            if end is not None and packet.dts is not None and packet.dts * packet.time_base > end:
                break
            tracks[packet.stream.index].take(packet)
    return tracks


def choose_sound_target(
    stream: StreamInfo, heard: SoundScan, container: Container
) -> SoundTarget | None:
    """Choose an encoding for a track; None if it cannot be decoded or mixed."""
    if not heard.shapes:
        return None
    rate = max(rate for rate, _, _ in heard.shapes)
    layout = heard.layout
    deepest = max((kind for _, _, kind in heard.shapes), key=lambda kind: av.AudioFormat(kind).bits)
    encoders = (container.lossless, container.lossy)
    for encoder in encoders if _is_lossless(stream.codec) else encoders[1:]:
        target = nearest_target(encoder, rate, layout, deepest)
        if target is not None and holds(target.layout, layout):
            return target
    return target if can_be_mixed(layout) else None


def _is_lossless(codec: str) -> bool:
    """Return whether the codec loses nothing; of codecs that can do both, DTS mostly loses."""
    if codec.startswith("pcm_") or codec == "wavpack":
        return True
    decoder = av.Codec(codec, "r")
    return decoder.lossless and not decoder.lossy


def _is_doubted(plan: StreamPlan, heard: Mapping[int, SoundScan]) -> bool:
    track = heard.get(plan.stream.index)
    if track is None or plan.action is not StreamAction.COPY:
        return False
    # mp4 and mov give uncompressed samples no times of their own: gaps would close.
    counted = plan.stream.codec.startswith("pcm_") and not track.drifts
    return not (track.is_plain and (counted or plan.stream.codec in _USUAL))


def _channels(layout: str) -> int:
    return int(av.AudioLayout(layout).nb_channels)


def try_copies(
    info: VideoInfo, plans: Sequence[StreamPlan], suffix: str, heard: Mapping[int, SoundScan]
) -> Mapping[int, str]:
    """Copy doubtful tracks for a trial, and describe by index what is wrong with the copies."""
    tried = tuple(plan for plan in plans if _is_doubted(plan, heard))
    wrong: dict[int, str] = {}
    if not tried:
        return wrong
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        output = av.open(file, "w", format=CONTAINERS[suffix].format)
        plans = tuple(replace(plan, decodes=heard[plan.stream.index].decodes) for plan in tried)
        side = SideStreams(info, plans, output)
        try:
            output.start_encoding()
            side.finish()
            output.close()
            file.seek(0)
            with av.open(file, "r") as copied:
                copies = measure_loudness(copied, side.moved_seconds)
        except EOFError:  # nothing was written
            return wrong
        except FFmpegError as error:
            return {plan.stream.index: f"cannot be written ({error.strerror})" for plan in tried}
        finally:
            side.close()
    sources = [side.heard[plan.stream.index] for plan in tried]
    matched = zip(tried, sources, match_tracks(sources, copies), strict=True)
    for plan, source, copy in matched:
        index = plan.stream.index
        if not source.has_sound:
            continue
        if copy is None:
            wrong[index] = "is empty"
        elif source.shapes != copy.shapes:
            wrong[index] = "does not change its channels or rate as the source does"
        elif (lost := side.copied.lost(index)) > heard[index].failed:
            wrong[index] = f"loses {count(lost, 'packet')}"
        elif words := describe_difference(source, copy, *side.audible(Fraction(0))):
            wrong[index] = words
    return wrong
