"""`vsrdb restore --dry-run`: what each run would take, do and drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.journal import open_journal
from vsrdb_cli.batch.outcomes import why_skipped
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.commands import console, events
from vsrdb_cli.commands.events import Reporter, reported
from vsrdb_cli.commands.request import RestoreRequest
from vsrdb_cli.commands.session import ExitStatus, status_of
from vsrdb_cli.dry_run.estimate import Estimate, Load, estimate_run
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.text import count


@dataclass(frozen=True)
class _Answer:
    """The result for one input: an estimate, an error, or the reason why it would be skipped."""

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


def estimate_all(request: RestoreRequest, batch: Batch, report: Reporter) -> events.Ended:
    """Estimate the runs of all inputs with one network, and print them."""
    if request.page is not None:
        report(events.Notice(f"a dry run does not write {request.page}"))
    for notice in batch.notices:
        report(events.Notice(notice))
    several = len(batch.items) > 1
    executor = LocalExecutor(request.options) if several and not request.options.devices else None
    journal = open_journal(batch, request.options)
    answers = []
    for number, item in enumerate(batch.items, 1):
        reason = why_skipped(item, skip_existing=request.skip_existing, journal=journal)
        if reason is not None:
            answers.append(_Answer(item, reason=reason))
        else:
            started = events.InputStarted(item.source, item.target, number, len(batch.items))
            with reported(report, started):
                answers.append(_estimate(item, request, batch, report, executor))
        if not request.as_json:
            _print(answers[-1])
    seconds = _sum([a.estimate.seconds for a in answers if a.estimate])
    output_bytes = _sum([a.estimate.output_bytes for a in answers if a.estimate])
    if request.as_json:
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
    errors = [answer.error for answer in answers if answer.error is not None]
    status: int = ExitStatus.DONE
    if errors:
        status = ExitStatus.FAILED if several else status_of(errors[0])
    return events.Ended({name: counts[name] for name in ("estimated", "skipped", "failed")}, status)


def _estimate(
    item: Item,
    request: RestoreRequest,
    batch: Batch,
    report: Reporter,
    executor: LocalExecutor | None,
) -> _Answer:
    try:
        if item.problem is not None:
            raise item.problem
        estimate = estimate_run(
            item.source,
            item.target,
            request.options,
            executor=executor,
            new_folders=batch.folder is not None,
            on_progress=lambda progress: report(events.Progressed(progress)),
        )
    except VsrdbError as error:
        report(events.Failed(error))
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
    for name, text in describe(estimate):
        console.result(f"  {name:10} {text}")


def describe(e: Estimate) -> list[tuple[str, str]]:
    """Describe a run in lines, each with a heading of one word."""
    info, runner = e.info, e.runner
    number = info.frame_count
    frames = "an unknown number of frames" if number is None else count(number, "frame")
    length = "" if info.duration_seconds is None else f", {info.duration_seconds:.2f} s"
    network = f"{runner.weights} · {runner.backend} {runner.device} {runner.precision}"
    tiles = "whole pictures" if e.tile is None else f"tiles of {e.tile} pixels"
    per_frame = f"{e.seconds_per_frame:.2f} s per frame, {e.load_seconds:.1f} s to load"
    size = f"{info.width}x{info.height}, {float(info.rate):.6g} fps"
    lines = [
        (
            "input",
            f"{size}, {frames}{length}, {info.codec} {info.pix_fmt} {e.matrix}, {info.container}",
        ),
        ("output", f"{e.output}: {e.width_hr}x{e.height_hr}, {e.encoder}"),
        ("network", f"{network}, {tiles}"),
        *(("memory", _memory(load, several=len(e.loads) > 1)) for load in e.loads),
        *((("repeats", _repeats(e)),) if e.repeated else ()),
        ("time", f"{_time(e.seconds)}: {per_frame}"),
        ("size", f"{_size(e.output_bytes)}; {console.human_bytes(e.free_disk_bytes)} available"),
    ]
    if not e.fits:
        lines.append(("warning", "not enough memory; omit --tile, or choose smaller tiles"))
    if e.output_bytes is not None and e.output_bytes > e.free_disk_bytes:
        lines.append(("warning", "the disk will fill up before the end"))
    if e.finished:
        lines.append(
            ("resume", f"{count(e.finished, 'frame')} already finished; the time is for the rest")
        )
    elif e.in_segments:
        lines.append(
            ("resume", "in segments; after an interruption, run the same command again to continue")
        )
    streams = (("copied", e.copied), ("converted", e.converted), ("dropped", e.dropped))
    lines += [(name, ", ".join(those)) for name, those in streams if those]
    return lines + [("note", notice) for notice in e.notices]


def _repeats(e: Estimate) -> str:
    frames = e.info.frame_count
    number = "" if frames is None else f", about {count(round(e.repeated * frames), 'frame')}"
    return f"{e.repeated:.0%} of the frames examined{number}: restored with the one before"


def _memory(load: Load, *, several: bool) -> str:
    where = f"{load.device}: " if several else ""
    times = f"{load.processes} processes, each " if load.processes > 1 else ""
    return (
        f"{where}{times}{console.human_bytes(load.network_bytes)} for the network,"
        f" {console.human_bytes(load.other_bytes)} for everything else;"
        f" {console.human_bytes(load.free_bytes)} available"
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown, as is the number of frames"
    return f"about {console.human_seconds(seconds)}"


def _size(size: float | None) -> str:
    return "unknown" if size is None else f"about {console.human_bytes(size)}"


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum, or None where a value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
