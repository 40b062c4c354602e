"""How much a file may ask for: looked at in its headers, before memory is taken for it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from vsrdb_cli.errors import ResourceError, VideoError

if TYPE_CHECKING:
    from av.video.stream import VideoStream

# Of a picture: what the largest encoder here writes, so that every output can be read.
LARGEST_PIXELS = 16384 * 8704
# FFmpeg opens no encoder for a larger one, its sides counted with so much around them.
_WRITTEN_PIXELS, _AROUND = 1 << 28, 128
# A video may change its size: within this, as broadcasts do, or by this to its first one's.
_USUAL_PIXELS, _GROWTH = 4096 * 2304, 4

# Of all PNGs in a file: bytes of their texts and profiles, unpacked. Of one: how many there are.
LARGEST_TEXT = 32 << 20
MOST_TEXTS = 5000
_PACKED = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_MOST_CHUNKS = 2_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = 16 << 20  # bytes of a file of any kind in which pictures are looked for


def check_size(path: Path, width: int, height: int, scale: int = 1) -> None:
    """Whether pictures of this size can be read, and enlarged by `scale` be written.

    Raises:
        VideoError: they are too large.
    """
    if width * height > LARGEST_PIXELS:
        raise VideoError(
            f"{path} is {width}x{height}, and at most {LARGEST_PIXELS // 1_000_000} million pixels"
            " can be read",
            hint="scale it down first",
        )
    if (width * scale + _AROUND) * (height * scale + _AROUND) >= _WRITTEN_PIXELS:
        raise VideoError(
            f"{path} is {width}x{height}: the output would be {width * scale}x{height * scale},"
            " larger than any encoder takes",
            hint="choose a smaller --scale, or scale the input down first",
        )


def limit(stream: VideoStream, path: Path) -> None:
    """Have a decoder refuse frames that are far larger than its stream's header says.

    Raises:
        VideoError: those of the header are too large already.
    """
    context = stream.codec_context
    check_size(path, context.width, context.height)
    context.options = {**context.options, "max_pixels": str(allowed_pixels(stream))}


def allowed_pixels(stream: VideoStream) -> int:
    """The largest frame of a stream that is not decoded yet."""
    pixels = stream.codec_context.width * stream.codec_context.height
    if not pixels:  # not known yet
        return LARGEST_PIXELS
    return min(max(_GROWTH * pixels, _USUAL_PIXELS), LARGEST_PIXELS)


def refused(
    stream: VideoStream, allowed: int, error: FFmpegError
) -> VideoError | ResourceError | None:
    """What to say of a frame that could not be decoded, where it is not damage.

    Args:
        allowed: pixels, the decoder's limit.
        error: of the decoder.
    """
    path = stream.container.name.removeprefix("file:")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > allowed:
        return VideoError(
            f"{path} changes to {width}x{height}, far larger than it begins",
            hint="split the file there and restore the parts separately",
        )
    if isinstance(error, MemoryError):
        return ResourceError(
            f"there is too little memory to decode {path} ({width}x{height})",
            hint="close other programs, or scale it down first",
        )
    return None


def check_texts(path: Path) -> None:
    """Whether what a PNG holds beside its picture is small, also of one within another file.

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
    """The same of one PNG in the middle of a video.

    Raises:
        VideoError: it holds too much.
    """
    _Texts(path).look(packet, 0)


class _Texts:
    """Counts what PNGs of one file hold, and how much work that is: they may lie in each other."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._chunks = self._size = 0

    def look(self, data: bytes, at: int) -> None:
        """Look at the PNG that begins at a place in the data."""
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
                    f"{self._path} holds more text beside its picture than any picture needs",
                    hint="save the picture without its metadata, and try again",
                )
            at = end


def _unpacked(kind: bytes, content: bytes) -> int:
    """How large what is compressed in a chunk is; not much is unpacked of what is too large."""
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
