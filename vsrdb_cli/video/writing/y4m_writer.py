"""Write uncompressed video (y4m) once, to stdout or by a name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import writing
from vsrdb_cli.pipes import (
    FIFO,
    check_written_through,
    is_written_through,
    open_through,
    special_kind,
)
from vsrdb_cli.video.filtering.filtering import Filtering
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import PIPE, Kind, VideoInfo
from vsrdb_cli.video.pixels.colour import BT709, BT2020_NCL, PC
from vsrdb_cli.video.pixels.pixel_formats import plane_bytes
from vsrdb_cli.video.side_data.orientation import (
    is_right_angled,
    upright,
    upright_ratio,
    upright_size,
)
from vsrdb_cli.video.writing.frame_converter import Converted, FrameConverter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_FRAME = b"FRAME\n"
Y4M_BITS = 10
_PIX_FMTS = {8: ("yuv420p", "420mpeg2"), 16: ("yuv420p10le", "420p10 XYSCSS=420P10")}


def y4m_pix_fmt(bit_depth: int) -> str:
    """Return the pixel format of frames of 8 or 16 bits."""
    return _PIX_FMTS[bit_depth][0]


def is_stream_output(path: Path) -> bool:
    """Return whether an output is sent frame by frame: "-", or not a regular file."""
    return path == PIPE or is_written_through(path)


def check_stream(path: Path, source: Path) -> None:
    """Check that y4m can be sent to an output that is not a regular file.

    Raises:
        OutputError: its name promises another format, it is the input, or it cannot be written to.
    """
    if path == PIPE:
        return
    check_written_through(path)
    if path.suffix.lower() not in ("", ".y4m"):
        raise OutputError(
            f"{path} is {special_kind(path)}, which can only carry y4m",
            hint="name a file; or give the pipe a name that ends with .y4m, or without an ending",
        )
    if special_kind(path) in (None, FIFO) and source.exists() and path.samefile(source):
        raise OutputError(
            f"{path} is the input itself", hint="choose another output; the input is never changed"
        )


def y4m_notices(info: VideoInfo) -> Iterator[str]:
    """Yield what y4m cannot hold of a source, one line each."""
    if info.kind is not Kind.PIPE:  # whose colours were unspecified, too
        name = {BT709: "BT.709", BT2020_NCL: "BT.2020"}.get(info.colour.matrix, "BT.601")
        space = f"{name} {info.colour.hdr_name}" if info.colour.hdr else name
        yield f"y4m cannot carry the colour space ({space}): set it in the program that reads it"
    if info.kind is Kind.VIDEO:
        yield f"y4m has no timestamps: frames are sent at a constant {float(info.rate):g} fps"
    if info.bit_depth > 8 and info.colour_bits > Y4M_BITS:
        yield (
            f"the source has {info.colour_bits} bits per colour, y4m gets {Y4M_BITS}: values are"
            " rounded"
        )
    if info.orientation is not None and not is_right_angled(info.orientation):
        yield "y4m cannot carry a rotation, and this picture is rotated by an odd angle"
    if info.extras:
        yield f"dropped, because y4m cannot hold it: {', '.join(info.extras)}"


class PipeWriter:
    """Sends frames as y4m, 4:2:0 in 8 or 10 bit, each as soon as it is there.

    Args:
        stream: if it is open already.
        path: of the stream, if it is not stdout.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(
        self,
        info: VideoInfo,
        scale: int,
        stream: BinaryIO | None = None,
        path: Path = PIPE,
        postfilters: Sequence[Filtering] = (),
    ) -> None:
        self.path = path
        self._name = "stdout" if path == PIPE else str(path)
        self._info = info
        self._size = info.height * scale, info.width * scale
        height, width = upright_size(*self._size, info.orientation)
        depth, ratio = info.bit_depth, upright_ratio(info.sample_aspect_ratio, info.orientation)
        if postfilters:
            gives = postfilters[-1].gives
            height, width, ratio = gives.height, gives.width, gives.sample_aspect_ratio
            depth = gives.code_depth
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
        pix_fmt, name = _PIX_FMTS[depth]
        self._converter = FrameConverter(
            pix_fmt, info, postfilters, turned=lambda rgb: upright(rgb, info.orientation)
        )
        ratio = ratio or Fraction(1)
        self._header = (
            f"YUV4MPEG2 W{width} H{height}"
            f" F{info.rate.numerator}:{info.rate.denominator} Ip"
            f" A{ratio.numerator}:{ratio.denominator} C{name}"
            f" XCOLORRANGE={'FULL' if info.colour.range == PC else 'LIMITED'}\n"
        ).encode()

    @property
    def damage(self) -> tuple[str, ...]:
        """Empty: no other streams are copied."""
        return ()

    def write(self, frame: Frame) -> None:
        """Send one HR frame.

        Raises:
            OutputError: the pipe's reader has gone, or its disk is full.
        """
        if tuple(frame.rgb.shape[1:]) != self._size:
            raise ValueError(f"frame of {tuple(frame.rgb.shape[1:])}, wanted {self._size}")
        self._send(self._converter.push(frame))

    def _send(self, converted: list[Converted]) -> None:
        for _, picture in converted:
            self._send_picture(picture)

    def _send_picture(self, picture: VideoFrame) -> None:
        planes = plane_bytes(picture)
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
        """Send what filters still hold, and close the stream."""
        self._send(self._converter.flush())
        self.abort()
        return self.path

    def abort(self) -> None:
        """Close the stream; what was sent cannot be taken back."""
        if self._opened is not None:
            with suppress(OSError):  # what could not be sent was reported
                self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()
