"""EBML, which Matroska is made of: elements of a name, a length and content (RFC 8794)."""

from __future__ import annotations


def element(name: str, *content: bytes) -> bytes:
    """One element; its name in hex."""
    whole = b"".join(content)
    return bytes.fromhex(name) + (1 << 56 | len(whole)).to_bytes(8) + whole


def number(name: str, value: int) -> bytes:
    """One element that holds a whole number, 0 or more."""
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))
