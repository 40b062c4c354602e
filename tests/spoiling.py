"""Ways to spoil a copy of a file: its bytes, or the parts that its container is made of.

Parts keep lengths and checksums that are right, unless one is to be wrong, so that what was done to
them gets past the first look of whoever reads the file.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random


def spoil_bytes(data: bytes, random: Random) -> bytes:
    """A copy with some bytes changed, cut out, doubled, or with an end that is missing."""
    spoilt = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16, 64))):
        if not spoilt:
            break
        place = random.randrange(len(spoilt))
        # Headers are small, and where most can go wrong.
        if random.random() < 0.4:
            place = random.choice((place % 512, max(0, len(spoilt) - 1 - place % 2048)))
            place = min(place, len(spoilt) - 1)
        length = random.choice((1, 1, 4, 8, 100, 1000))
        match random.randrange(10):
            case 0:
                del spoilt[place:]
            case 1:
                del spoilt[place : place + length]
            case 2:
                spoilt[place:place] = spoilt[place : place + length]
            case 3:
                spoilt[place : place + length] = random.randbytes(length)
            case 4:
                spoilt[place : place + 4] = random.choice(
                    (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff")
                )
            case _:
                spoilt[place] = random.randrange(256)
    return bytes(spoilt)


@dataclass
class Part:
    """A head that holds kind and length, content, and further parts after that.

    claimed: the length that the head is to tell; None for the true one.
    """

    head: bytes
    content: bytes
    parts: list[Part] = field(default_factory=list)
    claimed: int | None = None


@dataclass(frozen=True)
class Container:
    """How to walk over the parts of a kind of file.

    begins: whether a file is of it. sizes: bytes of head, content, and what follows that, of the
    part that data begins with. whole: a part of head, content and a length to tell. kind: where a
    head says what a part is. inner: where in a part's content further ones begin; None for nowhere.
    before: bytes of the file before its first part.
    """

    begins: Callable[[bytes], bool]
    sizes: Callable[[bytes], tuple[int, int, int]]
    whole: Callable[[bytes, bytes, int], bytes]
    kind: slice
    inner: Callable[[bytes], int | None] = lambda head: None
    before: int = 0


_BOXES = dict.fromkeys(
    b"moov trak mdia minf stbl edts udta moof traf mvex dinf sinf schi iprp ipco tref gmhd".split(),
    0,
)
_BOXES |= {b"meta": 4, b"stsd": 8, b"dref": 8, b"iinf": 6, b"mp4a": 28}
_BOXES |= dict.fromkeys(b"avc1 hvc1 hev1 mp4v vp09 av01 apcn apch jpeg encv".split(), 78)


def _box_sizes(data: bytes) -> tuple[int, int, int]:
    size = int.from_bytes(data[:4])
    head = 16 if size == 1 else 8
    size = int.from_bytes(data[8:16]) if size == 1 else size or len(data)
    return head, size - head, 0


def _box(head: bytes, content: bytes, length: int) -> bytes:
    if len(head) == 16:
        return head[:8] + (length + 16 & (1 << 64) - 1).to_bytes(8) + content
    return (length + 8 & 0xFFFFFFFF).to_bytes(4) + head[4:] + content


# Segment, SeekHead, Info, Tracks, TrackEntry, Video, Colour, Audio, Encodings, Cluster,
# BlockGroup, Cues, CuePoint, Chapters, Attachments, Tags and what is between them, EBML itself.
_MASTERS = (
    "18538067 114d9b74 4dbb 1549a966 1654ae6b ae e0 55b0 55d0 e1 6d80 6240 5034 1f43b675 a0 75a1 a6"
    " 1c53bb6b bb b7 1043a770 45b9 b6 80 1941a469 61a7 1254c367 7373 63c0 67c8 1a45dfa3 7670"
)
_MASTER_IDS = {bytes.fromhex(name) for name in _MASTERS.split()}


def _number_bytes(first: int) -> int:
    return 9 - first.bit_length()


def _element_sizes(data: bytes) -> tuple[int, int, int]:
    name = _number_bytes(data[0])
    length = _number_bytes(data[name])
    size = int.from_bytes(data[name : name + length]) & (1 << 7 * length) - 1
    if size == (1 << 7 * length) - 1:  # not known
        size = len(data) - name - length
    return name + length, size, 0


def _element(head: bytes, content: bytes, length: int) -> bytes:
    name = head[: _number_bytes(head[0])]
    wide = len(head) - len(name)
    if length >= (1 << 7 * wide) - 1:
        wide = 8
    return name + (length & (1 << 7 * wide) - 1 | 1 << 7 * wide).to_bytes(wide) + content


def _inner_elements(head: bytes) -> int | None:
    return 0 if head[: _number_bytes(head[0])] in _MASTER_IDS else None


def _packet(head: bytes, content: bytes, length: int) -> bytes:
    return (head + content)[: 4 + length].ljust(188, b"\xff")


def _page_sizes(data: bytes) -> tuple[int, int, int]:
    return 27 + data[26], sum(data[27 : 27 + data[26]]), 0


def _page(head: bytes, content: bytes, length: int) -> bytes:
    if sum(head[27:]) != length:  # otherwise the packets in it stay as they are
        head = head[:26] + bytes([min(length // 255 + 1, 255)])
        head += (b"\xff" * (length // 255) + bytes([length % 255]))[: head[26]]
    page = bytearray(head + content)
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum = checksum << 8 & 0xFFFFFFFF ^ _OGG[checksum >> 24 ^ byte]
    page[22:26] = checksum.to_bytes(4, "little")
    return bytes(page)


def _ogg_row(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = value << 1 ^ (0x104C11DB7 if value & 1 << 31 else 0)
    return value


_OGG = [_ogg_row(value) for value in range(256)]


def _segment_sizes(data: bytes) -> tuple[int, int, int]:
    if data[1] in (0xD8, 0xD9):
        return 2, 0, 0
    length = int.from_bytes(data[2:4]) - 2
    return 4, len(data) if data[1] == 0xDA else length, 0


def _segment(head: bytes, content: bytes, length: int) -> bytes:
    if len(head) < 4 or head[1] == 0xDA:
        return head + content
    return head[:2] + (length + 2 & 0xFFFF).to_bytes(2) + content


def _klv_sizes(data: bytes) -> tuple[int, int, int]:
    more = data[16] & 0x7F if data[16] & 0x80 else 0
    return 17 + more, int.from_bytes(data[17 : 17 + more]) if more else data[16], 0


def _klv(head: bytes, content: bytes, length: int) -> bytes:
    return head[:16] + b"\x88" + (length & (1 << 64) - 1).to_bytes(8) + content


def _between_start_codes(data: bytes) -> tuple[int, int, int]:
    following = data.find(b"\0\0\1", 4)
    return 4, (len(data) if following < 0 else following) - 4, 0


def _little(head: bytes, at: int, size: int, length: int) -> bytes:
    return head[:at] + (length & (1 << 8 * size) - 1).to_bytes(size, "little") + head[at + size :]


CONTAINERS = {
    "mp4": Container(
        lambda data: data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"),
        _box_sizes, _box, slice(4, 8), lambda head: _BOXES.get(head[4:8]),
    ),
    "matroska": Container(
        lambda data: data[:4] == b"\x1aE\xdf\xa3",
        _element_sizes, _element, slice(0, 2), _inner_elements,
    ),
    "mpegts": Container(
        lambda data: data[0] == 0x47 and data[188:189] == b"\x47",
        lambda data: (4, 184, 0), _packet, slice(1, 3),
    ),
    "riff": Container(
        lambda data: data[:4] == b"RIFF",
        lambda data: (8, size := int.from_bytes(data[4:8], "little"), size % 2),
        lambda head, content, length: (
            _little(head, 4, 4, length) + content + bytes(len(content) % 2)
        ),
        slice(0, 4), lambda head: 4 if head[:4] in (b"RIFF", b"LIST") else None,
    ),
    "ogg": Container(lambda data: data[:4] == b"OggS", _page_sizes, _page, slice(5, 18)),
    "png": Container(
        lambda data: data[:4] == b"\x89PNG",
        lambda data: (8, int.from_bytes(data[:4]), 4),
        lambda head, content, length: (
            (length & 0xFFFFFFFF).to_bytes(4) + head[4:] + content
            + struct.pack(">I", zlib.crc32(head[4:] + content))
        ),
        slice(4, 8), before=8,
    ),
    "jpeg": Container(lambda data: data[:2] == b"\xff\xd8", _segment_sizes, _segment, slice(1, 2)),
    "flv": Container(
        lambda data: data[:3] == b"FLV",
        lambda data: (11, int.from_bytes(data[1:4]), 4),
        lambda head, content, length: (
            head[:1] + (length & 0xFFFFFF).to_bytes(3) + head[4:] + content
            + (len(content) + 11).to_bytes(4)
        ),
        slice(0, 1), before=13,
    ),
    "asf": Container(
        lambda data: data[:4] == b"\x30\x26\xb2\x75",
        lambda data: (24, int.from_bytes(data[16:24], "little") - 24, 0),
        lambda head, content, length: _little(head, 16, 8, length + 24) + content,
        slice(0, 16), lambda head: 6 if head[:4] == b"\x30\x26\xb2\x75" else None,
    ),
    "mxf": Container(lambda data: data[:4] == b"\x06\x0e\x2b\x34", _klv_sizes, _klv, slice(0, 16)),
    "start codes": Container(  # MPEG program streams, and streams with nothing around them
        lambda data: data[:4] in (b"\0\0\1\xba", b"\0\0\1\xb3") or data[:4] == b"\0\0\0\1",
        _between_start_codes, lambda head, content, length: head + content, slice(3, 4),
    ),
}  # fmt: skip


def parts_of(data: bytes, container: Container) -> list[Part]:
    """The parts that data consists of; what is no part ends them, and is one without a head."""
    parts: list[Part] = []
    while data:
        try:
            head, content, tail = container.sizes(data)
            right = content >= 0 and head + content <= len(data) + tail
        except IndexError:
            right = False
        if not right:
            # A last part may go on to the end of the file, however long it says that it is.
            return [*parts, Part(b"", data)]
        body = data[head : head + content]
        first = container.inner(data[:head])
        inner = [] if first is None else parts_of(body[first:], container)
        parts.append(Part(data[:head], body if first is None else body[:first], inner))
        data = data[head + content + tail :]
    return parts


def whole(parts: list[Part], container: Container) -> bytes:
    """What consists of the parts."""
    pieces = []
    for part in parts:
        content = part.content + whole(part.parts, container)
        length = len(content) if part.claimed is None else part.claimed
        pieces.append(container.whole(part.head, content, length) if part.head else content)
    return b"".join(pieces)


MOST_PARTS = 5000


def spoil_parts(data: bytes, random: Random) -> bytes:
    """A copy with some parts changed; with some bytes changed, if it is of no known kind."""
    container = next((known for known in CONTAINERS.values() if known.begins(data)), None)
    if container is None:
        return spoil_bytes(data, random)
    top = parts_of(data[container.before :], container)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        by_kind, lists = defaultdict(list), _lists(top)
        if sum(map(len, lists)) > MOST_PARTS:  # copies of copies
            break
        for siblings in lists:
            for part in siblings:
                by_kind[part.head[container.kind]].append((siblings, part))
        if not by_kind:
            break
        # There are few headers, and many pictures.
        siblings, part = random.choice(by_kind[random.choice(sorted(by_kind))])
        _change(part, siblings, random.choice(lists), random)
    return data[: container.before] + whole(top, container)


def _lists(parts: list[Part]) -> list[list[Part]]:
    return [parts, *(inner for part in parts for inner in _lists(part.parts))]


def _change(part: Part, siblings: list[Part], elsewhere: list[Part], random: Random) -> None:
    at = next(place for place, sibling in enumerate(siblings) if sibling is part)
    copy = deepcopy(part)
    match random.randrange(16):
        case 0:
            del siblings[at]
        case 1:
            siblings[at:at] = [copy] * random.choice((1, 1, 3, 100))
        case 2:
            other = random.randrange(len(siblings))
            siblings[at], siblings[other] = siblings[other], siblings[at]
        case 3:
            elsewhere.insert(random.randrange(len(elsewhere) + 1), copy)
        case 4:
            part.parts.append(copy)
        case 5:
            part.head = random.choice(siblings).head or part.head
        case 6:
            true = len(part.content)
            part.claimed = random.choice((0, 1, true - 1, true + 1, 2 * true, 0x7FFFFFFF, -1))
        case 7:
            part.content = part.content[: random.randrange(len(part.content) + 1)]
        case 8:
            part.head = _with_other_number(part.head, random)
        case _:
            part.content = _with_other_number(part.content, random)


def _with_other_number(data: bytes, random: Random) -> bytes:
    """A copy in which a number has another value, of those where much begins or ends."""
    width = random.choice((1, 2, 4, 4, 4, 8))
    if len(data) < width:
        return data
    places = range(0, len(data) - width + 1, min(width, 4) if random.random() < 0.7 else 1)
    at = random.choice(places[:64] if random.random() < 0.7 else places)
    value, top = int.from_bytes(data[at : at + width]), 1 << 8 * width
    other = int.from_bytes(data[at + width : at + 2 * width])
    value = random.choice(
        (0, 1, top - 1, top // 2, top // 2 - 1, value + 1, value - 1, 2 * value, value // 2, other,
         value ^ 1 << random.randrange(8 * width), random.randrange(top))
    )  # fmt: skip
    return data[:at] + (value % top).to_bytes(width) + data[at + width :]
