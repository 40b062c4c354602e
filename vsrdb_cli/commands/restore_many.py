"""What `vsrdb restore` does with its options: one input or many, shown, counted, reported."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.table import Table

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.batch.inputs import Batch, Item
from vsrdb_cli.batch.outcomes import Outcome, Status, attempt, is_there, write_report
from vsrdb_cli.commands.display import Display
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.processes import Workers
from vsrdb_cli.restore import RestoreOptions, RestoreReport, load_for, restore_video, work_folder

# Exit statuses; 2 is click's, for a command line it cannot take.
FAILED, INTERRUPTED = 1, 130


def run_one(
    item: Item,
    options: RestoreOptions,
    display: Display,
    *,
    skip_existing: bool,
    report_file: Path | None,
) -> None:
    """Restore one input; ends the program with a status where it fails."""
    told = _Told(display)
    with display.file(item.source, item.target), _stoppable(item.target, display):
        if skip_existing and is_there(item.target):
            outcome = Outcome(item, Status.SKIPPED)
        else:
            try:
                report = restore_video(
                    item.source,
                    item.target,
                    options,
                    on_notice=told,
                    on_progress=display.progress,
                )
                outcome = Outcome(item, Status.RESTORED, report)
            except VsrdbError as error:
                outcome = Outcome(item, Status.FAILED, error=error)
        _show(outcome, display, told)
    if report_file is not None:
        write_report(report_file, [outcome])
    if outcome.status is Status.FAILED:
        sys.exit(FAILED)


def run_many(
    batch: Batch,
    options: RestoreOptions,
    display: Display,
    *,
    skip_existing: bool,
    report_file: Path | None,
) -> list[Outcome]:
    """Restore many inputs with one network, loaded when the first needs it."""
    told = _Told(display)
    for notice in batch.notices:
        told(notice)
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        runner: Runner | None = None
        workers: Workers | None = None
        if options.devices:
            workers = stack.enter_context(Workers(options, options.devices))
        else:
            runner = load_for(options, None)

        def restore(item: Item) -> RestoreReport:
            return restore_video(
                item.source,
                item.target,
                options,
                spare=runner,
                workers=workers,
                on_notice=told,
                on_progress=display.progress,
            )

        for item in batch.items:
            told = _Told(display)
            with display.file(item.source, item.target), _stoppable(item.target, display):
                outcomes.append(attempt(item, restore, skip_existing=skip_existing))
                _show(outcomes[-1], display, told)
            if report_file is not None:
                write_report(report_file, outcomes)
    counts = Counter(outcome.status.value for outcome in outcomes)
    display.end({status.value: counts[status.value] for status in Status})
    return outcomes


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
            "this is a fault of vsrdb; please report it with the details of --report",
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
