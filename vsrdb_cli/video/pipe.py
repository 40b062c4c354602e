"""Uncompressed video through a pipe: y4m on stdin and stdout, read and written once.

y4m holds planes, a size, one frame rate, and a range; no matrix, no times, no sound.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import av
import numpy as np
from av.error import FFmpegError

from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.files import writing
from vsrdb_cli.video.colour import (
    BT709,
    BT2020_NCL,
    PC,
    bit_depth,
    code_depth,
    colour_of,
    grey_assumed,
    range_of,
)
from vsrdb_cli.video.container import reason
from vsrdb_cli.video.conversion import FromRgb, ToRgb
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import Kind, ReadReport, VideoInfo
from vsrdb_cli.video.interlace import FRAMES_A_PLACE, field_order
from vsrdb_cli.video.orientation import is_right_angled, upright, upright_ratio, upright_size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

PIPE = Path("-")
# What files and messages call it; the input may not become an output under this name either.
_STDIN = Path("/dev/stdin")
_FRAME = b"FRAME\n"
Y4M_BITS = 10
_PIX_FMTS = {8: ("yuv420p", "420mpeg2"), 16: ("yuv420p10le", "420p10 XYSCSS=420P10")}


class _Watched:
    """A stream that can only be read, and whether it ends where a frame does.

    y4m is a line of text, and for each frame another line and its samples.

    Attributes:
        samples: bytes of a frame's samples; what is read before they are known waits.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = bytearray()
        self._lines = 0
        self._left = 0  # bytes of the frame that is being read
        self.samples: int | None = None

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._ahead += data
        if self.samples is not None:
            self._follow(self.samples)
        return data

    @property
    def is_whole(self) -> bool:
        """Whether what was read so far ends with a whole frame."""
        self._follow(self.samples or 0)
        return not self._ahead and not self._left

    def _follow(self, samples: int) -> None:
        while self._ahead:
            if self._left:
                taken = min(self._left, len(self._ahead))
                self._left -= taken
            else:
                taken = self._ahead.find(b"\n") + 1
                if not taken:
                    return
                self._left = samples if self._lines else 0
                self._lines += 1
            del self._ahead[:taken]


