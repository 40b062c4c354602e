"""What `vsrdb restore` does with its options: one input or many, shown, counted, reported."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from vsrdb_cli.batch.finished import Finished
from vsrdb_cli.batch.outcomes import Outcome, Status, attempt, write_report
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.batch.workload import Workload, weigher
from vsrdb_cli.commands import interrupts
from vsrdb_cli.commands.display import Display, Place
from vsrdb_cli.commands.statuses import ExitStatus, status_of
from vsrdb_cli.comparison.compare import write_page
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.report import Progress, RestoreReport
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipes import is_written_through
from vsrdb_cli.restore import crew_for, restore_video
from vsrdb_cli.words import count


@dataclass
class Restoration:
    """One input or many, restored with one network, loaded when the first needs it.

    new_folders: whether folders of outputs are made, where they are missing. finished: what
    earlier runs of the same batch did. page: compares a single input with its output. verbose: a
    cluster's own messages are shown. outcomes: of the inputs so far.
    """

    batch: Batch
    options: RestoreOptions
    display: Display
    skip_existing: bool = False
    new_folders: bool = False
    report_file: Path | None = None
    page: Path | None = None
    finished: Finished | None = None
    verbose: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._workload: Workload | None = None
        if len(self.batch.items) > 1:
            self._workload = Workload(self.batch.items, weigher(self.options))

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    @property
    def counts(self) -> dict[str, int]:
        """How many inputs had which outcome so far."""
        counts = Counter(outcome.status.value for outcome in self.outcomes)
        return {status.value: counts[status.value] for status in Status}

    @property
    def status(self) -> int:
        """The exit status, once all is through."""
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if errors:
            return status_of(errors[0]) if len(self.batch.items) == 1 else ExitStatus.FAILED
        damaged = any(outcome.damage for outcome in self.outcomes)
        return ExitStatus.DAMAGED if damaged else ExitStatus.DONE

    def run(self) -> None:
        """Restore all, as far as this process can; whatever fails becomes an outcome."""
        told = _Told(self.display)
        for notice in self.batch.notices:
            told(notice)
        with self._workload or nullcontext(), crew_for(self.options, verbose=self.verbose) as crew:
            for number, item in enumerate(self.batch.items, 1):
                told = _Told(self.display)
                work = _Work(item, self._workload, self.display)

                def restore(item: Item, told: _Told = told, work: _Work = work) -> RestoreReport:
                    return restore_video(
                        item.source,
                        item.target,
                        self.options,
                        crew=crew,
                        on_notice=told,
                        on_progress=work.progress,
                        on_detail=self.display.detail,
                    )

                place = Place(number, len(self.batch.items))
                with self.display.file(item.source, item.target, place):
                    outcome = attempt(
                        item,
                        restore,
                        skip_existing=self.skip_existing,
                        finished=self.finished,
                        new_folders=self.new_folders,
                    )
                    interrupts.check()
                    self.outcomes.append(outcome)
                    work.end()
                    self._show(outcome, told)
                    if self.page is not None and outcome.report is not None:
                        self._compare(outcome, self.page, outcome.report)
                if not self._report_once:
                    self.write_report()
                if outcome.is_last:
                    break
        if self._report_once:
            self.write_report()
        if self.finished is not None and self.status != ExitStatus.FAILED:
            self.finished.remove()

    @property
    def _report_once(self) -> bool:
        """Whether the report can be written only when all is through: nothing replaces it."""
        return self.report_file is not None and is_written_through(self.report_file)

    def write_report(self) -> None:
        """Write what became of the inputs so far, where that was asked for."""
        if self.report_file is not None:
            write_report(self.report_file, self.outcomes)

    def what_is_kept(self) -> str:
        """For somebody who stopped it."""
        items = self.batch.items
        said = ["stopped"]
        if len(items) > 1:
            number = len(self.outcomes) - self.counts[Status.FAILED.value]
            said.append(f"{number} of {count(len(items), 'input')} finished")
        goes_on = len(self.outcomes) > 0
        if len(self.outcomes) < len(items):
            item = items[len(self.outcomes)]
            folder = work_folder(item.target)
            if folder.exists():
                said.append(f"finished segments of {item.target.name} are kept in {folder}")
                goes_on = True
            else:
                said.append(f"nothing was written of {item.target.name}")
        if goes_on:
            said.append("the same command goes on from there")
        return "; ".join(said)

    def _compare(self, outcome: Outcome, page: Path, report: RestoreReport) -> None:
        """Write the page; what fails there is the outcome's error, though the output is whole."""

        def progress(done: int, total: int | None) -> None:
            interrupts.check()
            self.display.progress(Progress(done, total, phase="compare"))

        source = outcome.item.source
        try:
            written = write_page(
                source,
                report.output,
                page,
                part=report.part,
                hdr=self.options.hdr,
                overwrite=self.options.overwrite,
                on_progress=progress,
            )
        except VsrdbError as error:
            self.outcomes[-1] = replace(outcome, error=error)
            self.display.error(
                f"{report.output} is restored, but not compared: {error}", error.hint
            )
            return
        for notice in written.notices:
            self.display.note(notice)
        self.display.compared(written)

    def _show(self, outcome: Outcome, told: _Told) -> None:
        error, report, display = outcome.error, outcome.report, self.display
        if report is not None:
            for notice in report.notices:
                if notice not in report.damage:
                    told(notice)
            display.done(report)
        elif error is None:
            display.skipped(outcome.item.target, outcome.reason or "")
        elif isinstance(error, VsrdbError):
            display.error(str(error), error.hint)
        else:
            display.error(
                f"{outcome.item.source}: {type(error).__name__}: {error}",
                "this is a bug in vsrdb; please report it with these lines:",
                (outcome.details or "").splitlines(),
            )
        if outcome.damage:
            display.damage(
                f"{outcome.item.target}: not all of the source could be read:"
                f" {'; '.join(outcome.damage)}"
            )


class _Work:
    """The work on one input: told as it goes on, and how long the whole batch will take."""

    def __init__(self, item: Item, workload: Workload | None, display: Display) -> None:
        self._item, self._workload, self._display = item, workload, display
        self._begun = self._share = 0.0
        self._seconds = 0.0

    def progress(self, progress: Progress) -> None:
        interrupts.check()
        left = None
        if self._workload is not None and progress.phase == "restore":
            total = max(progress.total or progress.frames, progress.frames, 1)
            self._begun, self._share = progress.resumed / total, progress.frames / total
            self._seconds = progress.seconds
            left = self._workload.seconds_left(
                self._item, begun=self._begun, share=self._share, seconds=self._seconds
            )
        self._display.progress(progress, left)

    def end(self) -> None:
        if self._workload is not None:
            self._workload.finish(
                self._item, share=self._share - self._begun, seconds=self._seconds
            )


class _Told:
    """Shows notices of one input, and knows which it has shown."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._lines: set[str] = set()

    def __call__(self, notice: str) -> None:
        if notice not in self._lines:
            self._lines.add(notice)
            self._display.note(notice)
