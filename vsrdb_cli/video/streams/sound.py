"""Decode sound, measure its loudness over time, and compare two tracks by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor, inf
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vsrdb_cli.video.containers.demuxing import Demuxer

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

BINS_A_SECOND = 100
# Encoders smear a sound over their window, and add up to two of these to its end.
SMEAR_BINS = 3
# Opus rings after a burst that is followed by silence.
RING_BINS = 15
WINDOW_SAMPLES = 1024
# Sound that a decoder may need before the first it gives: AAC 0.05 s, Opus 0.08 s.
PRIMING_SECONDS = Fraction(1, 10)
# Two roundings of containers that count milliseconds, and what edit lists cut off.
ROUNDING_SECONDS = Fraction(1, 125)
# Smaller differences between a packet's time and the samples before it are not a gap.
JITTER_SECONDS = Fraction(40, 1000)
# No pause is as long: times that jump so far are damaged.
LONGEST_PAUSE_SECONDS = 24 * 3600
# Nor is a pause as long after the last picture.
LONGEST_PAUSE_AFTER_VIDEO_SECONDS = 60
# Inaudible: a decoder that restarts after damage gives as much more or less.
UNHEARD_SECONDS = Fraction(2, 100)
# Full scale is 1; what is louder is damaged.
LOUDEST = 100
# Decibels below a track's usual level at which a sound still counts, and at which silence begins.
AUDIBLE = 25
SILENT = 45
_FLOOR = 1e-9  # mean square
_SILENCE = -90.0  # the same in decibels
_SPARE = 6000
# How soon a steady offset of all samples, which some encoders leave out, is taken for none.
_OFFSET_SECONDS = 0.05
_KINDS = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}

Levels = NDArray[np.float64]


class Loudness:
    """How loud a track is in each hundredth of a second; takes 30 MB for ten hours.

    Attributes:
        begin_seconds, end_seconds: of the first decoded sample and after the last; None if none.
        overlap_seconds: how much begins before what came before it has ended; players play one
            after the other.
        sounding_seconds: of all samples together.
        shapes: (samples a second, channels) of its stretches.
    """

    def __init__(self) -> None:
        self._energy: Levels = np.zeros(0)
        self._first = 0  # bin of the array's first entry
        self.begin_seconds: Fraction | None = None
        self.end_seconds: Fraction | None = None
        self.overlap_seconds = Fraction(0)
        self.sounding_seconds = Fraction(0)
        self.shapes: set[tuple[int, int]] = set()
        self._due: Fraction | None = None  # when the next sample is, if there is no gap
        self._offset: NDArray[np.float32] | None = None  # of each channel, (channels, 1)
        self._averaged = 0.0  # seconds of which that is the mean

    @property
    def has_sound(self) -> bool:
        """True if there is any sample."""
        return self.begin_seconds is not None

    def add(self, samples: NDArray[Any], rate: int, begin_seconds: Fraction) -> None:
        """Take more samples.

        Args:
            samples: (channels, count), as FFmpeg has them: floats to 1, or integers.
            rate: of them a second.
            begin_seconds: of the first one.
        """
        count = samples.shape[1]
        if not count:
            return
        squares = (self._without_offset(_unit(samples), rate) ** 2).mean(0)
        first = floor(begin_seconds * rate)
        bins = (first + np.arange(count)) * BINS_A_SECOND // rate
        sums = np.bincount(bins - bins[0], squares) * (BINS_A_SECOND / rate)
        self._reach(int(bins[0]), int(bins[-1]) + 1)
        place = int(bins[0]) - self._first
        self._energy[place : place + len(sums)] += sums
        end = begin_seconds + Fraction(count, rate)
        if self._due is None or abs(self._due - begin_seconds) > ROUNDING_SECONDS:
            self.overlap_seconds += max((self._due or begin_seconds) - begin_seconds, Fraction(0))
            self._due = begin_seconds
        self._due += Fraction(count, rate)
        if self.begin_seconds is None or begin_seconds < self.begin_seconds:
            self.begin_seconds = begin_seconds
        self.end_seconds = end if self.end_seconds is None else max(end, self.end_seconds)
        self.sounding_seconds += Fraction(count, rate)
        self.shapes.add((rate, samples.shape[0]))

    def _without_offset(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        mean = samples.mean(1, keepdims=True)
        if self._offset is None or len(self._offset) != len(mean):
            self._offset, self._averaged = mean, 0.0
        seconds = samples.shape[1] / rate
        self._averaged = min(self._averaged + seconds, _OFFSET_SECONDS)
        share = min(1.0, seconds / self._averaged)
        self._offset = self._offset + share * (mean - self._offset)
        return samples - self._offset

    def _reach(self, first: int, last: int) -> None:
        if not len(self._energy):
            self._first = first
        before = max(0, self._first - first)
        after = max(0, last - self._first - len(self._energy))
        if before or after:
            self._energy = np.pad(
                self._energy,
                (before and before + _SPARE, after and after + _SPARE + len(self._energy) // 4),
            )
            self._first -= before and before + _SPARE

    def levels(self, first: int, last: int) -> Levels:
        """Return decibels of the bins `first` <= i < `last`; full scale is 0, silence -90."""
        levels = np.zeros(max(0, last - first))
        begin = max(first, self._first)
        end = min(last, self._first + len(self._energy))
        if begin < end:
            levels[begin - first : end - first] = self._energy[
                begin - self._first : end - self._first
            ]
        return 10 * np.log10(np.maximum(levels, _FLOOR))


def _unit(samples: NDArray[Any]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        unit -= 128
        unit /= 128
    elif samples.dtype.kind == "i":
        unit /= -float(np.iinfo(samples.dtype).min)
    else:  # which may be NaN, or any number
        unit = np.nan_to_num(unit, nan=0.0).clip(-1, 1)
    return unit


def make_finite(frame: AudioFrame) -> None:
    """Replace in place what no encoder takes: numbers that are not finite, or no amplitudes."""
    kind = _KINDS[frame.format.name.rstrip("p")]
    if not np.issubdtype(kind, np.floating):
        return
    for plane in _planes(frame):
        samples = np.frombuffer(plane, kind)
        np.nan_to_num(samples, copy=False, nan=0.0)
        samples.clip(-LOUDEST, LOUDEST, out=samples)


def samples_of(frame: AudioFrame) -> NDArray[Any]:
    """Return the samples of a decoded frame, (channels, count)."""
    channels = frame.layout.nb_channels
    if frame.format.is_packed:
        return frame.to_ndarray().reshape(-1, channels).T
    kind = _KINDS[frame.format.name.rstrip("p")]
    return np.stack([np.frombuffer(plane, kind, frame.samples) for plane in _planes(frame)])


def _planes(frame: AudioFrame) -> tuple[Any, ...]:
    # PyAV counts one plane too many where there are eight, and reads what is not there.
    return frame.planes[: 1 if frame.format.is_packed else frame.layout.nb_channels]


class SoundDecoder:
    """Decodes the packets of one track, in order, to frames at their times.

    Args:
        video_end_seconds: when the last picture ends, on the packets' clock; None if unknown.

    Attributes:
        failed: packets that could not be decoded, and jumps of damaged times.
    """

    def __init__(self, video_end_seconds: float | None = None) -> None:
        self._video_end = inf if video_end_seconds is None else video_end_seconds
        self._due: Fraction | None = None
        self._jumped = Fraction(0)  # seconds, in damaged times
        self._begun = False
        self.failed = 0

    def __call__(self, packet: Packet[Any]) -> Iterator[tuple[AudioFrame, Fraction]]:
        """Yield the frames of a packet, and when they begin, in seconds."""
        if not self._begun:
            self._begun = True
            _own_layout(packet.stream.codec_context)
        if self._due is None and packet.pts is not None:
            self._due = packet.pts * packet.time_base
        try:
            frames = cast("list[AudioFrame]", packet.decode())
        except FFmpegError:
            self.failed += 1
            return
        for frame in frames:
            begin = due = self._due or Fraction(0)
            if frame.pts is not None and frame.time_base is not None:
                begin = frame.pts * frame.time_base - self._jumped
            if self._is_damaged(due, begin):
                self._jumped += begin - due
                begin = due
                self.failed += 1
            self._due = begin + Fraction(frame.samples, frame.sample_rate)
            yield frame, begin

    def _is_damaged(self, due: Fraction, begin: Fraction) -> bool:
        """Return whether no sound pauses, or goes back, from one time to the other."""
        pause = begin - due
        after_video = begin > self._video_end and pause > LONGEST_PAUSE_AFTER_VIDEO_SECONDS
        return after_video or abs(pause) > LONGEST_PAUSE_SECONDS


def _own_layout(context: AudioCodecContext) -> None:
    """Discard channel positions that are listed one by one: PyAV frees the list with each frame.

    MOV has such a list if channels are in an unusual order.
    """
    layout = context.layout
    if "(" in layout.name and not context.is_open:
        context.layout = f"{layout.nb_channels} channels"


def flushing(stream: AudioStream) -> Packet[Any]:
    """Return a packet at which a track's decoder gives what it still holds."""
    packet: Packet[Any] = av.Packet()
    packet.stream = stream
    return packet


