"""Still pictures in HEIF files (.heic, .avif): the parts a picture is made of.

FFmpeg gives each coded item as a stream of its own, but not which of them belong together.

Source: ISO/IEC 23008-12 (items, grids, properties), ISO/IEC 14496-12 (boxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.structures import boxes, boxes_of
from vsrdb_cli.video.pixels.colour import PC, TV
from vsrdb_cli.video.side_data.orientation import ONE, Orientation

_CODED = ("hvc1", "av01", "avc1", "jpeg", "vvc1")
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_HIDDEN = 1  # flag of an item that only serves others


class CodePoints(NamedTuple):
    """Colour codes of H.273, and the range as in `Colour`."""

    primaries: int
    transfer: int
    matrix: int
    range: int


@dataclass(frozen=True, slots=True)
class HeifPicture:
    """The main picture of a file."""

    width: int
    """Before it is turned, like the height."""
    height: int
    tiles: tuple[int, ...]
    """Ids of FFmpeg's streams to lay out row by row, or of the only one."""
    columns: int
    """The number of tiles side by side."""
    orientation: Orientation | None
    """Like that of a display matrix; None if it is upright already."""
    colour: CodePoints | None
    """As the file specifies it; if None, the coded tiles do."""
    profile: bytes
    """An ICC profile; empty if there is none."""
    alpha: int | None
    """The id of the stream of its transparency."""
    others: int
    """The number of further pictures in their own right, without previews."""
    auxiliary: int
    """The number of depth maps, gain maps and the like."""
    exif: bytes
    """Camera data, laid out as in a TIFF file; empty if there is none."""


def heif_picture(path: Path) -> HeifPicture | None:
    """Describe how the picture of a HEIF file is made up; None for films and other files.

    Raises:
        VideoError: it is made in a way that cannot be read here.
    """
    with path.open("rb") as file:
        meta = _meta(file)
    if meta is None:
        return None
    try:
        return _Items(meta, path).picture()
    except (struct.error, LookupError, ValueError) as error:
        raise _refused(path, "its list of pictures cannot be read") from error


def _refused(path: Path, why: str) -> VideoError:
    return VideoError(
        f"{path} cannot be restored: {why}",
        hint=f"convert it first: heif-convert {path.name} {path.stem}.png",
    )


def _meta(file: BinaryIO) -> bytes | None:
    """Return the box "meta" of a file's top level; None if there is none, or a film beside it."""
    meta = None
    for number, (kind, begin, end) in enumerate(boxes_of(file)):
        if kind == b"moov" or (number == 0 and kind != b"ftyp"):
            return None
        if kind == b"meta":
            file.seek(begin)
            meta = file.read(end - begin)
    return meta


