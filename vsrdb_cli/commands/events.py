"""Events: everything a run reports, and the reporters they go to.

A reporter is a callable that takes an event and handles those it cares about: `Bar` draws at a
terminal, `LogLines` and `LogFile` write lines, `JsonLines` writes objects for other programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vsrdb_cli.errors import VsrdbError

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport


@dataclass(frozen=True)
class Starting:
    """The program starts to load its libraries, which takes a second or more."""


@dataclass(frozen=True)
class InputStarted:
    """Work on an input starts."""

    source: Path
    target: Path
    number: int = 1
    """Its place among all inputs, counted from 1."""
    of: int = 1
    """The number of all inputs."""

    @property
    def place(self) -> str:
        """ "3/40 ", to begin a line with; empty where there is only one input."""
        return f"{self.number}/{self.of} " if self.of > 1 else ""


@dataclass(frozen=True)
class InputEnded:
    """Work on the input has ended, however it did."""


@dataclass(frozen=True)
class Notice:
    """Something will be changed, dropped or assumed."""

    text: str


@dataclass(frozen=True)
class Detail:
    """Something that only a curious user wants to know."""

    text: str


@dataclass(frozen=True)
class Damaged:
    """Part of the source could not be read. Shown even where little else is."""

    text: str


@dataclass(frozen=True)
class Progressed:
    """Another frame is finished, or another step of the run has started."""

    progress: Progress
    all_seconds_left: float | None = None
    """The time that all inputs still take, if known."""

    @property
    def rate(self) -> float | None:
        """Frames per second, leaving out frames that an earlier run finished."""
        restored = self.progress.frames - self.progress.resumed
        return restored / self.progress.seconds if restored and self.progress.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """The time that this input still takes, if known."""
        if self.rate is None or self.progress.total is None:
            return None
        return max(0, self.progress.total - self.progress.frames) / self.rate


@dataclass(frozen=True)
class Restored:
    """The output is in place."""

    report: RestoreReport

    @property
    def bytes(self) -> int | None:
        """The size of the file, or of the pictures in a folder; None for a stream."""
        output = self.report.output
        if output.is_dir():
            return sum(file.stat().st_size for file in output.iterdir())
        return output.stat().st_size if output.is_file() else None


@dataclass(frozen=True)
class Compared:
    """The page that compares the output with its source is in place."""

    page: Page


@dataclass(frozen=True)
class Skipped:
    """The output exists already."""

    target: Path
    reason: str


@dataclass(frozen=True)
class Failed:
    """An input, or the whole run, failed."""

    error: VsrdbError
    details: tuple[str, ...] = ()
    """Further lines, such as a traceback."""


@dataclass(frozen=True)
class Interrupted:
    """A signal ends the run."""

    text: str
    """What is kept."""
    signal: str
    """The signal's name."""


@dataclass(frozen=True)
class Ended:
    """Everything has ended. The last event of a run."""

    counts: Mapping[str, int]
    """The number of inputs by outcome."""
    status: int
    """The exit status."""
    seconds: float | None = None
    """The time the run took; None where no input was started."""


Event: TypeAlias = (
    Starting | InputStarted | InputEnded | Notice | Detail | Damaged | Progressed | Restored
    | Compared | Skipped | Failed | Interrupted | Ended
)  # fmt: skip
Reporter: TypeAlias = Callable[[Event], None]


def report_to(*reporters: Reporter) -> Reporter:
    """Return a reporter that passes every event to each of `reporters`."""

    def report(event: Event) -> None:
        for reporter in reporters:
            reporter(event)

    return report


@contextmanager
def reported(report: Reporter, started: InputStarted) -> Iterator[None]:
    """Report that work on an input starts and, however it ends, that it has ended."""
    report(started)
    try:
        yield
    finally:
        report(InputEnded())
