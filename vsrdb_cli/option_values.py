"""Values of options as people write them: times, frame numbers, rates, devices, tiles.

Each `read_...` takes text, or the value itself from a program, and raises ValueError with how to
write it. This is where text of the command line, configuration files and programs is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from numbers import Real
from typing import Literal

from vsrdb_cli.device_kinds import HOW_TO_NAME, is_device_name, with_number


class FrameNumber(int):
    """The number of a frame, counted from 0. Other numbers are times in seconds."""


# Where in a video: seconds or a frame.
Position = Fraction | FrameNumber

# Side of the tiles in LR pixels; "auto" is the whole picture where it fits into free memory and
# else the largest tiles that do; None (on the command line "none") is always the whole picture.
Tile = int | Literal["auto"] | None

SMALLEST_TILE = 64

_TIME = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)s?")
_CLUSTER = re.compile(r"[\w.\[\]:-]+:\d+")
_HIGHEST_RATE = 1000
_NTSC = {
    "23.976": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
}
_FRAME = re.compile(r"(\d+)f")


def read_tile(value: int | str | None) -> Tile:
    """Read "auto", "none" (None), or a side in pixels."""
    if value is None or value == "none":
        return None
    if value == "auto":
        return "auto"
    if not str(value).isdecimal() or int(value) < SMALLEST_TILE:
        raise ValueError(f"use auto, none, or a side of {SMALLEST_TILE} pixels or more")
    return int(value)


def read_devices(value: str | Sequence[str]) -> tuple[str, ...]:
    """Read device names, separated by commas in text."""
    names = value.split(",") if isinstance(value, str) else value
    devices = tuple(str(name).strip() for name in names)
    if not all(devices) or "auto" in devices:
        raise ValueError("name each device, as in cuda:0,cuda:1")
    # By one name each, since those of the same device share its memory.
    return tuple(with_number(read_device(name)) for name in devices)


def read_device(value: str) -> str:
    """Read "auto" or a device's name."""
    if not is_device_name(value):
        raise ValueError(HOW_TO_NAME)
    return value


def read_cluster(value: str) -> str:
    """Read "auto", "local", or the address of a Ray cluster's head."""
    if value not in ("auto", "local") and not _CLUSTER.fullmatch(value):
        raise ValueError("use auto, local, or HOST:PORT as ray start --head prints it")
    return value


def read_rate(value: str | float | Fraction) -> Fraction:
    """Read "25", "23.976" or "24000/1001"; NTSC's decimal names stand for its exact rates."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _HIGHEST_RATE:
        raise ValueError(f"write frames per second up to {_HIGHEST_RATE}, as 25 or 24000/1001")
    return _NTSC.get(str(value), rate)


def read_position(value: str | float | Position) -> Position:
    """Read a time, as 90.5, "90.5s", "1:30" or "0:01:30", or a frame, as "2250f"."""
    if isinstance(value, FrameNumber):
        return value
    text = str(value)
    if frame := _FRAME.fullmatch(text):
        return FrameNumber(frame[1])
    if isinstance(value, Real):
        try:
            seconds = Fraction(text)
        except ValueError:  # not a number, or infinite
            seconds = Fraction(-1)
        if seconds < 0:
            raise ValueError("write a time or a frame from 0 on")
        return seconds
    time = _TIME.fullmatch(text)
    if time is None:
        raise ValueError("write a time (90.5 or 0:01:30.5) or a frame (2250f)")
    hours, minutes, rest = (Fraction(part or 0) for part in time.groups())
    return 3600 * hours + 60 * minutes + rest


def read_seconds(value: str | float | Fraction) -> Fraction:
    """Read a length of time greater than zero, as 3, "3s" or "0:10"."""
    wrong = "write a length of time, such as 3s or 0:10"
    try:
        seconds = read_position(value)
    except ValueError:
        raise ValueError(wrong) from None
    if isinstance(seconds, FrameNumber) or seconds <= 0:
        raise ValueError(wrong)
    return seconds


def read_pairs(value: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Read any number of KEY=VALUE."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [text.partition("=") for text in value]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError("write KEY=VALUE")
    return {key: text for key, _, text in pairs}


def written(position: Position) -> str:
    """Return a position as the command line takes it."""
    return f"{position}f" if isinstance(position, FrameNumber) else f"{float(position):g}"
