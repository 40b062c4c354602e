"""A run told in plain lines: where stderr is no terminal, and in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vsrdb_cli.commands import console
from vsrdb_cli.commands.display import (
    PHASES,
    Display,
    Place,
    left_of,
    rate_of,
    summary_of,
    summary_of_page,
    totals_of,
)
from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.files import check_writable
from vsrdb_cli.pipes import is_written_through, open_through
from vsrdb_cli.text import printable

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport

_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 300.0


class Intervals:
    """When to tell how far a run is: soon at first, then ever less often.

    Args:
        now: seconds, of any clock that does not go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.restart()

    def restart(self) -> None:
        """Something new has begun."""
        self._wait = _FIRST_SECONDS
        self._next = self._now() + self._wait

    def due(self) -> bool:
        """Whether it is time; then not again for a while."""
        if self._now() < self._next:
            return False
        self._wait = min(2 * self._wait, _LONGEST_SECONDS)
        self._next = self._now() + self._wait
        return True


class LogLines(Display):
    """Lines on stderr."""

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, intervals: Intervals | None = None
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._intervals = intervals or Intervals()
        self._name = ""
        self._begin = ""
        self._phase: str | None = None

    @contextmanager
    def file(self, source: Path, target: Path, place: Place) -> Iterator[None]:
        self._name, self._phase = target.name, None
        self._begin = f"{place} " if str(place) else ""
        self._say(f"{self._begin}{source} -> {target}")
        yield

    def note(self, text: str) -> None:
        self._say(f"note: {text}")

    def detail(self, text: str) -> None:
        if self._verbose:
            self._say(text)

    def damage(self, text: str) -> None:
        self._warn(text)

    def progress(self, progress: Progress, all_seconds: float | None = None) -> None:
        if progress.phase != self._phase:
            self._phase = progress.phase
            self._intervals.restart()
        elif self._intervals.due():
            self._say(self._begin + self._state(progress, all_seconds))

    def done(self, report: RestoreReport) -> None:
        self._say(f"{self._begin}{summary_of(report)}")

    def compared(self, page: Page) -> None:
        self._say(summary_of_page(page))

    def skipped(self, target: Path, reason: str) -> None:
        self._say(f"{self._begin}{target}: skipped, {reason}")

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        console.report(VsrdbError(message, hint=hint), details)

    def interrupted(self, text: str, signal: str) -> None:  # noqa: ARG002
        self._say(text)

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:  # noqa: ARG002
        if sum(counts.values()) > 1:
            self._say(totals_of(counts, seconds))

    def _say(self, text: str) -> None:
        if not self._quiet:
            console.say(text)

    def _warn(self, text: str) -> None:
        console.warn(text)

    def _state(self, progress: Progress, all_seconds: float | None) -> str:
        of = "" if progress.total is None else f" of {max(progress.total, progress.frames)}"
        what = "segments" if progress.phase == "join" else "frames"
        text = f"{self._name}: {PHASES[progress.phase]}, {progress.frames}{of} {what}"
        if progress.phase == "restore":
            rate, left = rate_of(progress), left_of(progress)
            text += "" if rate is None else f", {rate:.2f} fps"
            text += "" if left is None else f", about {console.human_seconds(left)} left"
        if all_seconds is not None:
            text += f" (all inputs: {console.human_seconds(all_seconds)})"
        return text


class LogFile(LogLines):
    """The same and all details, each line with its time, added to a file.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(verbose=True)
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

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        self._say(f"error: {message}" + (f" (hint: {hint})" if hint else ""))
        for line in details:
            self._say(f"  {line}")

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:
        super().end(counts, status, seconds)
        if self._file is not None:  # whoever reads it through a pipe waits for its end
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        if self._file is None:
            return
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        try:
            self._file.write(f"{now} {printable(text)}\n")
        except OSError as error:
            # A log is not worth the work that it is about.
            console.warn(f"the log file {self._path} ends here: {error.strerror or error}")
            self._file = None
