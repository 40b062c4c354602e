"""Re-encode sound that cannot be copied, or whose copy would not sound the same."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from vsrdb_cli.video.streams.plan import SoundTarget
from vsrdb_cli.video.streams.sound import (
    JITTER_SECONDS,
    Loudness,
    SoundDecoder,
    flushing,
    make_finite,
    samples_of,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_DTYPES: dict[str, Any] = {"s16": np.int16, "s32": np.int32, "flt": np.float32}


class SoundConverter:
    """Encodes packets of a source's sound again, each sample at its own time.

    Gaps become silence, overlaps are dropped, and what the source hides stays hidden.

    Args:
        source: its stream.
        output: before its header is written; the stream is added to it.
        target: what it becomes.
        decode: decodes the packets.
        begin_seconds, end_seconds: samples outside are dropped; None for no limit.

    Attributes:
        heard: the loudness of what went in, but for what is dropped.
    """

    def __init__(
        self,
        source: AudioStream,
        output: OutputContainer,
        target: SoundTarget,
        decode: SoundDecoder,
        *,
        begin_seconds: Fraction | None = None,
        end_seconds: Fraction | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._begin, self._end = begin_seconds, end_seconds
        self.stream = cast("AudioStream", output.add_stream(target.encoder, rate=target.rate))
        target.open(self.stream.codec_context)
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, target.rate)
        self.heard = Loudness()
        self._decode = decode
        self._resampler: AudioResampler | None = None
        self._shape: tuple[int, str, str] | None = None
        self._run_begin = Fraction(0)  # of the samples that follow one another without a gap
        self._run_samples = 0
        self._taken = Fraction(0)  # before this there was other sound already as they began
        self._first: int | None = None  # place of the first sample, in samples of the target
        self._written: int | None = None  # place after the last sample, in samples of the target
        self._left_out = 0  # samples of the target

    @property
    def failed(self) -> int:
        """Number of packets that could not be decoded."""
        return self._decode.failed

    @property
    def overlap_seconds(self) -> Fraction:
        """Duration of sound that was left out because there was other sound at its time."""
        return Fraction(self._left_out, self._target.rate)

    @property
    def begin_seconds(self) -> Fraction:
        """Time of the first sample that is heard, after the encoder's priming; 0 if none is."""
        return Fraction(self._first or 0, self._target.rate)

    def __call__(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """Yield the packets that are ready after one more of the source, its times repaired."""
        for frame, begin in self._decode(packet):
            yield from self._take(frame, begin)

    def finish(self) -> Iterator[Packet[Any]]:
        """Yield the packets that the decoder and the encoder still hold."""
        for frame, begin in self._decode(flushing(self._source)):
            yield from self._take(frame, begin)
        yield from self._drain()
        if self._written is not None:
            yield from self.stream.encode(None)

    @property
    def _due(self) -> Fraction:
        """Time at which the next sample is due if there is no gap."""
        rate = self._shape[0] if self._shape else 1
        return self._run_begin + Fraction(self._run_samples, rate)

    def _take(self, frame: AudioFrame, begin: Fraction) -> Iterator[Packet[Any]]:
        make_finite(frame)
        shape = frame.sample_rate, frame.format.name, frame.layout.name
        jump = self._shape is not None and abs(begin - self._due) > JITTER_SECONDS
        if shape != self._shape or jump:
            yield from self._drain()
            self._shape, self._run_begin, self._run_samples = shape, begin, 0
            target = self._target
            self._resampler = AudioResampler(target.packed_format, target.layout, target.rate)
            place = round(begin * target.rate)
            if self._written is None:
                self._written = place
            yield from self._pad(place)
            self._skip = max(0, self._written - place)
            self._taken = Fraction(self._written, target.rate)
        begin = self._due
        self._run_samples += frame.samples
        samples = samples_of(frame)
        self._listen(samples, frame.sample_rate, begin)
        assert self._resampler is not None
        frame.pts = None
        for resampled in self._resampler.resample(frame):
            yield from self._encode(samples_of(resampled))

    def _listen(self, samples: NDArray[Any], rate: int, begin: Fraction) -> None:
        wanted = self._taken if self._begin is None else max(self._taken, self._begin)
        first = max(0, round((wanted - begin) * rate))
        last = samples.shape[1]
        if self._end is not None:
            last = min(last, max(0, round((self._end - begin) * rate)))
        if first < last:
            self.heard.add(samples[:, first:last], rate, begin + Fraction(first, rate))

    def _drain(self) -> Iterator[Packet[Any]]:
        if self._resampler is not None:
            for resampled in self._resampler.resample(None):
                if resampled is not None:
                    yield from self._encode(samples_of(resampled))
        self._resampler = None

    def _pad(self, place: int) -> Iterator[Packet[Any]]:
        """Encode silence up to a place."""
        assert self._written is not None
        channels = av.AudioLayout(self._target.layout).nb_channels
        kind = _DTYPES[self._target.packed_format]
        while self._written < place:
            count = min(place - self._written, self._target.rate)
            self._skip = 0
            yield from self._encode(np.zeros((channels, count), kind))

    def _encode(self, samples: NDArray[Any]) -> Iterator[Packet[Any]]:
        assert self._written is not None
        skipped = min(self._skip, samples.shape[1])
        self._skip -= skipped
        self._left_out += skipped
        samples = samples[:, skipped:]
        rate = self._target.rate
        first = 0 if self._begin is None else max(0, round(self._begin * rate) - self._written)
        count = samples.shape[1]
        last = count if self._end is None else min(count, round(self._end * rate) - self._written)
        place, self._written = self._written + first, self._written + count
        if first >= last:
            return
        if self._first is None:
            self._first = place
        packed = np.ascontiguousarray(samples[:, first:last].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, self._target.packed_format, self._target.layout)
        frame.sample_rate = rate
        frame.pts, frame.time_base = place, Fraction(1, rate)
        yield from self.stream.encode(frame)
