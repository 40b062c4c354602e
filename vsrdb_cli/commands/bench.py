"""`vsrdb bench`: measure how fast this machine restores video."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from vsrdb_cli import __version__
from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import steps
from vsrdb_cli.commands.click_options import WEIGHTS_HELP, Read, read_size, restore_option
from vsrdb_cli.commands.session import ExitStatus
from vsrdb_cli.device_kinds import METAVAR
from vsrdb_cli.option_values import read_device

if TYPE_CHECKING:
    from vsrdb_cli.bench.results import Problem, SizeReport


def _read_device(value: str) -> str:
    return value if value == "all" else read_device(value)


@click.command()
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=Read(read_size(16), "WxH"),
    default=["320x180"],
    show_default=True,
    help="Width and height of the input; can be repeated.",
)
@restore_option("weights", help=WEIGHTS_HELP)
@restore_option(
    "backend",
    also=("all",),
    help="Library that runs the network; all compares every one in speed and accuracy.",
)
@restore_option(
    "device",
    read=_read_device,
    metavar=f"{METAVAR}|all",
    help="Device to run the network on; all compares the devices of this machine.",
)
@restore_option("precision", help="Number format to compute in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for other programs.")
def bench(
    *,
    sizes: tuple[tuple[int, int], ...],
    weights: str,
    backend: str,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Measure how fast this machine restores video.

    Measures each stage on its own and a whole run of a synthetic clip, the overlap of the stages,
    memory, and the network's throughput as a share of this machine's measured convolution rate. A
    size takes up to two minutes. Other programs that are running slow the result down.

    \b
    vsrdb bench
    vsrdb bench --size 640x360 --backend all
    vsrdb bench --device all
    """
    with steps("measuring") as on_step:
        from vsrdb_cli.bench.benchmark import BenchRequest, run_benchmark
        from vsrdb_cli.bench.results import Problem

        request = BenchRequest(sizes, weights, backend, device, precision)
        found = list(run_benchmark(request, on_step))
    problems = [one for one in found if isinstance(one, Problem)]
    reports = [one for one in found if not isinstance(one, Problem)]
    if as_json:
        values = {
            "version": __version__,
            "sizes": [report.to_json() for report in reports],
            "problems": [problem.to_json() for problem in problems],
        }
        console.json_result(values)
    else:
        for report in reports:
            show(report)
    for problem in [*problems, *(problem for report in reports for problem in report.problems)]:
        _say(problem)
    if problems:
        sys.exit(ExitStatus.FAILED)


def show(report: SizeReport) -> None:
    """Print the results for a size: lines and two tables."""
    machine, whole, width, height = report.machine, report.whole, report.width, report.height
    load = "" if machine.load is None else f", load {machine.load:.1f}"
    for line in (
        f"{report.runner} · {width}x{height} → {report.scale * width}x{report.scale * height}",
        f"{machine.processor}, {machine.threads} of {machine.cores} cores, torch {machine.torch}"
        + load,
        "",
    ):
        console.result(line)
    console.show(_stages(report))
    console.result("")
    if whole is None:
        console.result("whole run: not measured: one frame takes too long")
    else:
        console.result(
            f"whole run: {1 / whole.frame.wall:.2f} fps, {report.ratio:.2f} times the network alone"
        )
        shorter, longer = "reading, colours and writing", "the network"
        if report.video.together.wall > report.network.together.wall:
            shorter, longer = longer, shorter
        console.result(f"overlap: {report.overlap:.0%} of {shorter} overlaps with {longer}")
        console.result(
            f"memory: {console.human_bytes(report.memory or 0)},"
            f" estimated {console.human_bytes(report.memory_estimate)}"
        )
    if report.nearness is not None:
        console.result(
            f"arithmetic: {_giga(report.operations)} GFLOP per frame"
            f" at {_giga(report.network_rate)} GFLOP/s, {report.nearness:.0%} of a"
            f" convolution's {_giga(report.convolution_rate)}"
        )
    console.result("")
    console.show(_backends(report))
    console.result("")


def _stages(report: SizeReport) -> console.PlainTable:
    table = _table("stage", "ms per frame", "CPU ms")
    rows = [(stage.name, stage.seconds) for stage in report.stages()]
    rows.append(("all in series", report.in_series))
    if report.whole is not None:
        rows.append(("whole run", report.whole.frame))
    for name, seconds in rows:
        table.add_row(name, _ms(seconds.wall), _ms(seconds.cpu))
    return table


def _backends(report: SizeReport) -> console.PlainTable:
    table = _table("network alone", "encode ms", "restore ms", "fps", "error vs float32")
    for backend in report.backends:
        info, steps, off = backend.runner, backend.steps, backend.agreement
        table.add_row(
            f"{info.backend} {info.device} {info.precision}",
            _ms(steps.encode.wall),
            _ms(steps.restore.wall),
            f"{backend.frames_per_second:.2f}",
            "-" if off is None else f"{off.max_error:.1e} ({off.psnr:.0f} dB)",
        )
    return table


def _table(first: str, *others: str) -> console.PlainTable:
    table = console.PlainTable(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.1 else f"{seconds * 1000:.0f}"


def _giga(value: float | None) -> str:
    return f"{(value or 0) / 1e9:.0f}"


def _say(problem: Problem) -> None:
    hint = f" ({problem.hint})" if problem.hint else ""
    console.warn(f"{problem.name}: {problem.message}{hint}")
