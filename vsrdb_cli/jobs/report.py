"""The reports of a run: progress, notices, and a report at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.frame import ReadReport

if TYPE_CHECKING:
    from vsrdb_cli.video.pixels.telecine import Film


@dataclass(frozen=True)
class NodeShare:
    """The share of a video that a node of a cluster has restored."""

    name: str
    device: str
    segments: tuple[int, ...]
    """Segments it has finished, counted from 0."""

    frames_per_second: float
    """Frames per second since it began."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for other programs."""
        return {
            "name": self.name,
            "device": self.device,
            "segments": len(self.segments),
            "fps": round(self.frames_per_second, 3),
        }


@dataclass(frozen=True)
class RestoreReport:
    """The outcome of a run."""

    output: Path
    """The finished file or folder."""

    frames: int
    seconds: float
    """Time from opening the source to renaming the output."""

    height_hr: int
    width_hr: int
    runner: RunnerInfo
    strength: float
    """As in `RestoreOptions`."""

    prefilter: str | None
    """As in `RestoreOptions`, like `postfilter` and `grain`."""

    postfilter: str | None
    grain: float | None
    tile: int | None
    """Side of the tiles in LR pixels; None for whole pictures."""

    notices: tuple[str, ...]
    """All notices of the run, and what is known only at the end, one line each."""

    repeats: int = 0
    """Frames that repeat the one before and share its result."""

    resumed: int = 0
    """Frames that an earlier run had finished."""

    restoring_seconds: float = 0.0
    """The part of `seconds` after the network was loaded."""

    damage: tuple[str, ...] = ()
    """Notices about parts of the source that could not be read or copied."""

    part: range | None = None
    """Frames of the source that were restored; None for all."""

    film: Film | None = None
    """Where the frames of film lie in a telecined source; None if it was not read as film."""

    nodes: tuple[NodeShare, ...] = ()
    """Nodes of the cluster that restored it."""

    @property
    def frames_per_second(self) -> float:
        """Frames per second of those restored in this run, without the time it took to start."""
        restored = self.frames - self.resumed
        return restored / self.restoring_seconds if restored else 0.0


class Phase(StrEnum):
    """The phases of a run."""

    LOAD = "load"
    """The network is being loaded."""

    FILM = "film"
    """A video is read once to find the frames of film in it."""

    PLAN = "plan"
    """A long video is read once, to divide it into segments."""

    RESTORE = "restore"
    JOIN = "join"
    """Finished segments are put together."""

    MEASURE = "measure"
    """A dry run restores a few frames."""

    COMPARE = "compare"
    """A page that compares input and output is made."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run; reported after every frame."""

    frames: int
    """Frames done, those of an earlier run included; segments in the phase JOIN."""

    total: int | None
    """As the container promises it; None if it promises nothing."""

    seconds: float = 0.0
    """Time spent restoring, without the time it took to start."""

    resumed: int = 0
    """Frames that an earlier run had finished."""

    repeats: int = 0
    """Frames done that repeat the one before and share its result."""

    segment: int | None = None
    """Segment that the last frame belongs to, counted from 0; None without segments."""

    segments: int | None = None
    """Number of segments; None without segments."""

    phase: Phase = Phase.RESTORE
    nodes: tuple[NodeShare, ...] = ()
    """Nodes of a cluster, with what each has done."""


OnNotice = Callable[[str], None]
OnProgress = Callable[[Progress], None]


class RunLog:
    """Passes on what a run reports, and keeps its notices and times."""

    def __init__(
        self, on_notice: OnNotice, on_progress: OnProgress, on_detail: OnNotice = ignore
    ) -> None:
        self.progress, self.detail = on_progress, on_detail
        self._on_notice = on_notice
        self._started = time.monotonic()
        self._restoring: float | None = None
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """All notices so far."""
        return tuple(self._notices)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    @property
    def restoring_seconds(self) -> float:
        """Seconds since `start_restoring`."""
        return 0.0 if self._restoring is None else time.monotonic() - self._restoring

    def start_restoring(self) -> None:
        """Start the time that counts for the frames per second."""
        self._restoring = time.monotonic()

    def notice(self, line: str) -> None:
        """Report a notice."""
        self._notices.append(line)
        self._on_notice(line)

    def phase(self, phase: Phase, done: int = 0, total: int | None = None) -> None:
        """Report the progress of a phase other than RESTORE."""
        self.progress(Progress(done, total, self.seconds, phase=phase))


def require_whole(output: Path, read: ReadReport, lost: Sequence[str]) -> None:
    """Check, under `strict`, that nothing of the source was missing.

    The output is there in either case.

    Raises:
        VideoError: something was.
    """
    found = (*read.damage, *lost, *read.changes)
    if found:
        raise VideoError(
            f"{output} is written, but parts of the source are missing: {'; '.join(found)}",
            hint="check the output, or omit --strict to accept it",
        )
