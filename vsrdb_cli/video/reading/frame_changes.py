"""What frames say of themselves: each is looked at, since the first one does not stand for all."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.codec.context import Flags
from av.error import FFmpegError

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.limits import allowed_pixels, refused
from vsrdb_cli.video.pixels.colour import COMPANIONS, HLG, PQ, RGB, UNSPECIFIED
from vsrdb_cli.video.pixels.pixel_formats import Transparency, code_depth, is_rgb
from vsrdb_cli.video.side_data.attachments import Attachments, dropped, has_captions

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vsrdb_cli.video.frame import ReadReport
    from vsrdb_cli.video.info import VideoInfo

# Sizes and pixels are rounded to whole numbers; eyes see no less.
SAME_SHAPE = Fraction(1, 100)


class PixelShapes:
    """Has the frames of a stream carry the shape of their pixels, which PyAV does not show.

    A decoder knows it of the packet it was given last, whose frame may come out later.

    Args:
        stream: not decoded yet.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream, self._allowed = stream, allowed_pixels(stream)
        self._context = stream.codec_context
        self._context.flags |= Flags.copy_opaque.value

    def decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """A packet's frames.

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
            told = refused(self._stream, self._allowed, error)
            if told is not None:
                raise told from error
            raise
        known.append(self._context.sample_aspect_ratio)
        return frames


def shape_of(frame: VideoFrame) -> Fraction:
    """Width over height, as the frame itself says it is shown."""
    known = frame.opaque
    ratio = known[0] if isinstance(known, list) and known else None
    return Fraction(frame.width, frame.height) * (ratio or 1)


def differ(shape: Fraction, other: Fraction) -> bool:
    """Whether two shapes are not the same to the eye."""
    return abs(shape / other - 1) > SAME_SHAPE


class Watch:
    """Notes in a report what is not as it was in the first frame.

    Args:
        info: of the source; its frames come out as it says.
        report: to note it in.
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
        """Look at the next frame; whether it carries closed captions that are wanted.

        Args:
            wanted: it comes out; others are compared with alone.

        Raises:
            VideoError: it is of another kind of colour, which cannot be brought to the first one's.
        """
        if self._first is None:
            self._first = frame
        if not wanted:
            return False
        info, report, first = self._info, self._report, self._first
        self._refuse_other_light(frame)
        if self._shape is None:
            self._shape = shape_of(frame)
        report.resized += (frame.height, frame.width) != info.coded_size
        if differ(shape_of(frame), self._shape):
            report.reshaped += 1
            report.shapes = f"{shape_words(shape_of(frame))} instead of {shape_words(self._shape)}"
        # Decoders attach it to the frame that says so, and to none that follow.
        report.turned += frame.rotation not in (0, first.rotation)
        report.rounded += code_depth(frame.format) > info.bit_depth
        report.recoloured += _is_told_otherwise(frame, first)
        if not info.transparent:
            report.opaque_again += self._transparent(frame)
        attached = self._attachments(frame)
        for words in dropped(attached):
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
            raise self._turned(f"changes to colour matrix {matrix} of H.273, which cannot be read,")

    def _turned(self, what: str) -> VideoError:
        return VideoError(
            f"{self._info.path} {what} after {self._report.frames} frames",
            hint="split the file there and restore the parts separately",
        )


def _is_told_otherwise(frame: VideoFrame, first: VideoFrame) -> bool:
    """Whether a frame says that its colours mean something else; those of one matrix do not."""
    pairs = (
        (int(frame.color_primaries), int(first.color_primaries)),
        (int(frame.color_trc), int(first.color_trc)),
    )
    open_ = (0, UNSPECIFIED)
    return any(now != begun and not {now, begun} & {*open_} for now, begun in pairs)


def shape_words(shape: Fraction) -> str:
    """As people say it, such as 16:9."""
    near = shape.limit_denominator(20)
    if differ(near, shape):
        return f"{float(shape):.2f}:1"
    return f"{near.numerator}:{near.denominator}"
