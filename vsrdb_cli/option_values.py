"""Values of options as people write them: places, lengths of time, rates, devices, tiles.

Each `read_...` takes text, or the value itself from a program, and raises ValueError with how to
write it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from numbers import Integral, Real

# Side of the tiles in LR pixels; "auto" is the whole picture where it fits into free memory and
# else the largest tiles that do; None (on the command line "none") is always the whole picture.
Tile = int | str | None

# A place in a video: seconds, or the number of a frame, counted from 0.
Position = Fraction | int

SMALLEST_TILE = 64

_TIME = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)s?")
_DEVICE = re.compile(r"auto|cpu|(cuda|mps)(:\d+)?")
_CLUSTER = re.compile(r"[\w.\[\]:-]+:\d+")
_HIGHEST_RATE = 1000
_NTSC = {
    "23.976": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
}
_FRAME = re.compile(r"(\d+)f")


def read_tile(value: int | str | None) -> Tile:
    """ "auto", "none" (None), or a side in pixels."""
    if value is None or value in ("auto", "none"):
        return "auto" if value == "auto" else None
    if not str(value).isdecimal() or int(value) < SMALLEST_TILE:
        raise ValueError(f"use auto, none, or a side of {SMALLEST_TILE} pixels or more")
    return int(value)


def read_devices(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of devices, with commas between them."""
    named = value if isinstance(value, tuple) else str(value).split(",")
    devices = tuple(name.strip() for name in named)
    if not all(devices) or "auto" in devices:
        raise ValueError("name each device, as in cuda:0,cuda:1")
    # By one name each, since those of the same device share its memory.
    return tuple("cuda:0" if name == "cuda" else read_device(name) for name in devices)


def read_device(value: str) -> str:
    """ "auto" or a device's name."""
    if not _DEVICE.fullmatch(str(value)):
        raise ValueError("use auto, cpu, cuda, cuda:0 (the first GPU) or mps")
    return str(value)


def read_cluster(value: str) -> str:
    """ "auto", "local", or the address of a Ray cluster's head."""
    if value not in ("auto", "local") and not _CLUSTER.fullmatch(str(value)):
        raise ValueError("use auto, local, or HOST:PORT as ray start --head prints it")
    return str(value)


def read_rate(value: str | float | Fraction) -> Fraction:
    """ "25", "23.976" or "24000/1001"; the decimal names of NTSC's rates are taken for them."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _HIGHEST_RATE:
        raise ValueError(f"write frames per second up to {_HIGHEST_RATE}, as 25 or 24000/1001")
    return _NTSC.get(str(value), rate)


def read_position(value: str | float | Position) -> Position:
    """ "90", "90.5s", "1:30" and "0:01:30" are times, "2250f" is a frame.

    From programs, a whole number is a frame, and any other number seconds.
    """
    if isinstance(value, Real):
        position = int(value) if isinstance(value, Integral) else Fraction(str(value))
        if position < 0:
            raise ValueError("write a time or a frame from 0 on")
        return position
    text = str(value)
    if frame := _FRAME.fullmatch(text):
        return int(frame[1])
    time = _TIME.fullmatch(text)
    if time is None:
        raise ValueError("write a time (90.5 or 0:01:30.5) or a frame (2250f)")
    hours, minutes, seconds = (Fraction(part or 0) for part in time.groups())
    return 3600 * hours + 60 * minutes + seconds


def read_seconds(value: str | float | Fraction) -> Fraction:
    """A length of time, more than nothing."""
    wrong = "write a length of time, such as 3s or 0:10"
    try:
        seconds = read_position(str(value) if isinstance(value, Integral) else value)
    except ValueError:
        raise ValueError(wrong) from None
    if isinstance(seconds, int) or seconds <= 0:
        raise ValueError(wrong)
    return seconds


def read_pairs(value: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE, as often as wanted."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [text.partition("=") for text in value]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError("write KEY=VALUE")
    return {key: text for key, _, text in pairs}


def written(position: Position) -> str:
    """A position as it is written on the command line."""
    return f"{position}f" if isinstance(position, int) else f"{float(position):g}"
