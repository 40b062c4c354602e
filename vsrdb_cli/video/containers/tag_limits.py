"""How much metadata a video may hold, counted in its file before FFmpeg takes all into memory.

FFmpeg looks through all tags for each one: minutes for some ten thousand of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.limits import LARGEST_TEXT, MOST_TEXTS

_SEEK_HEAD, _TAGS, _CLUSTER, _SEGMENT = 0x114D9B74, 0x1254C367, 0x1F43B675, 0x18538067
_TAG, _POSITION = b"\x67\xc8", b"\x53\xac"
_LONGEST_INDEX = 1 << 16
_NO_TIME = (0, 2**64 - 1)  # of an Ogg page that holds headers
# What begins a header of texts; Speex has nothing there.
_MAGICS = (b"\x03vorbis", b"\x81theora", b"OVP80\x02 ", b"OpusTags")
_FLAC = (b"\x04", b"\x84")


def check_tags(path: Path) -> None:
    """Check that a video holds no more metadata than any needs: Matroska, Ogg, MP4 and MOV.

    Raises:
        VideoError: it holds more.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"\x1aE\xdf\xa3":
            pieces = _matroska(file)
        elif head[:4] == b"OggS":
            pieces = _ogg(file)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            pieces = _boxes_of_texts(file)
        else:
            return
        size = texts = 0
        for more_size, more_texts in pieces:
            size, texts = size + more_size, texts + more_texts
            if size > LARGEST_TEXT or texts > MOST_TEXTS:
                raise VideoError(
                    f"{path} holds more metadata than any video needs",
                    hint="save it without its metadata, and try again",
                )


def _matroska(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (bytes, number) of tags, which FFmpeg finds before the pictures or by an index."""
    *_, at = _element(file, 0)
    name, begin, _ = _element(file, at)
    if name != _SEGMENT:
        return
    at, walking = begin, True
    places, seen = list[int](), set[int]()
    while True:
        name, inner, after = _element(file, at)
        seen.add(at)
        if name == _TAGS:
            yield after - inner, 0  # before it is read
            file.seek(inner)
            yield 0, file.read(after - inner).count(_TAG)
        elif name == _SEEK_HEAD:
            file.seek(inner)
            places += _positions(file.read(min(after - inner, _LONGEST_INDEX)), begin)
        yield 0, 1
        walking &= name not in (0, _CLUSTER)
        places = [place for place in places if place not in seen]
        if not walking and not places:
            return
        at = after if walking else places.pop()


def _element(file: IO[bytes], at: int) -> tuple[int, int, int]:
    """Return an element's name, and where its content begins and ends; 0 is no name."""
    length = file.seek(0, 2)
    if at >= length:  # perhaps further than the system counts
        return 0, at, at
    file.seek(at)
    data = file.read(12).ljust(12, b"\0")
    wide = 9 - data[0].bit_length()
    more = 9 - data[wide].bit_length() if wide < 5 else 9
    if more > 8:
        return 0, at, at
    size = int.from_bytes(data[wide : wide + more]) & (1 << 7 * more) - 1
    begin = at + wide + more
    return int.from_bytes(data[:wide]), begin, min(begin + size, length)


def _positions(index: bytes, begin: int) -> Iterator[int]:
    at = index.find(_POSITION)
    while 0 <= at < len(index) - 3:
        first = at + 2 + 9 - index[at + 2].bit_length()
        size = int.from_bytes(index[at + 2 : first]) & (1 << 7 * (first - at - 2)) - 1
        yield begin + int.from_bytes(index[first : first + min(size, 8)])
        at = index.find(_POSITION, at + 2)


def _ogg(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (bytes, 0) of each header, and (0, number) of the texts in a stream's second one."""
    second: dict[bytes, bytearray] = defaultdict(bytearray)
    packets: dict[bytes, int] = defaultdict(int)
    file.seek(0)
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        if int.from_bytes(head[6:14], "little") not in _NO_TIME:
            break
        serial, lengths = head[14:18], file.read(head[26])
        yield sum(lengths), 0
        for length in lengths:
            content = file.read(length)
            if packets[serial] == 1:
                second[serial] += content
            packets[serial] += length < 255
    for comment in second.values():
        yield 0, _comments(bytes(comment))


def _comments(header: bytes) -> int:
    """Return how many texts a header holds, as it states after the name of its writer."""
    magic = next((len(magic) for magic in _MAGICS if header.startswith(magic)), 0)
    if header[:1] in _FLAC:
        magic = 4
    at = magic + 4 + int.from_bytes(header[magic : magic + 4], "little")
    said = int.from_bytes(header[at : at + 4], "little")
    return min(said, max(0, len(header) - at) // 4)


def _boxes_of_texts(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (bytes, 0) of each box for texts, of video or track, and (0, 1) of each text."""
    for kind, begin, end in _boxes(file, 0, file.seek(0, 2)):
        if kind == b"moov":
            yield from _texts_in(file, begin, end)
            return


def _texts_in(file: IO[bytes], begin: int, end: int, depth: int = 0) -> Iterator[tuple[int, int]]:
    for kind, inner, after in _boxes(file, begin, end):
        if kind in (b"udta", b"meta", b"ilst"):
            yield (after - inner if depth < 2 else 0), 0
            # In MP4 four bytes stand before the first box in meta, in MOV none do.
            file.seek(inner)
            skip = 4 if kind == b"meta" and file.read(4) == bytes(4) else 0
            yield from ((0, 1) for _ in _boxes(file, inner + skip, after))
            yield from _texts_in(file, inner + skip, after, 2) if depth < 4 else ()
        elif kind == b"trak" and depth == 0:
            yield from _texts_in(file, inner, after, 1)


def _boxes(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content begins and ends."""
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size, kind, begin = int.from_bytes(head[:4]), head[4:8], at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16]), at + 16
        after = min(at + size, end) if size else end
        if after < begin:
            return
        yield kind, begin, after
        at = after