def measure_loudness(container: InputContainer, zero_seconds: Fraction) -> list[Loudness]:
    """Decode all sound of a newly opened file.

    Args:
        zero_seconds: subtracted from its times.

    Returns:
        The loudness of each track, in their order.
    """
    tracks = {stream.index: (SoundDecoder(), Loudness()) for stream in container.streams.audio}
    if not tracks:
        return []
    for packet in Demuxer(container, *container.streams.audio):
        decode, loudness = tracks[packet.stream.index]
        for frame, begin in decode(packet):
            loudness.add(samples_of(frame), frame.sample_rate, begin - zero_seconds)
    return [loudness for _, loudness in tracks.values()]


def match_tracks(sources: Sequence[Loudness], outputs: Sequence[Loudness]) -> list[Loudness | None]:
    """Find the output's track for each of a source's; both are in the output's order.

    Containers may leave out tracks without packets, and thus any without sound.

    Returns:
        For each of `sources` one of `outputs`, or None if it was left out.
    """
    if len(sources) == len(outputs):
        return list(outputs)
    sounding = (output for output in outputs if output.has_sound)
    return [next(sounding, None) if source.has_sound else None for source in sources]


def describe_difference(  # noqa: PLR0911  one answer for each way to differ
    source: Loudness, output: Loudness, begin_seconds: Fraction | None, end_seconds: Fraction | None
) -> str | None:
    """Describe where an output's track sounds unlike its source's; None if nowhere.

    Args:
        begin_seconds, end_seconds: between which the two are compared; None as far as there is
            sound.
    """
    if source.begin_seconds is None or source.end_seconds is None:
        return None
    begin, end = source.begin_seconds, source.end_seconds
    begin = begin if begin_seconds is None else max(begin_seconds, begin)
    end = end if end_seconds is None else min(end_seconds, end)
    if begin >= end:
        return None
    slack = Fraction(SMEAR_BINS, BINS_A_SECOND)
    slowest = min(rate for rate, _ in source.shapes | output.shapes)
    slack += max(Fraction(2 * WINDOW_SAMPLES, slowest), JITTER_SECONDS)
    if output.begin_seconds is None or output.end_seconds is None:
        # A decoder's priming may take up all of a packet or two.
        return "is silent" if end - begin > slack else None
    # What lies beyond belongs to the first and the last packet.
    found_begin = output.begin_seconds
    found_begin = found_begin if begin_seconds is None else max(found_begin, begin_seconds)
    found_end = output.end_seconds
    found_end = found_end if end_seconds is None else min(found_end, end_seconds)
    if abs(found_begin - begin) > slack + PRIMING_SECONDS:
        return f"begins at {_words(found_begin)}, in the source at {_words(begin)}"
    if abs(found_end - end) > slack:
        return f"ends at {_words(found_end)}, in the source at {_words(end)}"
    overlap = output.overlap_seconds - source.overlap_seconds
    if overlap > slack:
        return f"plays {_words(overlap)} too long"
    hidden = begin - source.begin_seconds + source.end_seconds - end
    lack = source.sounding_seconds - hidden - output.sounding_seconds + overlap
    if lack > slack:
        return f"lacks {_words(lack)}"
    return _difference_in_places(
        source, output, floor(begin * BINS_A_SECOND), floor(end * BINS_A_SECOND)
    )


