"""Scan the packets of a video: how many frames, how fast, how long."""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from math import ceil, floor
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from av.error import FFmpegError

from vsrdb_cli.video.containers.demuxing import Demuxer, codec_name, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.timing import Clock, Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# More than any common camera; what raw streams and broken headers claim lies far above.
HIGHEST_RATE = 1000
USUAL_RATE = Fraction(25)
# How many frames more or fewer there may be than at a nominal rate: a few, and of all a share.
SLACK_FRAMES = 1
TOLERANCE = Fraction(1, 100)
# How much longer or shorter the usual step may be than its: cinema's is 4% longer than PAL's.
STEP_TOLERANCE = Fraction(3, 100)
# Of a mean rate.
LARGEST_DENOMINATOR = 100_000
# Packets looked at where the header knows the rest.
FIRST_PACKETS = 300
# Frames decoded to see whether they come in the order of their times.
DECODED = 100
_VP8_SHOWN = 0x10
# Subtitles whose texts stand at the bottom, in one colour, unless they say otherwise.
_PLAIN = ("subrip", "webvtt", "text")
_STYLE = re.compile(rb"\{\\(an[13-9]|a\d|pos)|<font", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Survey:
    """What the packets of a file's main video tell.

    Attributes:
        frames: how many pictures there are; None where there is no telling.
        rate: frames per second: the nominal rate where frames keep to it, else their mean.
        usual_seconds: from one frame to the next, as most are.
        longest_seconds: the same, of the two that are furthest apart.
        seconds: from the beginning of the first frame to the end of the last; None as above.
        in_decode_order: whether the file has the times of decoding alone, and its frames are
            shown in another order.
        styled: indices of subtitles of which some have a place or a colour of their own.
    """

    frames: int | None
    rate: Fraction
    usual_seconds: Fraction
    longest_seconds: Fraction
    seconds: Fraction | None
    in_decode_order: bool
    styled: frozenset[int]


def survey(path: Path) -> Survey:
    """Look at the packets of a file's main video: at all, or the first where its header knows.

    Raises:
        VideoError: it cannot be opened, or has no video.
    """
    with open_input(path) as container:
        stream = main_video(container, path)
        time_base = stream.time_base
        assert time_base is not None
        # mp4 and mov have a table of all their frames; not so in fragments, or where some are cut.
        table = [entry.timestamp for entry in stream.index_entries]
        length = stream.duration if stream.frames == len(table) and _is_mov(container) else None
        styled: set[int] = set()
        packets = _of_video(container, stream, styled)
        if length:
            packets = islice(packets, FIRST_PACKETS)
        times, untimed, last, end = _times(container, stream, packets)
        # The times of reordered frames fall somewhere, if they are those of showing.
        rising = all(before <= after for before, after in pairwise(times))
        in_decode_order = (
            rising
            and stream.codec_context.has_b_frames
            and (keeps_decode_times(container, stream) or _falls(path))
        )
        shown = sorted(times)
        steps = [after - before for before, after in pairwise(shown) if after > before]
        said = _said_rate(stream)
        usual = median_low(steps) * time_base if steps else 1 / said
        if length:
            frames, seconds = stream.frames, length * time_base
            steps += [after - before for before, after in pairwise(table)]
            mean = stream.average_rate or frames / seconds
        elif shown:
            frames, seconds = len(shown), (max(last, end) - shown[0]) * time_base
            if end <= last:  # the last frame does not say how long it stays
                seconds += usual
            mean = frames / seconds
        else:
            frames, seconds, mean = untimed, untimed / said, said
        return Survey(
            frames=frames or None,
            rate=_rate(stream, mean, frames, usual),
            usual_seconds=usual,
            longest_seconds=max(steps, default=0) * time_base,
            seconds=seconds or None,
            in_decode_order=bool(in_decode_order),
            styled=frozenset(styled),
        )


def _is_mov(container: InputContainer) -> bool:
    return container.format.name.startswith("mov")


def _of_video(
    container: InputContainer, stream: VideoStream, styled: set[int]
) -> Iterator[Packet[Any]]:
    """The packets of the video; on the way, `styled` gets the subtitles that are."""
    texts = [other for other in container.streams if codec_name(other) in _PLAIN]
    for packet in Demuxer(container, stream, *texts):
        if packet.stream.index == stream.index:
            yield packet
        elif _STYLE.search(bytes(packet)) or packet.has_sidedata("webvtt_settings"):
            styled.add(packet.stream.index)


def _times(
    container: InputContainer, stream: VideoStream, packets: Iterable[Packet[Any]]
) -> tuple[array[int], int, int, int]:
    """When pictures are shown, in file order; how many have no time; the last time; the end."""
    assert stream.time_base is not None
    step = max(1, round(1 / _said_rate(stream) / stream.time_base))
    clock = Clock(Timeline(stream.time_base, step, Fraction(0)))
    by_dts = keeps_decode_times(container, stream)
    times, untimed, last, end = array("q"), 0, 0, 0
    made_up = MadeUp(stream)
    # Pictures that only serve to decode others; VP8 alone has them in packets of their own.
    vp8 = codec_name(stream) == "vp8"
    for packet in packets:
        hidden = vp8 and packet.size and not memoryview(packet)[0] & _VP8_SHOWN
        if packet.is_discard or hidden:
            continue
        clock.mend(packet)
        time = time_of(packet, by_dts=by_dts)
        if time is None:
            untimed += bool(packet.size)
            continue
        last = max(last, time)
        if packet.duration and not made_up.is_of(packet.duration):
            end = max(end, time + packet.duration)
        if packet.size:  # an empty one shows the picture before once more
            times.append(time)
    return times, untimed, last, end


def _said_rate(stream: VideoStream) -> Fraction:
    """What the headers say, where it can be: the mean rather than the nominal rate."""
    rates = [r for r in (stream.average_rate, stream.guessed_rate) if r and 0 < r < HIGHEST_RATE]
    return rates[0] if rates else USUAL_RATE


def _rate(stream: VideoStream, mean: Fraction, frames: int, usual: Fraction) -> Fraction:
    """The nominal rate if that is how far apart frames are, and how many; else their mean."""
    assert stream.time_base is not None
    for rate in (stream.guessed_rate, stream.average_rate):
        if not rate or rate < 0:
            continue
        like_steps = abs(usual - 1 / rate) <= max(stream.time_base, STEP_TOLERANCE / rate)
        surplus = abs(rate / mean - 1) * frames
        if like_steps and surplus <= SLACK_FRAMES + TOLERANCE * frames:
            return rate
    if mean < 1:
        return 1 / (1 / mean).limit_denominator(LARGEST_DENOMINATOR)
    return mean.limit_denominator(LARGEST_DENOMINATOR)


class MadeUp:
    """Tells the length that FFmpeg gives to packets which say none: that of its guessed rate.

    Args:
        rate: that frames keep to, where it is known; lengths of just that are as good as said.
    """

    def __init__(self, stream: VideoStream, rate: Fraction | None = None) -> None:
        guess, time_base = stream.guessed_rate, stream.time_base
        self._ticks: set[int] = set()
        if guess and time_base and guess != rate:
            length = 1 / guess / time_base
            self._ticks = {floor(length), ceil(length)} - {0}

    def is_of(self, duration: int | None) -> bool:
        """Whether a packet's or frame's length, in ticks, is no more than a guess."""
        return duration in self._ticks


def time_of(packet: Packet[Any], *, by_dts: bool) -> int | None:
    """When a packet's picture is shown, or decoded where that is all that its file says."""
    if packet.pts is None or (by_dts and packet.dts is not None):
        return packet.dts
    return packet.pts


def keeps_decode_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a kind of file has no place for the times at which frames are shown.

    So it is in AVI, and in what Matroska keeps as AVI has it, which has a tag there. FFmpeg makes
    up the others.
    """
    name = container.format.name
    tag = str(stream.codec_context.codec_tag).strip("\0")
    return name == "avi" or (name.startswith("matroska") and bool(tag))


def _falls(path: Path) -> bool:
    """Whether frames come out of the decoder in another order than that of their times."""
    with open_input(path) as container:
        stream = main_video(container, path)
        last, count = None, 0
        for packet in Demuxer(container, stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                if frame.pts is not None and last is not None and frame.pts < last:
                    return True
                last = frame.pts
                count += 1
            if count >= DECODED:
                break
    return False


class PacketSize(NamedTuple):
    """Of a video: whether it stands alone, and its bytes."""

    key: bool
    size: int


def packets_of(path: Path, beside: Collection[int] = ()) -> tuple[list[PacketSize], int]:
    """The packets of a file's main video, in file order, and the bytes of other streams.

    Args:
        beside: the indices of those streams; attachments count as nothing.
    """
    packets, others = [], 0
    with open_input(path) as container:
        video = main_video(container, path)
        streams = [s for s in container.streams if s.index in beside and s.type != "attachment"]
        for packet in Demuxer(container, video, *streams):
            if packet.stream.index != video.index:
                others += packet.size
            elif packet.size:
                packets.append(PacketSize(packet.is_keyframe, packet.size))
    return packets, others
