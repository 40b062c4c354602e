"""Read uncompressed video (y4m) once, from stdin or by a name.

y4m holds planes, a size, one frame rate, and a range; no matrix, no times, no sound.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import av
from av.error import FFmpegError

from vsrdb_cli.errors import VideoError
from vsrdb_cli.pipes import DISK, open_through, special_kind
from vsrdb_cli.video.containers.opening import read_error, reason
from vsrdb_cli.video.filtering.filtering import filtered
from vsrdb_cli.video.frame import Frame, ReadReport
from vsrdb_cli.video.info import PIPE, Kind, VideoInfo
from vsrdb_cli.video.pixels.colour import colour_of, grey_assumed, range_of
from vsrdb_cli.video.pixels.interlacing import FRAMES_A_PLACE, field_order
from vsrdb_cli.video.pixels.pixel_formats import code_depth, plane_bytes
from vsrdb_cli.video.pixels.to_rgb import ToRgb

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

# Its name as a file; the input may not become an output under this name either.
_STDIN = Path("/dev/stdin")
_HINT = "send y4m, for example: ffmpeg -i IN -f yuv4mpegpipe - | vsrdb restore - OUT"


def is_stream_input(path: Path) -> bool:
    """Return whether an input is a stream, read once: "-", or not a regular file.

    A disk is read as a file is.
    """
    return path == PIPE or special_kind(path) not in (None, DISK)


class PipeReader:
    """Reads the frames of a y4m stream. They can be asked for once, from the first one on.

    Args:
        stream: if it is open already.
        path: of the stream, if it is not stdin.

    Raises:
        VideoError: the stream is not y4m, holds no frame, is interlaced, or cannot be opened.
    """

    def __init__(self, stream: BinaryIO | None = None, path: Path = PIPE) -> None:
        self.report = ReadReport()
        name = "stdin" if path == PIPE else str(path)
        self._stream = Y4mStream(stream or _opened(path, name))
        try:
            self._container = av.open(self._stream, "r", format="yuv4mpegpipe")
            self._decoded = self._container.decode(video=0)
            first = next(self._decoded)
        except (FFmpegError, StopIteration) as error:
            raise VideoError(
                f"{name} cannot be read as y4m: {self._stream.problem or _words(error)}",
                hint=_HINT,
            ) from error
        self._stream.samples = sum(len(plane) for plane in plane_bytes(first))
        begin = [first, *islice(self._decoded, FRAMES_A_PLACE - 1)]
        if first.interlaced_frame or field_order(begin) is not None:
            raise VideoError(
                f"the video on {name} is interlaced",
                hint="deinterlace it first, for example with: ffmpeg -i IN -vf bwdif=0 ...",
            )
        self._frames: Iterator[VideoFrame] | None = chain(begin, self._decoded)
        self.info = _info(self._container, first, _STDIN if path == PIPE else path)

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """Yield all frames."""
        frames, self._frames = self._frames, None
        if first or last is not None or frames is None:
            raise ValueError("a pipe can be read only once")
        to_rgb = ToRgb(self.info.codec, self.info.colour, self.info.bit_depth)
        for index, frame in enumerate(filtered(frames, self.info.prefilter)):
            self.report.frames = index + 1
            yield Frame(to_rgb(frame), index, 1)
        if self._stream.error is not None:
            raise read_error(self.info.path, self._stream.error)
        # FFmpeg does not report a stream that stops within a frame; what came before it is
        # complete.
        self.report.read_errors += not self._stream.is_whole

    def with_info(self, info: VideoInfo) -> Self:
        """Return the same stream, not read yet, as described."""
        self.info = info
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        raise VideoError(f"{name} is a terminal, but a video is expected", hint=_HINT)
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


_MAGIC = b"YUV4MPEG2"


class Y4mStream:
    """A y4m stream that tells whether it ends where a frame does.

    y4m is a line of text, and for each frame another line and its samples.

    Attributes:
        samples: bytes of a frame's samples; what is read before they are known waits.
        error: why reading ended, if not at the end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = bytearray()
        self._lines = 0
        self._left = 0  # bytes of the frame that is being read
        self.samples: int | None = None
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            self.error, data = error, b""
        self._ahead += data
        if self.samples is not None:
            self._follow(self.samples)
        return data

    @property
    def problem(self) -> str | None:
        """The reason why there is no frame, if it is known without reading on."""
        if self.error is not None:
            return str(self.error.strerror)
        if not self._ahead:
            return "it is empty"
        same = self._ahead.startswith(_MAGIC[: len(self._ahead)])
        return None if same else f"it does not begin with {_MAGIC.decode()}"

    @property
    def is_whole(self) -> bool:
        """True if what was read so far ends with a whole frame."""
        self._follow(self.samples or 0)
        return not (self._ahead or self._left or self.error)

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