def _difference_in_places(source: Loudness, output: Loudness, first: int, last: int) -> str | None:
    if first == last:  # within one bin
        return None
    around = first - RING_BINS, last + SMEAR_BINS
    heard, given = source.levels(*around), output.levels(*around)
    level = _usual(heard)
    inside = slice(RING_BINS, -SMEAR_BINS)
    given_near = _loudest_near(given[RING_BINS - SMEAR_BINS :], SMEAR_BINS)
    heard_near = _loudest_near(heard, RING_BINS)
    missing = (heard[inside] > level - AUDIBLE) & (given_near < level - SILENT)
    added = (given[inside] > level - AUDIBLE) & (heard_near < level - SILENT)
    for places, word in ((missing, "missing"), (added, "too much")):
        length = Fraction(int(places.sum()), BINS_A_SECOND)
        # Of overlapping parts, where recordings were joined, only one can be heard.
        if length > source.overlap_seconds + UNHEARD_SECONDS:
            at = Fraction(first + int(places.argmax()), BINS_A_SECOND)
            return f"has {_words(length)} {word}, the first at {_words(at)}"
    return None


def _usual(levels: Levels) -> float:
    """Return the level of the louder parts; infinity if all is silence."""
    sounding = levels[levels > _SILENCE + 10]
    return float(np.percentile(sounding, 90)) if len(sounding) else np.inf


def _loudest_near(levels: Levels, before: int) -> Levels:
    """Return the loudest of each bin, `before` bins before it, and some after; not at the ends."""
    window = before + 1 + SMEAR_BINS
    loudest: Levels = np.lib.stride_tricks.sliding_window_view(levels, window).max(1)
    return loudest


def _words(seconds: Fraction) -> str:
    return f"{float(seconds):.3f} s"
