"""Which display a run is shown by: one, or several at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import Bar
from vsrdb_cli.commands.events import Display, Place
from vsrdb_cli.commands.json_lines import JsonLines
from vsrdb_cli.commands.lines import LogFile, LogLines

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport


class Several(Display):
    """Tells all that there is to several displays."""

    def __init__(self, *displays: Display) -> None:
        self._displays = displays

    def starting(self) -> None:
        for display in self._displays:
            display.starting()

    @contextmanager
    def file(self, source: Path, target: Path, place: Place) -> Iterator[None]:
        with ExitStack() as stack:
            for display in self._displays:
                stack.enter_context(display.file(source, target, place))
            yield

    def note(self, text: str) -> None:
        for display in self._displays:
            display.note(text)

    def detail(self, text: str) -> None:
        for display in self._displays:
            display.detail(text)

    def damage(self, text: str) -> None:
        for display in self._displays:
            display.damage(text)

    def progress(self, progress: Progress, all_seconds: float | None = None) -> None:
        for display in self._displays:
            display.progress(progress, all_seconds)

    def done(self, report: RestoreReport) -> None:
        for display in self._displays:
            display.done(report)

    def compared(self, page: Page) -> None:
        for display in self._displays:
            display.compared(page)

    def skipped(self, target: Path, reason: str) -> None:
        for display in self._displays:
            display.skipped(target, reason)

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        for display in self._displays:
            display.error(message, hint, details)

    def interrupted(self, text: str, signal: str) -> None:
        for display in self._displays:
            display.interrupted(text, signal)

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:
        for display in self._displays:
            display.end(counts, status, seconds)


def choose(*, progress: str, quiet: bool, verbose: bool, log_file: Path | None) -> Display:
    """The display that a command's options ask for.

    Raises:
        OptionError: the log file cannot be written.
    """
    shown: Display
    if progress == "json":
        shown = JsonLines()
    elif console.can_draw():
        shown = Bar(quiet=quiet, verbose=verbose)
    else:
        shown = LogLines(quiet=quiet, verbose=verbose)
    return shown if log_file is None else Several(shown, LogFile(log_file))
