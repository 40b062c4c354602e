"""Outcomes of inputs: an input that fails does not stop the others."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.journal import BatchJournal
from vsrdb_cli.batch.targets import Item
from vsrdb_cli.disks import resumable
from vsrdb_cli.errors import BackendError, OutputError, VsrdbError
from vsrdb_cli.files import is_there, whole
from vsrdb_cli.jobs.report import RestoreReport
from vsrdb_cli.names import reachable
from vsrdb_cli.network.gpu_errors import is_dead_context
from vsrdb_cli.pipeline.memory import is_out_of_memory, ran_out

_FINISHED = "finished by an earlier run"


class Status(Enum):
    """The ways in which an input can end."""

    RESTORED = "restored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """The outcome of an input."""

    item: Item
    status: Status
    report: RestoreReport | None = None
    error: BaseException | None = None
    reason: str | None = None
    """Why it was skipped."""
    details: str | None = None
    """A traceback, where the error is a bug in vsrdb."""
    damage: tuple[str, ...] = ()
    """What could not be read of the source, now or by the run that finished it."""
    is_last: bool = False
    """True if this process can restore nothing more."""

    def __str__(self) -> str:
        """Return the outcome in one line."""
        end = f" -> {self.item.target}" if self.error is None else f": {self.error}"
        return f"{self.status.value:9} {self.item.source}{end}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a report, None where there is none."""
        report, error = self.report, self.error
        return {
            "source": str(self.item.source),
            "output": str(self.item.target),
            "status": self.status.value,
            "frames": report and report.frames,
            "repeats": report and report.repeats,
            "width": report and report.width_hr,
            "height": report and report.height_hr,
            "seconds": report and round(report.seconds, 3),
            "runner": report and str(report.runner),
            "nodes": [node.to_json() for node in report.nodes] if report else [],
            "strength": report and report.strength,
            "prefilter": report and report.prefilter,
            "postfilter": report and report.postfilter,
            "grain": report and report.grain,
            "notices": list(report.notices) if report else [],
            "damage": list(self.damage),
            "reason": self.reason,
            "error": None if error is None else str(error),
            "hint": error.hint if isinstance(error, VsrdbError) else None,
            "details": self.details,
        }


def attempt(
    item: Item,
    restore: Callable[[], RestoreReport],
    *,
    skip_existing: bool = False,
    journal: BatchJournal | None = None,
) -> Outcome:
    """Restore one input; any failure becomes its outcome, so that the others continue.

    Args:
        restore: restores `item`.
        skip_existing: skip an input whose output exists, instead of failing.
        journal: of the batch, whose finished inputs are skipped and whose folders are created.
    """
    if item.problem is not None:
        return Outcome(item, Status.FAILED, error=item.problem)
    if reason := why_skipped(item, skip_existing=skip_existing, journal=journal):
        damage = journal.damage(item) if journal is not None and reason == _FINISHED else ()
        return Outcome(item, Status.SKIPPED, reason=reason, damage=damage)
    try:
        with reachable(), resumable(item.target):
            if journal is not None:
                item.target.parent.mkdir(parents=True, exist_ok=True)
            report = restore()
        if journal is not None:
            with suppress(OutputError):  # it is restored, even if the next run will not know
                journal.enter(item, report.damage)
        return Outcome(item, Status.RESTORED, report, damage=report.damage)
    except Exception as error:  # one file that breaks vsrdb must not end a night's work
        return _failed(item, error)


def _failed(item: Item, error: Exception) -> Outcome:
    if isinstance(error, VsrdbError):
        return Outcome(item, Status.FAILED, error=error)
    if is_out_of_memory(error):
        return Outcome(item, Status.FAILED, error=ran_out(f"{item.source} was restored"))
    if is_dead_context(error):
        lost = BackendError(
            f"the GPU failed while {item.source} was restored: {str(error).splitlines()[0]}",
            hint="run the same command again to continue; if it fails again, add --device cpu",
        )
        return Outcome(item, Status.FAILED, error=lost, is_last=True)
    details = "".join(traceback.format_exception(error))
    return Outcome(item, Status.FAILED, error=error, details=details)


def why_skipped(item: Item, *, skip_existing: bool, journal: BatchJournal | None) -> str | None:
    """Return why an input need not be restored; None if it must be."""
    if journal is not None and journal.holds(item):
        return _FINISHED
    if skip_existing and is_there(item.target):
        return "it already exists"
    return None


def count_outcomes(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return the number of outcomes by status."""
    counts = Counter(outcome.status.value for outcome in outcomes)
    return {status.value: counts[status.value] for status in Status}


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes so far as JSON, in one step, so that the file is always whole.

    Raises:
        OutputError: it cannot be written.
    """
    values = {
        "version": __version__,
        **count_outcomes(outcomes),
        "inputs": [outcome.to_json() for outcome in outcomes],
    }
    with whole(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
