"""Parts of files that FFmpeg does not show: MP4 boxes, EBML elements, transport stream tables.

Source: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), ISO/IEC 13818-1, 2.4.4 (program specific
information of transport streams).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each MP4 box in `data`."""
    with io.BytesIO(data) as file:
        for kind, begin, end in boxes_of(file):
            yield kind, data[begin:end]


def boxes_of(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box at the top level of a file, and where its content lies."""
    place, whole = 0, file.seek(0, io.SEEK_END)
    while place + 8 <= whole:
        file.seek(place)
        size, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        begin = place + (16 if size == 1 else 8)
        size = {0: whole - place, 1: large}.get(size, size)
        yield kind, begin, min(place + size, whole)
        if place + size < begin:
            return  # no box is smaller than its own head
        place += size


def element(name: str, *content: bytes) -> bytes:
    """Return one EBML element; its name is in hex."""
    whole = b"".join(content)
    return bytes.fromhex(name) + (1 << 56 | len(whole)).to_bytes(8) + whole


def number(name: str, value: int) -> bytes:
    """Return one EBML element that holds a whole number, 0 or more."""
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


# The tables come again several times a second.
_LOOK_BYTES = 4 << 20
_PACKET = 188
_SYNC = 0x47
# Bytes from packet to packet: as broadcast, with times before (Blu-ray, cameras), or parity after.
_STEPS = (188, 192, 204)
_IN_A_ROW = 5  # packets that decide it
_PMT = 2  # table_id


def foreign_pids(path: Path, pid: int) -> frozenset[int]:
    """Return the PIDs that belong only to other programmes of a transport stream.

    Args:
        pid: of a stream whose own programmes are meant.
    """
    programmes: dict[int, set[int]] = {}
    for number, pids in _maps(path):  # a map may gain streams
        programmes.setdefault(number, set()).update(pids)
    own = [pids for pids in programmes.values() if pid in pids]
    return frozenset().union(*programmes.values()) - set().union(*own) if own else frozenset()


def _maps(path: Path) -> Iterator[tuple[int, list[int]]]:
    """Yield a programme's number and the PIDs of its streams, each time the file gives them."""
    tables = {0}  # PIDs: the list of programmes, and its entries
    for pid, section in _sections(path, tables):
        body = section[8:-4]
        if pid == 0:
            entries = (body[place : place + 4] for place in range(0, len(body) - 3, 4))
            tables.update(_13_bits(entry[2:]) for entry in entries if any(entry[:2]))
        elif section[0] == _PMT:
            place, pids = 4 + _12_bits(body[2:]), []
            while place + 5 <= len(body):
                pids.append(_13_bits(body[place + 1 :]))
                place += 5 + _12_bits(body[place + 3 :])
            yield int.from_bytes(section[3:5]), pids


def _sections(path: Path, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    """Yield whole tables of the PIDs that are wanted by then."""
    begun: dict[int, bytes] = {}
    for packet in _packets(path):
        pid, has_payload = _13_bits(packet[1:]), packet[3] & 0x10
        if pid not in wanted or not has_payload:
            continue
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40 and payload:  # a table begins in it
            begun[pid] = payload[1 + payload[0] :]
        elif pid in begun:
            begun[pid] += payload
        section = begun.get(pid, b"")
        length = 3 + _12_bits(section[1:]) if len(section) >= 3 else len(section) + 1
        if len(section) >= length:
            yield pid, begun.pop(pid)[:length]


def _packets(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        data = file.read(_LOOK_BYTES)
    for step in _STEPS:
        for first in range(step):
            if data[first : first + _IN_A_ROW * step : step] == bytes([_SYNC]) * _IN_A_ROW:
                for begin in range(first, len(data) - _PACKET + 1, step):
                    if data[begin] == _SYNC:
                        yield data[begin : begin + _PACKET]
                return


def _12_bits(data: bytes) -> int:
    return int.from_bytes(data[:2]) & 0x0FFF


def _13_bits(data: bytes) -> int:
    return int.from_bytes(data[:2]) & 0x1FFF
