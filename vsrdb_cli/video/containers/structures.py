"""Parts of container formats that FFmpeg does not show: EBML elements, transport stream tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def element(name: str, *content: bytes) -> bytes:
    """One element; its name in hex."""
    whole = b"".join(content)
    return bytes.fromhex(name) + (1 << 56 | len(whole)).to_bytes(8) + whole


def number(name: str, value: int) -> bytes:
    """One element that holds a whole number, 0 or more."""
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


# The tables come again several times a second.
_LOOK_BYTES = 4 << 20
_PACKET = 188
_SYNC = 0x47
# Bytes from packet to packet: as broadcast, with times before (Blu-ray, cameras), or parity after.
_STEPS = (188, 192, 204)
_IN_A_ROW = 5  # packets that tell which
_PMT = 2  # table_id


def strangers(path: Path, pid: int) -> frozenset[int]:
    """PIDs that belong to other programmes of a transport stream alone.

    Args:
        pid: of a stream whose own programmes are meant.
    """
    programmes: dict[int, set[int]] = {}
    for number, pids in _maps(path):  # a map may gain streams
        programmes.setdefault(number, set()).update(pids)
    own = [pids for pids in programmes.values() if pid in pids]
    return frozenset().union(*programmes.values()) - set().union(*own) if own else frozenset()


def _maps(path: Path) -> Iterator[tuple[int, list[int]]]:
    """The number of a programme and the PIDs of its streams, as often as the file says it."""
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
    """Whole tables of PIDs that are wanted by then."""
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
