"""Listen to what FFmpeg says, which it does not return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from av import logging as av_logging


@contextmanager
def listening(level: int) -> Iterator[list[tuple[int, str, str]]]:
    """Collect (level, part of FFmpeg, message) of this thread, at a level and above.

    The list is filled at the end. FFmpeg is silent otherwise.
    """
    log: list[tuple[int, str, str]] = []
    captured: list[tuple[int, str, str]] = []
    before = av_logging.get_level()
    av_logging.set_level(level)
    try:
        with av_logging.Capture() as captured:
            yield log
    finally:
        av_logging.set_level(before)
        log += captured
