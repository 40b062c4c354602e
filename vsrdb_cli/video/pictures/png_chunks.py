"""The chunks that a PNG file is made of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

HEADER = 33  # bytes of signature and IHDR
SIGNATURE = 8


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of chunks in a row; of a file that was cut off, those that are whole."""
    at = 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def chunk(kind: bytes, content: bytes) -> bytes:
    """A whole chunk."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def text(keyword: bytes, content: str) -> bytes:
    """A chunk of text, which is not compressed and of no language."""
    return chunk(b"iTXt", keyword + b"\0\0\0\0\0" + content.encode())
