"""Events as lines of text: on stderr, where it is not a terminal, and in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vsrdb_cli.commands import console, events
from vsrdb_cli.commands.events import Event
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import check_writable
from vsrdb_cli.pipes import is_written_through, open_through
from vsrdb_cli.text import count, printable

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Phase

# By the values of `Phase`, whose module takes long to import.
PHASES = {
    "load": "loading the network",
    "film": "looking for film in 3:2 pulldown",
    "plan": "looking for scene cuts",
    "restore": "restoring",
    "join": "joining",
    "compare": "comparing",
    "measure": "measuring",
}
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 300.0


def say(event: Event, place: str = "", *, quiet: bool = False, verbose: bool = False) -> None:
    """Print an event on stderr, if it is one that a line is printed for.

    Args:
        place: the input's place among all, which some lines begin with.
        quiet: print errors, damage and interruptions only.
        verbose: print details too.
    """
    match event:
        case events.Failed(error, details):
            console.report(error, details)
        case events.Damaged(text):
            console.warn(text)
        case events.Interrupted(text):
            console.say(text)
        case events.Detail() if not verbose:
            pass
        case _:
            line = _text_of(event, place)
            if line and not quiet:
                console.say(line)


def _text_of(event: Event, place: str) -> str | None:
    """Return the line of an event, or None where it has none."""
    match event:
        case events.Notice(text):
            return f"note: {text}"
        case events.Detail(text) | events.Interrupted(text):
            return text
        case events.Damaged(text):
            return f"warning: {text}"
        case events.Failed(error):
            return f"error: {error}" + (f" (hint: {error.hint})" if error.hint else "")
        case events.Skipped(target, reason):
            return f"{place}{target}: skipped, {reason}"
        case events.Restored():
            return place + _summary(event)
        case events.Compared(page):
            return summary_of_page(page)
        case events.Ended(counts, _, seconds) if sum(counts.values()) > 1:
            return _totals(counts, seconds)
    return None


def _summary(restored: events.Restored) -> str:
    report, size = restored.report, restored.bytes
    return (
        f"{report.output}: {count(report.frames, 'frame')}"
        + (f" ({report.repeats} repeated)" if report.repeats else "")
        + f", {report.width_hr}x{report.height_hr},"
        + (f" {console.human_bytes(size)}," if size is not None else "")
        + f" in {report.seconds:.1f} s ({report.frames_per_second:.2f} fps, {report.runner})"
    )


def summary_of_page(page: Page) -> str:
    """Return a line that sums up a finished comparison."""
    exact = "all lossless"
    if page.fidelity is not None:
        exact = f"{page.lossless} of them lossless, the others at {page.fidelity:.1f} dB"
    size = console.human_bytes(page.bytes)
    return f"{page.path}: {count(page.frames, 'frame')}, {exact}, {size}"


def _totals(counts: Mapping[str, int], seconds: float | None) -> str:
    """Return "38 restored, 1 skipped, 1 failed, in 1:02:03"."""
    outcomes = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return outcomes + ("" if seconds is None else f", in {console.human_seconds(seconds)}")


class Intervals:
    """Times at which to report progress: soon at first, then ever less often.

    Args:
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.restart()

    def restart(self) -> None:
        """Start again with the shortest interval."""
        self._wait = _FIRST_SECONDS
        self._next = self._now() + self._wait

    def due(self) -> bool:
        """Return whether an interval is over, and start the next if it is."""
        if self._now() < self._next:
            return False
        self._wait = min(2 * self._wait, _LONGEST_SECONDS)
        self._next = self._now() + self._wait
        return True


class LogLines:
    """A reporter that prints lines on stderr."""

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, intervals: Intervals | None = None
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._intervals = intervals or Intervals()
        self._input: events.InputStarted | None = None
        self._phase: Phase | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case events.InputStarted(source, target):
                self._input, self._phase = event, None
                self._write(f"{event.place}{source} -> {target}")
            case events.Progressed(progress) if progress.phase != self._phase:
                self._phase = progress.phase
                self._intervals.restart()
            case events.Progressed() if self._intervals.due():
                self._write(self._state(event))
            case _:
                self._say(event, self._input.place if self._input else "")

    def _say(self, event: Event, place: str) -> None:
        say(event, place, quiet=self._quiet, verbose=self._verbose)

    def _write(self, text: str) -> None:
        if not self._quiet:
            console.say(text)

    def _state(self, event: events.Progressed) -> str:
        from vsrdb_cli.jobs.report import Phase  # here, so that --help does not import it

        progress = event.progress
        of = "" if progress.total is None else f" of {max(progress.total, progress.frames)}"
        unit = "segments" if progress.phase is Phase.JOIN else "frames"
        name = f"{self._input.place}{self._input.target.name}: " if self._input else ""
        text = f"{name}{PHASES[progress.phase]}, {progress.frames}{of} {unit}"
        if progress.phase is Phase.RESTORE:
            text += f" ({progress.repeats} repeated)" if progress.repeats else ""
            text += "" if event.rate is None else f", {event.rate:.2f} fps"
            if event.seconds_left is not None:
                text += f", about {console.human_seconds(event.seconds_left)} left"
        if event.all_seconds_left is not None:
            text += f" (all inputs: {console.human_seconds(event.all_seconds_left)})"
        return text


class LogFile(LogLines):
    """A reporter that appends the same lines and all details, with the time, to a file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        check_writable(path)
        self._path = path
        try:
            if is_written_through(path):
                sink = open_through(path, "wb")
                self._file: TextIO | None = TextIOWrapper(sink, "utf-8", line_buffering=True)
            else:
                self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputError(
                f"the log file {path} cannot be written: {error.strerror}",
                hint="choose another file",
            ) from error

    def _say(self, event: Event, place: str) -> None:
        if text := _text_of(event, place):
            self._write(text)
        if isinstance(event, events.Failed):
            for line in event.details:
                self._write(f"  {line}")
        if isinstance(event, events.Ended) and self._file is not None:
            with suppress(OSError):  # a program that reads it through a pipe waits for its end
                self._file.close()
            self._file = None

    def _write(self, text: str) -> None:
        if self._file is None:
            return
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        try:
            self._file.write(f"{now} {printable(text)}\n")
        except OSError as error:
            # A run must not fail because its log does.
            console.warn(
                f"no more is written to the log file {self._path}: {error.strerror or error}"
            )
            self._file = None
