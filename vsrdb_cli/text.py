"""Words of messages, put together."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """(1, "frame") -> "1 frame", (2, "frame") -> "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """One line of text, with what is no letter, sign or space in it spelled out.

    File names and metadata hold whatever somebody wrote there: a new line could pass for one of
    ours, and characters that steer a terminal or the direction of writing could rewrite the screen.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
