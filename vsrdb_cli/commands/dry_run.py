"""What `vsrdb restore --dry-run` prints: what each run would take, do and leave out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.finished import Finished
from vsrdb_cli.batch.outcomes import why_skipped
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.commands import console
from vsrdb_cli.commands.display import Display, Place
from vsrdb_cli.commands.statuses import ExitStatus, status_of
from vsrdb_cli.dry_run.estimate import Estimate, Load, estimate_run
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.text import count


@dataclass(frozen=True)
class _Answer:
    """What is said of one input: an estimate, an error, or the reason why it would be skipped."""

    item: Item
    estimate: Estimate | None = None
    error: VsrdbError | None = None
    reason: str | None = None

    @property
    def status(self) -> str:
        if self.estimate is not None:
            return "estimated"
        return "skipped" if self.error is None else "failed"

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "source": str(self.item.source),
            "output": str(self.item.target),
            "status": self.status,
            "reason": self.reason,
        }
        if self.estimate is not None:
            return values | self.estimate.to_json()
        if self.error is not None:
            return values | {"error": str(self.error), "hint": self.error.hint}
        return values


def estimate_all(
    batch: Batch,
    options: RestoreOptions,
    display: Display,
    *,
    skip_existing: bool,
    finished: Finished | None,
    new_folders: bool,
    as_json: bool,
) -> tuple[dict[str, int], int]:
    """Estimate the runs of all inputs, with one network.

    Args:
        finished: what earlier runs of the same batch did.
        new_folders: whether folders of outputs will be made, where they are missing.

    Returns:
        How many inputs could be estimated, would be skipped or failed; the exit status.
    """
    for notice in batch.notices:
        display.note(notice)
    several = len(batch.items) > 1
    executor = LocalExecutor(options) if several and not options.devices else None
    answers = []
    for number, item in enumerate(batch.items, 1):
        reason = why_skipped(item, skip_existing=skip_existing, finished=finished)
        if reason is not None:
            answers.append(_Answer(item, reason=reason))
        else:
            with display.file(item.source, item.target, Place(number, len(batch.items))):
                answers.append(_answer(item, options, display, executor, new_folders=new_folders))
        if not as_json:
            _print(answers[-1])
    seconds = _sum([a.estimate.seconds for a in answers if a.estimate])
    output_bytes = _sum([a.estimate.output_bytes for a in answers if a.estimate])
    if as_json:
        values = {
            "version": __version__,
            "seconds": seconds,
            "output_bytes": output_bytes,
            "inputs": [answer.to_json() for answer in answers],
        }
        console.json_result(values)
    elif several:
        estimated = sum(a.estimate is not None for a in answers)
        inputs = f"{estimated} of {count(len(answers), 'input')}"
        console.result(f"{inputs}: {_time(seconds)}, {_size(output_bytes)}")
    counts = Counter(answer.status for answer in answers)
    totals = {name: counts[name] for name in ("estimated", "skipped", "failed")}
    errors = [answer.error for answer in answers if answer.error is not None]
    if not errors:
        return totals, ExitStatus.DONE
    return totals, ExitStatus.FAILED if several else status_of(errors[0])


def _answer(
    item: Item,
    options: RestoreOptions,
    display: Display,
    executor: LocalExecutor | None,
    *,
    new_folders: bool,
) -> _Answer:
    try:
        if item.problem is not None:
            raise item.problem
        estimate = estimate_run(
            item.source,
            item.target,
            options,
            executor=executor,
            new_folders=new_folders,
            on_progress=display.progress,
        )
    except VsrdbError as error:
        display.error(str(error), error.hint)
        return _Answer(item, error=error)
    return _Answer(item, estimate)


def _print(answer: _Answer) -> None:
    estimate = answer.estimate
    if estimate is None:
        if answer.error is None:
            console.result(str(answer.item.source))
            console.result(f"  skipped    {answer.item.target}: {answer.reason}")
        return
    console.result(str(estimate.source))
    for name, text in _lines(estimate):
        console.result(f"  {name:10} {text}")


def _lines(e: Estimate) -> list[tuple[str, str]]:
    frames = "an unknown number of frames" if e.frames is None else count(e.frames, "frame")
    length = "" if e.duration_seconds is None else f", {e.duration_seconds:.2f} s"
    tiles = "whole pictures" if e.tile is None else f"tiles of {e.tile} pixels"
    per_frame = f"{e.seconds_per_frame:.2f} s a frame, {e.load_seconds:.1f} s to load"
    lines = [
        (
            "input",
            f"{e.width}x{e.height}, {e.rate:.6g} fps, {frames}{length}, {e.codec} {e.pix_fmt}"
            f" {e.matrix}, {e.container}",
        ),
        ("output", f"{e.output}: {e.width_hr}x{e.height_hr}, {e.encoder}"),
        ("network", f"{e.weights} · {e.backend} {e.device} {e.precision}, {tiles}"),
        *(("memory", _memory(load, several=len(e.loads) > 1)) for load in e.loads),
        ("time", f"{_time(e.seconds)}: {per_frame}"),
        ("size", f"{_size(e.output_bytes)}; {console.human_bytes(e.free_disk_bytes)} are free"),
    ]
    if not e.fits:
        lines.append(("warning", "memory will run out; omit --tile, or choose smaller tiles"))
    if e.output_bytes is not None and e.output_bytes > e.free_disk_bytes:
        lines.append(("warning", "the disk will be full before the end"))
    if e.finished:
        lines.append(
            ("resume", f"{count(e.finished, 'frame')} finished already; the time is for the rest")
        )
    elif e.in_segments:
        lines.append(("resume", "in segments; if it is stopped, the same command continues"))
    fates = (("copied", e.copied), ("converted", e.converted), ("dropped", e.dropped))
    lines += [(name, ", ".join(streams)) for name, streams in fates if streams]
    return lines + [("note", notice) for notice in e.notices]


def _memory(load: Load, *, several: bool) -> str:
    where = f"{load.device}: " if several else ""
    times = f"{load.processes} processes, each " if load.processes > 1 else ""
    return (
        f"{where}{times}{console.human_bytes(load.network_bytes)} for the network,"
        f" {console.human_bytes(load.other_bytes)} for all else;"
        f" {console.human_bytes(load.free_bytes)} are free"
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown, since the number of frames is"
    return f"about {console.human_seconds(seconds)}"


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"about {console.human_bytes(count)}"


def _sum(values: list[Any]) -> Any:
    """None where one is unknown."""
    return None if any(value is None for value in values) else sum(values)
