"""Who restores segments: this process, or one process on each of several devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.jobs.division import Segment
from vsrdb_cli.jobs.segments import Job, restore_segments
from vsrdb_cli.pipeline.memory import pipeline_bytes
from vsrdb_cli.restore import RestoreOptions, check_scale_and_tile, settle_tile
from vsrdb_cli.video.frame import FrameSource


@dataclass(frozen=True)
class Listener:
    """Told, in the caller's thread, how the work goes.

    on_frame: after every frame. on_tile: memory ran out; the new side of the tiles. on_done: a
    segment's file is whole and on the disk. on_lost: a segment is begun anew, its frames will come
    again. on_notice: one line.
    """

    on_frame: Callable[[Segment], None]
    on_tile: Callable[[int], None]
    on_done: Callable[[Segment], None]
    on_lost: Callable[[Segment], None]
    on_notice: Callable[[str], None]


class Crew(Protocol):
    """Whoever takes the next segment."""

    @property
    def info(self) -> RunnerInfo:
        """What runs."""

    def settle(self, options: RestoreOptions, height: int, width: int) -> int | None:
        """The side of tiles that fits into memory everywhere, as `Restorer` takes it.

        Raises:
            OptionError: scale or tile cannot be, or the smallest tiles do not fit.
        """

    def restore(self, job: Job, segments: Sequence[Segment], listener: Listener) -> None:
        """Restore segments, finished in whatever order.

        Raises:
            VsrdbError: what could not be done; finished segments are kept.
        """


def settled(
    runner: Runner, options: RestoreOptions, height: int, width: int, *, share: float = 1.0
) -> int | None:
    """One runner's answer to `Crew.settle`; `share` as in `settle_tile`."""
    check_scale_and_tile(runner, options.scale, options.tile)
    beside = pipeline_bytes(height, width, scale=options.scale, bit_depth=16)
    return settle_tile(runner, options.tile, height, width, beside=beside, share=share)


class Alone:
    """A crew of one: this process."""

    def __init__(self, runner: Runner, reader: FrameSource) -> None:
        self._runner, self._reader = runner, reader

    @property
    def info(self) -> RunnerInfo:
        return self._runner.info

    def settle(self, options: RestoreOptions, height: int, width: int) -> int | None:
        return settled(self._runner, options, height, width)

    def restore(self, job: Job, segments: Sequence[Segment], listener: Listener) -> None:
        restore_segments(
            job,
            segments,
            self._reader,
            self._runner,
            on_frame=listener.on_frame,
            on_tile=listener.on_tile,
            on_done=listener.on_done,
        )
