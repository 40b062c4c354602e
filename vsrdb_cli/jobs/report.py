"""What is said of a run while it works, and what is known of it at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.frame import ReadReport
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.writing.output import Output, size_written


@dataclass(frozen=True)
class NodeShare:
    """What a node of a cluster has done of a video.

    segments: those it has finished, counted from 0. frames_per_second: since it began.
    """

    name: str
    device: str
    segments: tuple[int, ...]
    frames_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, for other programs."""
        return {
            "name": self.name,
            "device": self.device,
            "segments": len(self.segments),
            "fps": round(self.frames_per_second, 3),
        }


@dataclass(frozen=True)
class RestoreReport:
    """What a run did.

    output: the finished file or folder. seconds: from opening the source to the output's rename;
    restoring_seconds: of these, those after the network was there. strength: as asked for.
    tile: side of the tiles in LR pixels, or None for whole pictures. notices: all that was said
    before and on the way, and what is known at the end, one line each. resumed: frames that an
    earlier run had finished. damage: what of the source could not be read or copied, of the
    notices. part: the frames of the source that were restored, where those are not all. nodes: of a
    cluster, that restored it.
    """

    output: Path
    frames: int
    seconds: float
    height_hr: int
    width_hr: int
    runner: RunnerInfo
    strength: float
    tile: int | None
    notices: tuple[str, ...]
    resumed: int = 0
    restoring_seconds: float = 0.0
    damage: tuple[str, ...] = ()
    part: range | None = None
    nodes: tuple[NodeShare, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """Of those restored in this run, without the time it took to start."""
        restored = self.frames - self.resumed
        return restored / self.restoring_seconds if restored else 0.0


class Phase(StrEnum):
    """The phases of a run."""

    LOAD = "load"
    PLAN = "plan"
    RESTORE = "restore"
    JOIN = "join"
    MEASURE = "measure"
    COMPARE = "compare"


@dataclass(frozen=True)
class Progress:
    """Told after every frame. total is a promise of the container, None where it makes none.

    seconds: of restoring; the time it took to start does not count.
    resumed: how many of the frames an earlier run had finished. segment: the one a frame belongs
    to, counted from 0, of so many segments; None where the job is not divided. phase: LOAD
    before the network is there, PLAN while a long job is looked through, RESTORE, JOIN, or
    MEASURE while a run is estimated. nodes: of a cluster, with what each has done.
    """

    frames: int
    total: int | None
    seconds: float = 0.0
    resumed: int = 0
    segment: int | None = None
    segments: int | None = None
    phase: Phase = Phase.RESTORE
    nodes: tuple[NodeShare, ...] = ()


OnNotice = Callable[[str], None]
OnProgress = Callable[[Progress], None]


class RunLog:
    """What one run says, kept for its report."""

    def __init__(
        self,
        on_notice: OnNotice,
        on_progress: OnProgress,
        on_detail: OnNotice = lambda detail: None,  # noqa: ARG005
    ) -> None:
        self.started = time.monotonic()
        self.progress = on_progress
        self.detail = on_detail
        self._on_notice = on_notice
        self._ready: float | None = None
        self._said: list[str] = []

    def say(self, notice: str) -> None:
        """One line, now."""
        self._said.append(notice)
        self._on_notice(notice)

    def say_shrunk(self, tile: int) -> None:
        """That memory ran out."""
        self.say(f"memory ran out: continuing in tiles of {tile} pixels")

    def ready(self) -> None:
        """The network is there: from now on time counts for the frames per second."""
        self._ready = time.monotonic()

    @property
    def restoring_seconds(self) -> float:
        """Since the network was there."""
        return 0.0 if self._ready is None else time.monotonic() - self._ready

    def say_loading(self) -> None:
        """That the network is about to be loaded, if it is not there yet."""
        self.progress(Progress(0, None, phase=Phase.LOAD))

    def say_phase(self, phase: Phase, done: int, total: int | None) -> None:
        """How far the run is with something beside restoring."""
        self.progress(Progress(done, total, time.monotonic() - self.started, phase=phase))

    def announce(self, info: VideoInfo, output: Output, *, strict: bool) -> None:
        """Say before the work what will be changed or dropped.

        Raises:
            OutputError: there is something, and it is to be strict.
        """
        for notice in losses(info, output, strict=strict):
            self.say(notice)
        for notice in info.assumed:
            self.say(notice)

    def report(
        self,
        output: Path,
        runner: RunnerInfo,
        read: ReadReport,
        lost: Sequence[str],
        *,
        info: VideoInfo,
        options: RestoreOptions,
        frames: int,
        tile: int | None,
        resumed: int = 0,
        nodes: tuple[NodeShare, ...] = (),
    ) -> RestoreReport:
        """The end of the run. lost: what of the other streams could not be copied."""
        height_hr, width_hr = size_written(output, info, options.scale)
        return RestoreReport(
            output=output,
            frames=frames,
            seconds=time.monotonic() - self.started,
            height_hr=height_hr,
            width_hr=width_hr,
            runner=runner,
            strength=options.strength,
            tile=tile,
            notices=tuple(dict.fromkeys((*self._said, *read.notices, *lost))),
            resumed=resumed,
            restoring_seconds=self.restoring_seconds,
            damage=(*read.damage, *lost),
            part=info.cut.frames if info.cut else None,
            nodes=nodes,
        )


def losses(info: VideoInfo, output: Output, *, strict: bool) -> tuple[str, ...]:
    """What will be changed or dropped, one line each.

    Raises:
        OutputError: there is something, and it is to be strict.
    """
    notices = (*info.notices, *output.notices)
    if strict and notices:
        raise OutputError(
            f"the output cannot keep everything: {'; '.join(notices)}",
            hint="choose another output format, or omit --strict",
        )
    return notices


def require_whole(output: Path, read: ReadReport, lost: Sequence[str]) -> None:
    """Whether the source was whole, under `strict`; the output is there in either case.

    Raises:
        VideoError: it was not.
    """
    found = (*read.damage, *lost, *read.changes)
    if found:
        raise VideoError(
            f"{output} is written, but parts of the source are missing: {'; '.join(found)}",
            hint="check the output, or omit --strict to accept it",
        )
