"""Limit the memory that a file may ask for, by its headers, before any is taken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from vsrdb_cli.errors import ResourceError, VideoError

if TYPE_CHECKING:
    from av.video.stream import VideoStream

# Of a picture: as many as the largest encoder writes, so that every output can be read.
LARGEST_PIXELS = 16384 * 8704
# FFmpeg opens no encoder for a larger one, its sides counted with so much around them.
_WRITTEN_PIXELS, _AROUND = 1 << 28, 128
# A video may change its size up to this, as broadcasts do, or to this multiple of its first.
_USUAL_PIXELS, _GROWTH = 4096 * 2304, 4

# Unpacked bytes of the texts and profiles of all PNGs in a file, and the number in one PNG.
LARGEST_TEXT = 32 << 20
MOST_TEXTS = 5000
_PACKED = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_MOST_CHUNKS = 2_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = 16 << 20  # bytes at a file's beginning that are searched for PNGs


def check_size(path: Path, width: int, height: int, scale: int = 1) -> None:
    """Check that pictures of this size can be read, and written enlarged by `scale`.

    Raises:
        VideoError: they are too large.
    """
    if width * height > LARGEST_PIXELS:
        raise VideoError(
            f"{path} is {width}x{height}; at most {LARGEST_PIXELS // 1_000_000} million pixels"
            " can be read",
            hint="scale it down first",
        )
    if (width * scale + _AROUND) * (height * scale + _AROUND) >= _WRITTEN_PIXELS:
        raise VideoError(
            f"{path} is {width}x{height}: the output would be {width * scale}x{height * scale},"
            " larger than any encoder takes",
            hint="choose a smaller --scale, or scale the input down first",
        )


def limit_decoder(stream: VideoStream, path: Path) -> None:
    """Make a decoder refuse frames far larger than its stream's header says.

    Raises:
        VideoError: those of the header are too large already.
    """
    context = stream.codec_context
    check_size(path, context.width, context.height)
    context.options = {**context.options, "max_pixels": str(allowed_pixels(stream))}


def allowed_pixels(stream: VideoStream) -> int:
    """Return the largest frame allowed in a stream that is not decoded yet."""
    pixels = stream.codec_context.width * stream.codec_context.height
    if not pixels:  # not known yet
        return LARGEST_PIXELS
    return min(max(_GROWTH * pixels, _USUAL_PIXELS), LARGEST_PIXELS)


def decoding_refusal(
    stream: VideoStream, allowed: int, error: FFmpegError
) -> VideoError | ResourceError | None:
    """Return the error for a frame that could not be decoded, unless it is damaged.

    Args:
        allowed: pixels, the decoder's limit.
        error: of the decoder.
    """
    path = stream.container.name.removeprefix("file:")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > allowed:
        return VideoError(
            f"{path} changes to {width}x{height}, far larger than at its beginning",
            hint="split the file there and restore the parts separately",
        )
    if isinstance(error, MemoryError):
        return ResourceError(
            f"not enough memory to decode {path} ({width}x{height})",
            hint="close other programs, or scale it down first",
        )
    return None


def check_texts(path: Path) -> None:
    """Check that a PNG's metadata is small, also that of a PNG within another file.

    FFmpeg takes all of it into memory before it shows the picture.

    Raises:
        VideoError: it is not.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        at = head.find(_PNG)
        if at == 0 and len(head) == _HEAD:
            head += file.read()
    texts = _Texts(path)
    while at >= 0:
        texts.look(head, at)
        at = head.find(_PNG, at + 1)


def check_picture_texts(packet: bytes, path: Path | str) -> None:
    """Check the metadata of one PNG in the middle of a video.

    Raises:
        VideoError: it holds too much.
    """
    _Texts(path).look(packet, 0)


class _Texts:
    """Counters of the metadata in one file's PNGs, and of the work: PNGs may lie in each other."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._chunks = self._size = 0

    def look(self, data: bytes, at: int) -> None:
        """Count what the PNG that begins at a place in the data holds."""
        texts = 0
        at += len(_PNG)
        kind = b""
        while kind != b"IEND" and at + 12 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            end = at + 12 + length
            self._chunks += 1
            if kind in _PACKED and end <= len(data):
                texts += 1
                content = data[at + 8 : end - 4]
                self._size += len(content) + _unpacked(kind, content)
            if self._chunks > _MOST_CHUNKS or self._size > LARGEST_TEXT or texts > MOST_TEXTS:
                raise VideoError(
                    f"{self._path} holds more metadata than any picture needs",
                    hint="save the picture without its metadata, and try again",
                )
            at = end


def _unpacked(kind: bytes, content: bytes) -> int:
    """Return the unpacked size of a chunk's compressed part; unpacking stops at the limit."""
    keyword = content.find(b"\0")
    packed = b""
    if kind in (b"zTXt", b"iCCP"):
        packed = content[keyword + 2 :]
    elif kind == b"iTXt" and content[keyword + 1 : keyword + 2] == b"\1":
        packed = content[content.find(b"\0", content.find(b"\0", keyword + 3) + 1) + 1 :]
    try:
        return len(zlib.decompressobj().decompress(packed, LARGEST_TEXT + 1))
    except zlib.error:
        return 0