class PipeReader:
    """The frames of a y4m stream. They can be asked for once, from the first one on.

    Raises:
        VideoError: the stream is no y4m, holds no frame, or is interlaced.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self.report = ReadReport()
        self._stream = _Watched(stream or sys.stdin.buffer)
        try:
            self._container = av.open(self._stream, "r", format="yuv4mpegpipe")
            self._decoded = self._container.decode(video=0)
            first = next(self._decoded)
        except (FFmpegError, StopIteration) as error:
            words = reason(error) if isinstance(error, FFmpegError) else "it contains no frame"
            raise VideoError(
                f"stdin cannot be read as y4m: {words}",
                hint="send y4m, for example: ffmpeg -i IN -f yuv4mpegpipe - | vsrdb restore - OUT",
            ) from error
        self._stream.samples = sum(len(plane) for plane in _planes(first))
        begin = [first, *islice(self._decoded, FRAMES_A_PLACE - 1)]
        if first.interlaced_frame or field_order(begin) is not None:
            raise VideoError(
                "the video on stdin is interlaced",
                hint="deinterlace it first, for example with: ffmpeg -i IN -vf bwdif=0 ...",
            )
        self._frames: Iterator[VideoFrame] | None = chain(begin, self._decoded)
        self.info = _info(self._container, first)

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """All frames."""
        frames, self._frames = self._frames, None
        if first or last is not None or frames is None:
            raise ValueError("a pipe can be read only once")
        to_rgb = ToRgb(self.info.codec, self.info.colour, self.info.bit_depth)
        for index, frame in enumerate(frames):
            self.report.frames = index + 1
            yield Frame(to_rgb(frame), index, 1)
        # A stream that stops within a frame ends without a word; what came before it is whole.
        self.report.read_errors += not self._stream.is_whole

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._container.close()


def _info(container: InputContainer, first: VideoFrame) -> VideoInfo:
    stream = container.streams.video[0]
    rate = stream.average_rate or Fraction(25)
    ratio = stream.sample_aspect_ratio
    # The format names the chroma's site only in 8-bit 4:2:0.
    codec = "rawvideo" if first.format.name in ("yuv420p", "yuvj420p") else "y4m"
    said = int(first.color_range)
    range_ = range_of(said, first.format, codec)
    return VideoInfo(
        path=_STDIN,
        kind=Kind.PIPE,
        container=container.format.name,
        codec=codec,
        pix_fmt=first.format.name,
        width=first.width,
        height=first.height,
        frame_count=None,
        rate=rate,
        time_base=1 / rate,
        start_seconds=Fraction(0),
        duration_seconds=None,
        end_seconds=None,
        promised_seconds=None,
        bit_depth=code_depth(first.format),
        colour=colour_of(
            matrix=int(first.colorspace),
            range_=range_,
            primaries=int(first.color_primaries),
            transfer=int(first.color_trc),
            rgb=False,
            height=first.height,
            width=first.width,
        ),
        sample_aspect_ratio=ratio if ratio and ratio > 0 else None,
        assumed=(grey_assumed(range_),) if range_ != said else (),
    )


def y4m_notices(info: VideoInfo) -> Iterator[str]:
    """What y4m cannot hold of a source, one line each."""
    if info.kind is not Kind.PIPE:  # which came without a word, too
        name = {BT709: "BT.709", BT2020_NCL: "BT.2020"}.get(info.colour.matrix, "BT.601")
        light = f" {info.colour.hdr_name}" if info.colour.hdr else ""
        yield f"y4m cannot say that the colours are {name}{light}: tell the program that reads it"
    if info.kind is Kind.VIDEO:
        yield f"y4m has no timestamps: frames are sent at a constant {float(info.rate):g} fps"
    if info.bit_depth > 8 and info.colour_bits > Y4M_BITS:
        yield (
            f"the source has {info.colour_bits} bits a colour, y4m gets {Y4M_BITS}: finer steps are"
            " rounded"
        )
    if info.orientation is not None and not is_right_angled(info.orientation):
        yield "y4m cannot turn its picture, and this one is turned by an odd angle"
    if info.beside:
        yield f"dropped, because y4m cannot hold it: {', '.join(info.beside)}"


class PipeWriter:
    """Frames to a y4m stream, 4:2:0 in 8 or 10 bit; each is sent as soon as it is there."""

    def __init__(self, info: VideoInfo, scale: int, stream: BinaryIO | None = None) -> None:
        self.path = PIPE
        self._info = info
        self._size = info.height * scale, info.width * scale
        height, width = upright_size(*self._size, info.orientation)
        self._stream = stream or sys.stdout.buffer
        pix_fmt, name = _PIX_FMTS[info.bit_depth]
        self._from_rgb = FromRgb(pix_fmt, info.colour)
        ratio = upright_ratio(info.sample_aspect_ratio, info.orientation) or Fraction(1)
        self._header = (
            f"YUV4MPEG2 W{width} H{height}"
            f" F{info.rate.numerator}:{info.rate.denominator} Ip"
            f" A{ratio.numerator}:{ratio.denominator} C{name}"
            f" XCOLORRANGE={'FULL' if info.colour.range == PC else 'LIMITED'}\n"
        ).encode()

    @property
    def damage(self) -> tuple[str, ...]:
        """Nothing beside the pictures is copied."""
        return ()

    def write(self, frame: Frame) -> None:
        """Send one HR frame.

        Raises:
            OutputError: whoever reads the pipe has gone, or the disk it leads to is full.
        """
        if tuple(frame.rgb.shape[1:]) != self._size:
            raise ValueError(f"frame of {tuple(frame.rgb.shape[1:])}, wanted {self._size}")
        planes = _planes(self._from_rgb(upright(frame.rgb, self._info.orientation)))
        with writing("stdout"):
            try:
                self._stream.write(b"".join((self._header, _FRAME, *planes)))
                self._stream.flush()
            except BrokenPipeError as error:
                raise OutputError(
                    "stdout was closed by the program reading it",
                    hint="check the program that reads it",
                ) from error
        self._header = b""

    def commit(self, frames: int | None = None) -> Path:  # noqa: ARG002
        """All is sent."""
        return self.path

    def abort(self) -> None:
        """What is sent is sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


def _planes(frame: VideoFrame) -> Iterator[bytes]:
    """The samples of each plane, without what pads its rows."""
    size = 1 if bit_depth(frame.format) == 8 else 2
    for plane in frame.planes:
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
        yield rows[:, : plane.width * size].tobytes()
