"""Uncompressed video through a pipe: y4m, read and written once, on stdin and stdout or by a name.

y4m holds planes, a size, one frame rate, and a range; no matrix, no times, no sound.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import suppress
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
from vsrdb_cli.pipes import (
    DISK,
    FIFO,
    check_written_through,
    is_written_through,
    open_through,
    special_kind,
)
from vsrdb_cli.video.containers.opening import reason, unreadable
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import Kind, ReadReport, VideoInfo
from vsrdb_cli.video.pixels.colour import (
    BT709,
    BT2020_NCL,
    PC,
    bit_depth,
    code_depth,
    colour_of,
    grey_assumed,
    range_of,
)
from vsrdb_cli.video.pixels.conversion import FromRgb, ToRgb
from vsrdb_cli.video.pixels.interlacing import FRAMES_A_PLACE, field_order
from vsrdb_cli.video.reading.y4m_stream import Watched
from vsrdb_cli.video.side_data.orientation import (
    is_right_angled,
    upright,
    upright_ratio,
    upright_size,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

PIPE = Path("-")
# What files call it; the input may not become an output under this name either.
_STDIN = Path("/dev/stdin")
_HINT = "send y4m, for example: ffmpeg -i IN -f yuv4mpegpipe - | vsrdb restore - OUT"
_FRAME = b"FRAME\n"
Y4M_BITS = 10
_PIX_FMTS = {8: ("yuv420p", "420mpeg2"), 16: ("yuv420p10le", "420p10 XYSCSS=420P10")}


def is_stream(path: Path) -> bool:
    """Whether an input is read once, from its beginning to its end: "-", or no file by its kind.

    A disk is read as a file is.
    """
    return path == PIPE or special_kind(path) not in (None, DISK)


def goes_through(path: Path) -> bool:
    """Whether an output is sent frame by frame: "-", or no file by its kind."""
    return path == PIPE or is_written_through(path)


def check_stream(path: Path, source: Path) -> None:
    """Whether y4m can be sent to an output that is no file.

    Raises:
        OutputError: its name promises something else, it is the input, or cannot be written to.
    """
    if path == PIPE:
        return
    check_written_through(path)
    if path.suffix.lower() not in ("", ".y4m"):
        raise OutputError(
            f"{path} is {special_kind(path)}, and only y4m can be sent through one",
            hint="name a file; or give the pipe a name that ends with .y4m, or without an ending",
        )
    if special_kind(path) in (None, FIFO) and source.exists() and path.samefile(source):
        raise OutputError(
            f"{path} is the input itself", hint="choose another output; the input is never changed"
        )


class PipeReader:
    """The frames of a y4m stream. They can be asked for once, from the first one on.

    Args:
        stream: if it is open already.
        path: of the stream, if it is not stdin.

    Raises:
        VideoError: the stream is no y4m, holds no frame, or is interlaced; or cannot be opened.
    """

    def __init__(self, stream: BinaryIO | None = None, path: Path = PIPE) -> None:
        self.report = ReadReport()
        name = "stdin" if path == PIPE else str(path)
        self._stream = Watched(stream or _opened(path, name))
        try:
            self._container = av.open(self._stream, "r", format="yuv4mpegpipe")
            self._decoded = self._container.decode(video=0)
            first = next(self._decoded)
        except (FFmpegError, StopIteration) as error:
            raise VideoError(
                f"{name} cannot be read as y4m: {self._stream.trouble or _words(error)}",
                hint=_HINT,
            ) from error
        self._stream.samples = sum(len(plane) for plane in _planes(first))
        begin = [first, *islice(self._decoded, FRAMES_A_PLACE - 1)]
        if first.interlaced_frame or field_order(begin) is not None:
            raise VideoError(
                f"the video on {name} is interlaced",
                hint="deinterlace it first, for example with: ffmpeg -i IN -vf bwdif=0 ...",
            )
        self._frames: Iterator[VideoFrame] | None = chain(begin, self._decoded)
        self.info = _info(self._container, first, _STDIN if path == PIPE else path)

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """All frames."""
        frames, self._frames = self._frames, None
        if first or last is not None or frames is None:
            raise ValueError("a pipe can be read only once")
        to_rgb = ToRgb(self.info.codec, self.info.colour, self.info.bit_depth)
        for index, frame in enumerate(frames):
            self.report.frames = index + 1
            yield Frame(to_rgb(frame), index, 1)
        if self._stream.error is not None:
            raise unreadable(self.info.path, self._stream.error)
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


def _words(error: FFmpegError | StopIteration) -> str:
    return reason(error) if isinstance(error, FFmpegError) else "it contains no frame"


def _opened(path: Path, name: str) -> BinaryIO:
    if path == PIPE and sys.stdin is not None:
        return sys.stdin.buffer
    try:
        if path == PIPE:
            raise OSError(errno.EBADF, "it is closed")
        stream = open_through(path, "rb")
    except OSError as error:
        silent = error.errno == errno.ETIMEDOUT
        raise VideoError(
            f"{name} cannot be read: {error.strerror}",
            hint="start the program that writes to it" if silent else _HINT,
        ) from error
    if stream.isatty():
        raise VideoError(f"{name} is a terminal, and a video is expected there", hint=_HINT)
    return stream


def _info(container: InputContainer, first: VideoFrame, path: Path) -> VideoInfo:
    stream = container.streams.video[0]
    rate = stream.average_rate or Fraction(25)
    ratio = stream.sample_aspect_ratio
    # The format names the chroma's site only in 8-bit 4:2:0.
    codec = "rawvideo" if first.format.name in ("yuv420p", "yuvj420p") else "y4m"
    said = int(first.color_range)
    range_ = range_of(said, first.format, codec)
    return VideoInfo(
        path=path,
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
    """Frames to a y4m stream, 4:2:0 in 8 or 10 bit; each is sent as soon as it is there.

    Args:
        stream: if it is open already.
        path: of the stream, if it is not stdout.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(
        self, info: VideoInfo, scale: int, stream: BinaryIO | None = None, path: Path = PIPE
    ) -> None:
        self.path = path
        self._name = "stdout" if path == PIPE else str(path)
        self._info = info
        self._size = info.height * scale, info.width * scale
        height, width = upright_size(*self._size, info.orientation)
        self._opened: BinaryIO | None = None
        if stream is None and path != PIPE:
            with writing(self._name):
                stream = self._opened = open_through(path, "wb")
            if stream.isatty():
                raise OutputError(
                    f"{path} is a terminal, which cannot show a video", hint="write to a file"
                )
        elif stream is None:
            if sys.stdout is None:
                raise OutputError("stdout is closed", hint="write to a file instead")
            stream = sys.stdout.buffer
        self._stream = stream
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
        with writing(self._name):
            try:
                self._stream.write(b"".join((self._header, _FRAME, *planes)))
                self._stream.flush()
            except BrokenPipeError as error:
                raise OutputError(
                    f"{self._name} was closed by the program reading it",
                    hint="check the program that reads it",
                ) from error
        self._header = b""

    def commit(self, frames: int | None = None) -> Path:  # noqa: ARG002
        """All is sent."""
        self.abort()
        return self.path

    def abort(self) -> None:
        """What is sent is sent."""
        if self._opened is not None:
            with suppress(OSError):  # what could not be sent has been told
                self._opened.close()

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
