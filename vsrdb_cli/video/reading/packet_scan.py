"""Scan the packets of a video: how many frames, how fast, how long.

Headers only guess a frame rate, and a container's length is that of its longest stream. Hardly
anything is decoded here.
"""

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

from vsrdb_cli.video.containers.demuxing import Demuxer, codec_name, decoded_frames, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.timing import Clock, Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# More than any common camera; what raw streams and broken headers claim lies far above.
HIGHEST_RATE = 1000
USUAL_RATE = Fraction(25)
# How many frames more or fewer than at a nominal rate there may be: a number plus a share of all.
SLACK_FRAMES = 1
TOLERANCE = Fraction(1, 100)
# How much the usual step may differ from the nominal one: cinema's is 4% longer than PAL's.
STEP_TOLERANCE = Fraction(3, 100)
# Of a mean rate.
LARGEST_DENOMINATOR = 100_000
# Packets scanned if the header knows the rest.
FIRST_PACKETS = 300
# Frames decoded to check whether they come in the order of their times.
DECODED = 100
_VP8_SHOWN = 0x10
# Subtitles at the bottom in one colour, unless a text specifies something else.
_PLAIN = ("subrip", "webvtt", "text")
_STYLE = re.compile(rb"\{\\(an[13-9]|a\d|pos)|<font", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PacketScan:
    """What the packets of a file's main video tell."""

    frames: int | None
    """The number of pictures; None if unknown."""
    rate: Fraction
    """Frames per second: the nominal rate if frames keep to it, else their mean."""
    usual_seconds: Fraction
    """Between most frames and the next."""
    longest_seconds: Fraction
    """Between the two frames that are furthest apart."""
    seconds: Fraction | None
    """From the beginning of the first frame to the end of the last; None if unknown."""
    in_decode_order: bool
    """Whether the file has only decoding times, and shows frames in another order."""
    styled: frozenset[int]
    """Indices of subtitles in which some text has a position or colour of its own."""


def scan_packets(path: Path) -> PacketScan:
    """Scan the packets of a file's main video: all, or the first if the header knows the rest.

    Raises:
        VideoError: it cannot be opened, or has no video.
    """
    with open_input(path) as container:
        stream = main_video(container, path)
        time_base = stream.time_base
        assert time_base is not None
        # mp4 and mov have a table of all their frames, except in fragments or where some are cut.
        table = [entry.timestamp for entry in stream.index_entries]
        length = stream.duration if stream.frames == len(table) and _is_mov(container) else None
        styled: set[int] = set()
        packets = _of_video(container, stream, styled)
        if length:
            packets = islice(packets, FIRST_PACKETS)
        times, untimed, last, end = _times(container, stream, packets)
        # The presentation times of reordered frames fall somewhere.
        rising = all(before <= after for before, after in pairwise(times))
        in_decode_order = (
            rising
            and stream.codec_context.has_b_frames
            and (keeps_decode_times(container, stream) or _is_reordered(path))
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
            if end <= last:  # the last frame has no duration
                seconds += usual
            mean = frames / seconds
        else:
            frames, seconds, mean = untimed, untimed / said, said
        return PacketScan(
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
    """Yield the packets of the video; add the indices of styled subtitles to `styled`."""
    texts = [other for other in container.streams if codec_name(other) in _PLAIN]
    for packet in Demuxer(container, stream, *texts):
        if packet.stream.index == stream.index:
            yield packet
        elif _STYLE.search(bytes(packet)) or packet.has_sidedata("webvtt_settings"):
            styled.add(packet.stream.index)


def _times(
    container: InputContainer, stream: VideoStream, packets: Iterable[Packet[Any]]
) -> tuple[array[int], int, int, int]:
    """Return when pictures are shown, in file order; how many have no time; last time and end."""
    assert stream.time_base is not None
    step = max(1, round(1 / _said_rate(stream) / stream.time_base))
    clock = Clock(Timeline(stream.time_base, step, Fraction(0)))
    by_dts = keeps_decode_times(container, stream)
    times, untimed, last, end = array("q"), 0, 0, 0
    made_up = GuessedDuration(stream)
    # Pictures that only serve to decode others; VP8 alone has them in packets of their own.
    vp8 = codec_name(stream) == "vp8"
    for packet in packets:
        hidden = vp8 and packet.size and not memoryview(packet)[0] & _VP8_SHOWN
        if packet.is_discard or hidden:
            continue
        clock.repair(packet)
        time = time_of(packet, by_dts=by_dts)
        if time is None:
            untimed += bool(packet.size)
            continue
        last = max(last, time)
        if packet.duration and not made_up.is_of(packet.duration):
            end = max(end, time + packet.duration)
        if packet.size:  # an empty one repeats the picture before
            times.append(time)
    return times, untimed, last, end


def _said_rate(stream: VideoStream) -> Fraction:
    """Return the rate the headers give, if plausible: mean rather than nominal."""
    rates = [r for r in (stream.average_rate, stream.guessed_rate) if r and 0 < r < HIGHEST_RATE]
    return rates[0] if rates else USUAL_RATE


def _rate(stream: VideoStream, mean: Fraction, frames: int, usual: Fraction) -> Fraction:
    """Return the nominal rate if frames keep to it, else their mean."""
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


class GuessedDuration:
    """Recognizes durations that FFmpeg gives to packets without one, by its guessed rate.

    Args:
        rate: that frames keep to, if known; durations of just that are not guesses.
    """

    def __init__(self, stream: VideoStream, rate: Fraction | None = None) -> None:
        guess, time_base = stream.guessed_rate, stream.time_base
        self._ticks: set[int] = set()
        if guess and time_base and guess != rate:
            length = 1 / guess / time_base
            self._ticks = {floor(length), ceil(length)} - {0}

    def is_of(self, duration: int | None) -> bool:
        """Return whether a packet's or frame's duration, in ticks, is only a guess."""
        return duration in self._ticks


def time_of(packet: Packet[Any], *, by_dts: bool) -> int | None:
    """Return when a packet's picture is shown, or decoded if the file gives nothing else."""
    if packet.pts is None or (by_dts and packet.dts is not None):
        return packet.dts
    return packet.pts


def keeps_decode_times(container: InputContainer, stream: VideoStream) -> bool:
    """Return whether a kind of file has no place for the times of showing.

    AVI is one, and so is AVI's mode in Matroska, which has a tag there. FFmpeg makes up
    presentation times.
    """
    name = container.format.name
    tag = str(stream.codec_context.codec_tag).strip("\0")
    return name == "avi" or (name.startswith("matroska") and bool(tag))


def _is_reordered(path: Path) -> bool:
    """Return whether the decoder gives frames in another order than that of their times."""
    with open_input(path) as container:
        decoded = decoded_frames(container, main_video(container, path))
        times = [frame.pts for frame in islice(decoded, DECODED)]
    return any(
        before is not None and after is not None and after < before
        for before, after in pairwise(times)
    )


class PacketSize(NamedTuple):
    """One packet of a video."""

    key: bool
    """Whether it can be decoded alone."""
    size: int
    """In bytes."""


def packet_sizes(path: Path, beside: Collection[int] = ()) -> tuple[list[PacketSize], int]:
    """Return the packets of a file's main video, in file order, and the bytes of other streams.

    Args:
        beside: the indices of those streams; attachments do not count.
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


def end_seconds(
    container: InputContainer, stream: VideoStream, start_seconds: Fraction
) -> Fraction | None:
    """Return when the video ends, where the container counts ticks, as mp4 and mov do."""
    if not container.format.name.startswith("mov") or not stream.duration:
        return None
    assert stream.time_base is not None
    return ((stream.start_time or 0) + stream.duration) * stream.time_base - start_seconds


def promised_seconds(
    container: InputContainer, stream: VideoStream, start_seconds: Fraction
) -> Fraction | None:
    """Return when the file says the video ends, on our clock; None if it says it of all streams."""
    end = end_seconds(container, stream, start_seconds)
    if end is not None:
        return end
    # Matroska, as FFmpeg and mkvmerge write it: hours, minutes and seconds from the file's 0.
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in tag.groups())
    return 3600 * hours + 60 * minutes + seconds - start_seconds
