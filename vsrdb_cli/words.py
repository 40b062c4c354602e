"""Words of messages, put together."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """(1, "frame") -> "1 frame", (2, "frame") -> "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Control characters of file names and metadata spelled out: they could rewrite the screen."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
