"""The events of restoring segments: workers send them, executors report them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vsrdb_cli.jobs.plan import Segment


@dataclass(frozen=True)
class FrameRestored:
    """A frame was restored and written."""

    segment: Segment
    is_repeat: bool = False
    """True if it repeats the one before and shares its result."""


@dataclass(frozen=True)
class TileShrunk:
    """Memory ran out, and the tiles are smaller from now on."""

    tile: int
    """New side of the tiles, in LR pixels."""


@dataclass(frozen=True)
class SegmentFinished:
    """A segment's file is whole and on the disk."""

    segment: Segment
    damage: tuple[str, ...] = ()
    """Parts of the source's other streams that could not be copied, one line each."""


@dataclass(frozen=True)
class SegmentLost:
    """A segment starts again: its frames will be reported again."""

    segment: Segment


@dataclass(frozen=True)
class Notice:
    """A line for the user."""

    text: str


Event = FrameRestored | TileShrunk | SegmentFinished | SegmentLost | Notice
OnEvent = Callable[[Event], None]
