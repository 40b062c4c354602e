"""Restoring many inputs one after another, going on after whatever fails."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.inputs import Item
from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.files import temporary_beside
from vsrdb_cli.jobs.report import RestoreReport
from vsrdb_cli.video.images import WRITTEN


class Status(Enum):
    """What became of one input."""

    RESTORED = "restored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of an item. details: a traceback, where the error is not the user's."""

    item: Item
    status: Status
    report: RestoreReport | None = None
    error: BaseException | None = None
    details: str | None = None

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
            "strength": report and report.strength,
            "notices": list(report.notices) if report else [],
            "error": None if error is None else str(error),
            "hint": error.hint if isinstance(error, VsrdbError) else None,
            "details": self.details,
        }


def attempt(
    item: Item,
    restore: Callable[[Item], RestoreReport],
    *,
    skip_existing: bool = False,
    new_folders: bool = False,
) -> Outcome:
    """Restore one input; whatever fails becomes its outcome, so that others go on.

    Args:
        restore: one item, as `restore_video` does.
        skip_existing: an output that is there already is skipped, and no failure.
        new_folders: whether the output's folder is made, where it is missing.
    """
    if item.problem is not None:
        return Outcome(item, Status.FAILED, error=item.problem)
    if skip_existing and is_there(item.target):
        return Outcome(item, Status.SKIPPED)
    try:
        if new_folders:
            item.target.parent.mkdir(parents=True, exist_ok=True)
        return Outcome(item, Status.RESTORED, restore(item))
    except VsrdbError as error:
        return Outcome(item, Status.FAILED, error=error)
    except Exception as error:  # a night's work must not end at one file that breaks us
        details = "".join(traceback.format_exception(error))
        return Outcome(item, Status.FAILED, error=error, details=details)


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
    temporary = temporary_beside(path.absolute())
    try:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"the report {path} cannot be written: {error.strerror}", hint="name another file"
        ) from error


def is_there(target: Path) -> bool:
    """Whether an output is there; a folder may also be there for the sake of what is in it."""
    if target.is_dir():
        return any(file.suffix.lower() in WRITTEN for file in target.iterdir())
    return target.exists()
