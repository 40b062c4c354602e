"""EBML, which Matroska is made of: elements of a name, a length and content (RFC 8794)."""

from __future__ import annotations

from collections.abc import Iterator


def element(name: str, *content: bytes) -> bytes:
    """One element; its name in hex."""
    whole = b"".join(content)
    return bytes.fromhex(name) + (1 << 56 | len(whole)).to_bytes(8) + whole


def number(name: str, value: int) -> bytes:
    """One element that holds a whole number, 0 or more."""
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


def elements(data: bytes, *path: str) -> Iterator[tuple[str, bytes]]:
    """The names of elements, in upper-case hex, and what they hold; within those of a path."""
    place = 0
    while place < len(data):
        named = place + _length(data[place])
        name = data[place:named].hex().upper()
        began = named + _length(data[named])
        # The first bit set only tells how many bytes there are.
        size = int.from_bytes(data[named:began]) & ((1 << 7 * (began - named)) - 1)
        held = data[began : began + size]  # of unknown length: all that follows
        if not path:
            yield name, held
        elif name == path[0]:
            yield from elements(held, *path[1:])
        place = began + size


def _length(first: int) -> int:
    """How many bytes a name or a length has, by its first."""
    return 9 - first.bit_length() if first else 9
