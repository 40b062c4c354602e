"""The run of a request: inputs restored one after another, each reported and counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from vsrdb_cli.batch.journal import open_journal
from vsrdb_cli.batch.outcomes import Outcome, Status, attempt, count_outcomes, write_report
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.batch.workload import Workload, weigher
from vsrdb_cli.commands import events
from vsrdb_cli.commands.events import reported
from vsrdb_cli.commands.request import RestoreRequest
from vsrdb_cli.commands.session import ExitStatus, Session, status_of
from vsrdb_cli.comparison.compare import Page, PageOptions, write_page
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.executor import Executor
from vsrdb_cli.jobs.report import Phase, Progress, RestoreReport
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.pipes import is_written_through
from vsrdb_cli.restore import make_executor, restore_video
from vsrdb_cli.text import count


class RestoreRun:
    """One input or many, restored with one network, which is loaded when the first needs it.

    Args:
        batch: the inputs of `request`.
        session: receives the events, and knows of signals.
        restore: restores an input, as `restore_video` does.
        compare: writes the page, as `write_page` does.
    """

    def __init__(
        self,
        request: RestoreRequest,
        batch: Batch,
        session: Session,
        *,
        restore: Callable[..., RestoreReport] = restore_video,
        compare: Callable[..., Page] = write_page,
    ) -> None:
        self._request = request
        self._batch = batch
        self._session = session
        self._report = session.report
        self._restore = restore
        self._write_page = compare
        self._started: float | None = None  # until there is an executor
        self._workload: Workload | None = None
        if len(batch.items) > 1:
            self._workload = Workload(batch.items, weigher(request.options))
        self.outcomes: list[Outcome] = []
        """The outcomes of the inputs so far."""

    def run(self) -> int:
        """Restore all inputs, as far as this process can, and return the exit status.

        An input that fails is an outcome.
        """
        request, items = self._request, self._batch.items
        journal = open_journal(self._batch, request.options)
        report_file = request.report_file
        # A report that is written through, to a pipe or a terminal, can be written only once.
        once = report_file is not None and is_written_through(report_file)
        for notice in self._batch.notices:
            self._report(events.Notice(notice))
        with (
            self._workload or nullcontext(),
            make_executor(request.options, verbose=request.verbose) as executor,
        ):
            self._started = time.monotonic()
            for number, item in enumerate(items, 1):
                with reported(
                    self._report, events.InputStarted(item.source, item.target, number, len(items))
                ):
                    work = _InputRun(item, self._session, self._workload)
                    outcome = attempt(
                        item,
                        partial(self._restore_input, work, executor),
                        skip_existing=request.skip_existing,
                        journal=journal,
                    )
                    self._session.check()
                    self.outcomes.append(outcome)
                    work.end(outcome)
                    if request.page is not None and outcome.report is not None:
                        self._compare(outcome.report)
                if not once:
                    self._write_report()
                if outcome.is_last:
                    break
        if once:
            self._write_report()
        if journal is not None and self._status != ExitStatus.FAILED:
            journal.remove()
        return self._status

    def ended(self, status: int) -> events.Ended:
        """Return the last event of the run, which ends with `status`."""
        seconds = None if self._started is None else time.monotonic() - self._started
        return events.Ended(count_outcomes(self.outcomes), status, seconds)

    def stopped(self) -> str:
        """Write the report of a run that a signal ends, and return what is kept."""
        try:
            self._write_report()
        except VsrdbError as error:
            self._report(events.Failed(error))
        items, outcomes = self._batch.items, self.outcomes
        parts = ["stopped"]
        if len(items) > 1:
            finished = sum(outcome.status is not Status.FAILED for outcome in outcomes)
            parts.append(f"{finished} of {count(len(items), 'input')} finished")
        resumes = len(outcomes) > 0
        if len(outcomes) < len(items):
            target = items[len(outcomes)].target
            folder = work_folder(target)
            if folder.exists():
                parts.append(f"finished segments of {target.name} are kept in {folder}")
                resumes = True
            else:
                parts.append(f"nothing was written to {target.name}")
        if resumes:
            parts.append("run the same command again to continue")
        return "; ".join(parts)

    @property
    def _status(self) -> int:
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if errors:
            return status_of(errors[0]) if len(self._batch.items) == 1 else ExitStatus.FAILED
        damaged = any(outcome.damage for outcome in self.outcomes)
        return ExitStatus.DAMAGED if damaged else ExitStatus.DONE

    def _restore_input(self, work: _InputRun, executor: Executor) -> RestoreReport:
        return self._restore(
            work.item.source,
            work.item.target,
            self._request.options,
            executor=executor,
            on_notice=work.notice,
            on_progress=work.progress,
            on_detail=lambda text: self._report(events.Detail(text)),
        )

    def _write_report(self) -> None:
        if self._request.report_file is not None:
            write_report(self._request.report_file, self.outcomes)

    def _compare(self, report: RestoreReport) -> None:
        """Write the page. If that fails the input has failed, though its output is whole."""
        request = self._request
        assert request.page is not None

        def on_progress(done: int, total: int | None) -> None:
            self._session.check()
            self._report(events.Progressed(Progress(done, total, phase=Phase.COMPARE)))

        try:
            page = self._write_page(
                self.outcomes[-1].item.source,
                report.output,
                request.page,
                PageOptions(
                    part=report.part,
                    film=report.film,
                    hdr=request.options.hdr,
                    overwrite=request.options.overwrite,
                ),
                on_progress=on_progress,
            )
        except VsrdbError as error:
            self.outcomes[-1] = replace(self.outcomes[-1], error=error)
            text = f"{report.output} was restored, but not compared: {error}"
            self._report(events.Failed(VsrdbError(text, hint=error.hint)))
            return
        for notice in page.notices:
            self._report(events.Notice(notice))
        self._report(events.Compared(page))


class _InputRun:
    """The run of one input: reports each notice once, and the time that all inputs still take."""

    def __init__(self, item: Item, session: Session, workload: Workload | None) -> None:
        self.item, self._session, self._workload = item, session, workload
        self._report = session.report
        self._notices: set[str] = set()
        self._before = self._share = 0.0
        self._seconds = 0.0

    def end(self, outcome: Outcome) -> None:
        """Report the outcome."""
        if self._workload is not None:
            share = self._share - self._before
            self._workload.finish(self.item, share=share, seconds=self._seconds)
        error, report = outcome.error, outcome.report
        if report is not None:
            for notice in report.notices:
                if notice not in report.damage:
                    self.notice(notice)
            self._report(events.Restored(report))
        elif error is None:
            self._report(events.Skipped(self.item.target, outcome.reason or ""))
        elif isinstance(error, VsrdbError):
            self._report(events.Failed(error))
        else:
            bug = VsrdbError(
                f"{self.item.source}: {type(error).__name__}: {error}",
                hint="this is a bug in vsrdb; please report it with these lines:",
            )
            self._report(events.Failed(bug, tuple((outcome.details or "").splitlines())))
        if outcome.damage:
            missing = "; ".join(outcome.damage)
            text = f"{self.item.target}: not all of the source could be read: {missing}"
            self._report(events.Damaged(text))

    def notice(self, text: str) -> None:
        if text not in self._notices:
            self._notices.add(text)
            self._report(events.Notice(text))

    def progress(self, progress: Progress) -> None:
        self._session.check()
        left = None
        if self._workload is not None and progress.phase is Phase.RESTORE:
            total = max(progress.total or progress.frames, progress.frames, 1)
            self._before, self._share = progress.resumed / total, progress.frames / total
            self._seconds = progress.seconds
            left = self._workload.seconds_left(
                self.item, begun=self._before, share=self._share, seconds=self._seconds
            )
        self._report(events.Progressed(progress, left))