class _Reader:
    """A reader of numbers in a row, high byte first."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self._at = data, at

    def number(self, size: int) -> int:
        if self._at + size > len(self._data):
            raise ValueError("a box ends early")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at])

    def numbers(self, count: int, size: int) -> tuple[int, ...]:
        return tuple(self.number(size) for _ in range(count))

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]


class _Items:
    """The items of a file, from its box "meta"."""

    def __init__(self, meta: bytes, path: Path) -> None:
        self._path = path
        self._boxes = dict(boxes(meta[4:]))
        box = self._boxes[b"pitm"]
        self.primary = int.from_bytes(box[4 : 6 if box[0] == 0 else 8])
        self.kinds: dict[int, str] = {}
        self.hidden: set[int] = set()
        self._read_kinds(self._boxes[b"iinf"])
        # How an item refers to others, and which it is.
        self.references: dict[tuple[str, int], tuple[int, ...]] = {}
        self._read_references(self._boxes.get(b"iref", bytes(4)))
        self.properties: dict[int, list[tuple[bytes, bytes]]] = {}
        self._read_properties(dict(boxes(self._boxes[b"iprp"])))

    def picture(self) -> HeifPicture:
        """Describe the main picture; see `heif_picture`."""
        path = self._path
        main, kind = self.primary, self.kinds[self.primary]
        tiles: tuple[int, ...] = (main,)
        columns = 1
        said = dict(self.properties.get(main, ()))
        width, height = struct.unpack_from(">II", said[b"ispe"], 4)
        if kind == "grid":
            rows, columns, width, height = self._grid(main)
            tiles = self.references["dimg", main]
            if rows * columns != len(tiles) or any(self.kinds[t] not in _CODED for t in tiles):
                raise _refused(path, f"its grid has {rows}x{columns} tiles and {len(tiles)} parts")
        elif kind not in _CODED:
            raise _refused(path, f"its picture is a HEIF item of the kind {kind!r}")
        if not (width and height):
            raise _refused(path, f"its picture is {width}x{height} pixels")
        if b"clap" in said:
            raise _refused(path, "its picture is cropped (clap), which is not supported")
        of_main = {i for (how, i), to in self.references.items() if how == "auxl" and main in to}
        alpha = next((i for i in of_main if self._is_alpha(i)), None)
        colours = [data for name, data in self.properties.get(main, ()) if name == b"colr"]
        return HeifPicture(
            width,
            height,
            tiles,
            columns,
            _orientation(self.properties.get(main, [])),
            next((_code_points(data) for data in colours if data[:4] == b"nclx"), None),
            next((data[4:] for data in colours if data[:4] in (b"prof", b"rICC")), b""),
            alpha,
            len(self._shown() - {main}),
            len(of_main - {alpha}),
            self._exif(),
        )

    def _exif(self) -> bytes:
        item = next((i for i, kind in self.kinds.items() if kind == "Exif"), None)
        if item is None:
            return b""
        content = self._content(item)
        return content[4 + int.from_bytes(content[:4]) :]

    def _shown(self) -> set[int]:
        """Return the items that are pictures in their own right."""
        pictures = {i for i, kind in self.kinds.items() if kind in (*_CODED, "grid", "iovl")}
        previews = {i for how, i in self.references if how in ("thmb", "auxl")}
        parts = {i for (how, _), to in self.references.items() if how == "dimg" for i in to}
        return pictures - previews - parts - self.hidden

    def _is_alpha(self, item: int) -> bool:
        kinds = (data for name, data in self.properties.get(item, ()) if name == b"auxC")
        return any(kind[4:].split(b"\0")[0] in _ALPHA for kind in kinds)

    def _grid(self, item: int) -> tuple[int, int, int, int]:
        """Return rows, columns, width and height."""
        reader = _Reader(self._content(item))
        _, flags, rows, columns = reader.numbers(4, 1)
        width, height = reader.numbers(2, 4 if flags & 1 else 2)
        return rows + 1, columns + 1, width, height

    def _content(self, item: int) -> bytes:
        """Read the file's bytes for an item that is no coded picture."""
        box = self._boxes[b"iloc"]
        reader = _Reader(box, 4)
        sizes = reader.number(2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if box[0] else 0
        wide = 4 if box[0] == 2 else 2
        for _ in range(reader.number(wide)):
            found = reader.number(wide)
            in_idat = bool(box[0]) and reader.number(2) & 15 == 1
            reader.number(2)  # another file, which FFmpeg would not read
            base = reader.number(base_size)
            parts = []
            for _ in range(reader.number(2)):
                reader.number(index_size)
                parts.append((base + reader.number(offset_size), reader.number(length_size)))
            if found == item:
                whole = self._boxes[b"idat"] if in_idat else self._path.read_bytes()
                return b"".join(whole[begin : begin + length] for begin, length in parts)
        raise LookupError(f"item {item} is nowhere")

    def _read_kinds(self, box: bytes) -> None:
        for kind, entry in boxes(box[6 if box[0] == 0 else 8 :]):
            if kind != b"infe" or entry[0] < 2:
                continue
            reader = _Reader(entry, 4)
            item = reader.number(2 if entry[0] == 2 else 4)
            reader.number(2)  # protection
            self.kinds[item] = reader.rest[:4].decode("latin-1")
            if entry[3] & _HIDDEN:
                self.hidden.add(item)

    def _read_references(self, box: bytes) -> None:
        size = 4 if box[0] else 2
        for kind, entry in boxes(box[4:]):
            reader = _Reader(entry)
            item = reader.number(size)
            self.references[kind.decode("latin-1"), item] = reader.numbers(reader.number(2), size)

    def _read_properties(self, found: dict[bytes, bytes]) -> None:
        known = list(boxes(found[b"ipco"]))
        box = found[b"ipma"]
        reader = _Reader(box, 4)
        wide = box[3] & 1  # an index has 15 bits instead of 7; the highest says "essential"
        for _ in range(reader.number(4)):
            item = reader.number(4 if box[0] else 2)
            indices = reader.numbers(reader.number(1), 1 + wide)
            places = (index & (0x7FFF if wide else 0x7F) for index in indices)
            self.properties[item] = [known[place - 1] for place in places if place]


def _code_points(colr: bytes) -> CodePoints:
    primaries, transfer, matrix, full = struct.unpack_from(">HHHB", colr, 4)
    return CodePoints(primaries, transfer, matrix, PC if full >> 7 else TV)


def _orientation(properties: list[tuple[bytes, bytes]]) -> Orientation | None:
    """Combine turns and mirrorings in the order in which the file gives them."""
    a, b, c, d = 1, 0, 0, 1  # a pixel at (x, y) is shown at (a x + c y, b x + d y)
    for name, data in properties:
        if name == b"irot":
            for _ in range(data[0] & 3):  # quarters anticlockwise
                a, b, c, d = b, -a, d, -c
        elif name == b"imir":
            sideways = data[0] & 1  # else top and bottom change places
            a, b, c, d = (-a, b, -c, d) if sideways else (a, -b, c, -d)
    return None if (a, b, c, d) == (1, 0, 0, 1) else (a * ONE, b * ONE, c * ONE, d * ONE)
