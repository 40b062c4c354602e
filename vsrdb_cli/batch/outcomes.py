"""Restoring many inputs one after another, going on after whatever fails."""

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
from vsrdb_cli.batch.finished import Finished
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
    """What became of one input."""

    RESTORED = "restored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    reason: why it was skipped. damage: what of the source could not be read, now or by the run that
    finished it. details: a traceback, where the error is not the user's. is_last: this process can
    restore nothing more.
    """

    item: Item
    status: Status
    report: RestoreReport | None = None
    error: BaseException | None = None
    reason: str | None = None
    details: str | None = None
    damage: tuple[str, ...] = ()
    is_last: bool = False

    def to_json(self) -> dict[str, Any]:
        """For a report file: plain values, None where there is nothing to say."""
        report, error = self.report, self.error
        return {
            "source": str(self.item.source),
            "output": str(self.item.target),
            "status": self.status.value,
            "frames": report and report.frames,
            "width": report and report.width_hr,
            "height": report and report.height_hr,
            "seconds": report and round(report.seconds, 3),
            "runner": report and str(report.runner),
            "nodes": [node.to_json() for node in report.nodes] if report else [],
            "strength": report and report.strength,
            "notices": list(report.notices) if report else [],
            "damage": list(self.damage),
            "reason": self.reason,
            "error": None if error is None else str(error),
            "hint": error.hint if isinstance(error, VsrdbError) else None,
            "details": self.details,
        }


def attempt(
    item: Item,
    restore: Callable[[Item], RestoreReport],
    *,
    skip_existing: bool = False,
    finished: Finished | None = None,
    new_folders: bool = False,
) -> Outcome:
    """Restore one input; whatever fails becomes its outcome, so that others go on.

    Args:
        restore: one item, as `restore_video` does.
        skip_existing: an output that is there already is skipped, and no failure.
        finished: what earlier runs of the same batch did; the item is entered there.
        new_folders: whether the output's folder is made, where it is missing.
    """
    if item.problem is not None:
        return Outcome(item, Status.FAILED, error=item.problem)
    if reason := why_skipped(item, skip_existing=skip_existing, finished=finished):
        damage = finished.damage(item) if finished is not None and reason == _FINISHED else ()
        return Outcome(item, Status.SKIPPED, reason=reason, damage=damage)
    try:
        with reachable(), resumable(item.target):
            if new_folders:
                item.target.parent.mkdir(parents=True, exist_ok=True)
            report = restore(item)
        if finished is not None:
            with suppress(OutputError):  # restored it is, even if the next run will not know
                finished.enter(item, report.damage)
        return Outcome(item, Status.RESTORED, report, damage=report.damage)
    except Exception as error:  # a night's work must not end at one file that breaks us
        return _failed(item, error)


def _failed(item: Item, error: Exception) -> Outcome:
    if isinstance(error, VsrdbError):
        return Outcome(item, Status.FAILED, error=error)
    if is_out_of_memory(error):
        return Outcome(item, Status.FAILED, error=ran_out(f"{item.source} was restored"))
    if is_dead_context(error):
        lost = BackendError(
            f"the GPU failed while {item.source} was restored: {str(error).splitlines()[0]}",
            hint="run the same command again, which goes on from there; if it fails again, add"
            " --device cpu",
        )
        return Outcome(item, Status.FAILED, error=lost, is_last=True)
    details = "".join(traceback.format_exception(error))
    return Outcome(item, Status.FAILED, error=error, details=details)


def why_skipped(item: Item, *, skip_existing: bool, finished: Finished | None) -> str | None:
    """Why an input need not be restored; None if it has to be."""
    if finished is not None and finished.holds(item):
        return _FINISHED
    if skip_existing and is_there(item.target):
        return "it exists already"
    return None


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write what became of the inputs so far, as JSON; in one step, so that it is always whole.

    Raises:
        OutputError: it cannot be written.
    """
    counts = Counter(outcome.status.value for outcome in outcomes)
    values = {
        "version": __version__,
        **{status.value: counts[status.value] for status in Status},
        "inputs": [outcome.to_json() for outcome in outcomes],
    }
    with whole(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
