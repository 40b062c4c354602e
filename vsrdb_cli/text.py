"""Text of messages."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Count in words: (1, "frame") -> "1 frame", (2, "frame") -> "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Escape every unprintable character, so that the text is one line.

    File names and metadata hold anything: a new line could pass for one of ours, and characters
    that control a terminal or the direction of writing could rewrite the screen.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
