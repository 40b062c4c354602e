"""Notice what changes from the first frame on: size, aspect ratio, rotation, colours, captions."""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from av.codec.context import Flags
from av.error import FFmpegError

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.limits import allowed_pixels, decoding_refusal
from vsrdb_cli.video.pixels.colour import COMPANIONS, HLG, PQ, RGB, UNSPECIFIED
from vsrdb_cli.video.pixels.pixel_formats import Transparency, code_depth, is_rgb
from vsrdb_cli.video.side_data.attachments import Attachments, has_captions, unsupported

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vsrdb_cli.video.frame import ReadReport
    from vsrdb_cli.video.info import VideoInfo

# Sizes and pixels are rounded to whole numbers; smaller differences are invisible.
SAME_SHAPE = Fraction(1, 100)


class FrameDecoder:
    """Decodes packets to frames that carry their pixels' aspect ratio, which PyAV does not show.

    A decoder knows it for the packet it was given last, whose frame may come out later. A context
    manager: leaving it empties the decoder.

    Args:
        stream: not decoded yet.
    """

    def __init__(self, stream: VideoStream) -> None:
        self.stream, self._allowed = stream, allowed_pixels(stream)
        self._context = stream.codec_context
        self._context.flags |= Flags.copy_opaque.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What is on a packet is let go by the decoder's threads, which wait for Python to do so.
        # PyAV does not let it run while a decoder goes, which waits for its threads: for ever.
        self._context.flush_buffers()

    def decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """Decode a packet's frames.

        Raises:
            VideoError: they are far larger than the stream's first ones.
            ResourceError: there is too little memory for them.
            FFmpegError: they are damaged.
        """
        known: list[Fraction | None] = []
        packet.opaque = known
        try:
            frames: list[VideoFrame] = packet.decode()
        except FFmpegError as error:
            refusal = decoding_refusal(self.stream, self._allowed, error)
            if refusal is not None:
                raise refusal from error
            raise
        known.append(self._context.sample_aspect_ratio)
        return frames


def aspect_ratio_of(frame: VideoFrame) -> Fraction:
    """Return width over height, as the frame itself says it is shown."""
    known = frame.opaque
    ratio = known[0] if isinstance(known, list) and known else None
    return Fraction(frame.width, frame.height) * (ratio or 1)


def ratios_differ(shape: Fraction, other: Fraction) -> bool:
    """Return whether two aspect ratios differ visibly."""
    return abs(shape / other - 1) > SAME_SHAPE


class ChangeMonitor:
    """Notes in a report what differs from the first frame.

    Args:
        info: of the source.
        report: gets the notes.
    """

    def __init__(self, info: VideoInfo, report: ReadReport) -> None:
        self._info = info
        self._report = report
        self._source = info.converted_from or info.colour
        self._transparent = Transparency()
        self._attachments = Attachments()
        self._shape: Fraction | None = None
        self._first: VideoFrame | None = None

    def look_at(self, frame: VideoFrame, *, wanted: bool) -> bool:
        """Look at the next frame; return whether it carries wanted closed captions.

        Args:
            wanted: whether it comes out; others serve only for comparison.

        Raises:
            VideoError: its colours cannot be converted to the first one's.
        """
        if self._first is None:
            self._first = frame
        if not wanted:
            return False
        info, report, first = self._info, self._report, self._first
        self._refuse_other_light(frame)
        if self._shape is None:
            self._shape = aspect_ratio_of(frame)
        report.resized += (frame.height, frame.width) != info.coded_size
        ratio, first_ratio = aspect_ratio_of(frame), self._shape
        if ratios_differ(ratio, first_ratio):
            report.reshaped += 1
            texts = (aspect_ratio_text(ratio), aspect_ratio_text(first_ratio))
            report.shapes = " instead of ".join(texts)
        # Decoders attach it only to the frame that declares it.
        report.turned += frame.rotation not in (0, first.rotation)
        report.rounded += code_depth(frame.format) > info.bit_depth
        report.recoloured += _is_told_otherwise(frame, first)
        if not info.transparent:
            report.opaque_again += self._transparent(frame)
        attached = self._attachments(frame)
        for words in unsupported(attached):
            if words not in info.attached:
                report.attached[words] = report.attached.get(words, 0) + 1
        captions = has_captions(attached)
        report.captions += captions and not info.captions
        return captions

    def _refuse_other_light(self, frame: VideoFrame) -> None:
        transfer = int(frame.color_trc)
        begun, now = (
            code if code in (PQ, HLG) else None for code in (self._source.transfer, transfer)
        )
        if transfer not in (0, UNSPECIFIED) and begun != now:
            name = "SDR" if now is None else f"HDR ({'PQ' if now == PQ else 'HLG'})"
            raise self._turned(f"turns into {name} video")
        matrix = int(frame.colorspace)
        unread = matrix not in (RGB, UNSPECIFIED, *COMPANIONS)
        if unread and not is_rgb(frame.format):
            raise self._turned(f"changes to an unsupported colour matrix (H.273 code {matrix})")

    def _turned(self, what: str) -> VideoError:
        return VideoError(
            f"{self._info.path} {what} after {self._report.frames} frames",
            hint="split the file there and restore the parts separately",
        )


def _is_told_otherwise(frame: VideoFrame, first: VideoFrame) -> bool:
    """Return whether a frame's colour tags contradict the first one's."""
    pairs = (
        (int(frame.color_primaries), int(first.color_primaries)),
        (int(frame.color_trc), int(first.color_trc)),
    )
    open_ = (0, UNSPECIFIED)
    return any(now != begun and not {now, begun} & {*open_} for now, begun in pairs)


def aspect_ratio_text(shape: Fraction) -> str:
    """Return an aspect ratio in the usual form, such as 16:9."""
    near = shape.limit_denominator(20)
    if ratios_differ(near, shape):
        return f"{float(shape):.2f}:1"
    return f"{near.numerator}:{near.denominator}"
