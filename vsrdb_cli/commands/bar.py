"""A run shown at a terminal: a bar while it works, and lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.commands import console
from vsrdb_cli.commands.events import (
    PHASES,
    Display,
    Place,
    summary_of,
    summary_of_page,
    totals_of,
)
from vsrdb_cli.errors import VsrdbError

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport


class Bar(Display):
    """For people at a terminal."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._name = ""
        self._place = Place()
        self._phase: str | None = None
        self._bar = ExitStack()
        self._on_frame: console.OnFrame | None = None

    def starting(self) -> None:
        self._bar.enter_context(console.waiting("starting", quiet=self._quiet))

    @contextmanager
    def file(self, source: Path, target: Path, place: Place) -> Iterator[None]:  # noqa: ARG002
        self._name, self._place, self._phase = target.name, place, None
        self._wait("opening")
        with self._bar:
            yield

    def note(self, text: str) -> None:
        if not self._quiet:
            console.say(f"note: {text}")

    def detail(self, text: str) -> None:
        if self._verbose:
            console.say(text)

    def damage(self, text: str) -> None:
        self._bar.close()
        console.warn(text)

    def progress(self, progress: Progress, all_seconds: float | None = None) -> None:
        if progress.phase != self._phase:
            self._phase = progress.phase
            if progress.total is None and not progress.frames:
                self._wait(PHASES[progress.phase])
            else:
                self._show(PHASES[progress.phase])
        elif self._on_frame is None:
            self._show(PHASES[progress.phase])
        if self._on_frame is not None:
            self._on_frame(progress.frames, progress.total, self._below(all_seconds))

    def done(self, report: RestoreReport) -> None:
        self._bar.close()
        if not self._quiet:
            console.say(f"{self._begin}{summary_of(report)}")

    def compared(self, page: Page) -> None:
        self._bar.close()
        if not self._quiet:
            console.say(summary_of_page(page))

    def skipped(self, target: Path, reason: str) -> None:
        self._bar.close()
        if not self._quiet:
            console.say(f"{self._begin}{target}: skipped, {reason}")

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        self._bar.close()
        console.report(VsrdbError(message, hint=hint), details)

    def interrupted(self, text: str, signal: str) -> None:  # noqa: ARG002
        self._bar.close()
        console.say(text)

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:  # noqa: ARG002
        self._bar.close()
        if not self._quiet and sum(counts.values()) > 1:
            console.say(totals_of(counts, seconds))

    @property
    def _begin(self) -> str:
        return f"{self._place} " if str(self._place) else ""

    def _below(self, all_seconds: float | None) -> str:
        if self._place.of == 1:
            return ""
        left = "" if all_seconds is None else f", about {console.human_seconds(all_seconds)} left"
        return f"  {self._place.number - 1} of {self._place.of} done{left}"

    def _wait(self, doing: str) -> None:
        self._bar.close()
        self._on_frame = None
        text = f"{self._begin}{self._name}: {doing}"
        self._bar.enter_context(console.waiting(text, quiet=self._quiet))

    def _show(self, doing: str) -> None:
        self._bar.close()
        text = f"{self._begin}{self._name}: {doing}"
        self._on_frame = self._bar.enter_context(console.progress(text, quiet=self._quiet))
