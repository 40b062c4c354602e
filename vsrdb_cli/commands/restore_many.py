"""What `vsrdb restore` does with its options: one input or many, shown, counted, reported."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from vsrdb_cli.batch.inputs import Batch, Item
from vsrdb_cli.batch.outcomes import Outcome, Status, attempt, write_report
from vsrdb_cli.commands.display import Display
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.report import RestoreReport
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import crew_for, restore_video

# Exit statuses; 2 is click's, for a command line it cannot take.
FAILED, INTERRUPTED = 1, 130


def restore_all(
    batch: Batch,
    options: RestoreOptions,
    display: Display,
    *,
    skip_existing: bool,
    new_folders: bool,
    report_file: Path | None,
) -> list[Outcome]:
    """Restore one input or many with one network, loaded when the first needs it.

    Args:
        new_folders: whether folders of outputs are made, where they are missing.
    """
    told = _Told(display)
    for notice in batch.notices:
        told(notice)
    outcomes: list[Outcome] = []
    with crew_for(options) as crew:

        def restore(item: Item) -> RestoreReport:
            return restore_video(
                item.source,
                item.target,
                options,
                crew=crew,
                on_notice=told,
                on_progress=display.progress,
            )

        for item in batch.items:
            told = _Told(display)
            with display.file(item.source, item.target), _stoppable(item.target, display):
                outcomes.append(
                    attempt(item, restore, skip_existing=skip_existing, new_folders=new_folders)
                )
                _show(outcomes[-1], display, told)
            if report_file is not None:
                write_report(report_file, outcomes)
    return outcomes


def counts_of(outcomes: list[Outcome]) -> dict[str, int]:
    """How many inputs had which outcome."""
    counts = Counter(outcome.status.value for outcome in outcomes)
    return {status.value: counts[status.value] for status in Status}


def table_of(outcomes: list[Outcome]) -> Table:
    """What became of each input, one row each."""
    table = Table("input", "outcome", "frames", "seconds", "output or reason")
    for outcome in outcomes:
        report, error = outcome.report, outcome.error
        table.add_row(
            str(outcome.item.source),
            outcome.status.value,
            str(report.frames) if report else "",
            f"{report.seconds:.1f}" if report else "",
            str(outcome.item.target) if error is None else str(error),
        )
    return table


class _Told:
    """Shows notices of one input, and knows which it has shown."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._lines: set[str] = set()

    def __call__(self, notice: str) -> None:
        if notice not in self._lines:
            self._lines.add(notice)
            self._display.note(notice)


def _show(outcome: Outcome, display: Display, told: _Told) -> None:
    error, report = outcome.error, outcome.report
    if report is not None:
        for notice in report.notices:
            told(notice)
        display.done(report)
    elif error is None:
        display.skipped(outcome.item.target)
    elif isinstance(error, VsrdbError):
        display.error(str(error), error.hint)
    else:
        display.error(
            f"{outcome.item.source}: {type(error).__name__}: {error}",
            f"this is a bug in vsrdb; please report it with these lines:\n{outcome.details}",
        )


@contextmanager
def _stoppable(target: Path, display: Display) -> Iterator[None]:
    """Ctrl-C ends the program at once, having said what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        folder = work_folder(target)
        kept = f"finished segments are kept in {folder}; the same command goes on from there"
        display.note(f"stopped; {kept if folder.exists() else 'nothing was written'}")
        # The network may be deep in a computation that only ends with the process.
        sys.stderr.flush()
        os._exit(INTERRUPTED)
