"""What a Ray cluster costs beside worker processes, and how far it would scale.

    python tests/benchmarks/cluster.py VIDEO [--weights fmanet-xs] [--minutes 10]

First VIDEO is restored by one worker process and by a Ray cluster of this machine (`--ray local`),
in turns; what starting costs is told apart from what a frame costs. Then runs of --minutes of
video on 1 to 64 nodes are simulated from stage times: a frame and its bytes as measured
here, 0.05 s a segment for the driver, the join, and a network of 1 Gbit/s.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.jobs.report import RestoreReport
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

NODES = (1, 2, 4, 8, 16, 32, 64)
NETWORK = 1e9 / 8  # bytes a second
SEGMENT_SECONDS = 10


@dataclass(frozen=True)
class Stages:
    """Seconds: start once; frame on a node; plan and join per frame, and receive per segment, on
    the driver. bytes: of a restored frame, and of what is sent for one."""

    start: float
    frame: float
    plan: float
    join: float
    receive: float
    bytes: float


def measured(source: Path, options: RestoreOptions) -> tuple[RestoreReport, dict[str, float]]:
    """A run, and the seconds until each phase of it was first told of."""
    began: dict[str, float] = {}
    started = time.perf_counter()

    def on_progress(progress):
        began.setdefault(progress.phase, time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        report = restore_video(source, target, options, on_progress=on_progress)
        began["bytes"] = target.stat().st_size
    began["end"] = time.perf_counter() - started
    return report, began


def simulated(stages: Stages, frames: int, nodes: int, rate: float) -> dict[str, float]:
    """Seconds of a run: each node takes the next segment; the driver receives one at a time."""
    length = round(SEGMENT_SECONDS * rate)
    free = [0.0] * nodes
    heapq.heapify(free)
    driver = 0.0
    for first in range(0, frames, length):
        count = min(length, frames - first)
        done = heapq.heappop(free) + count * stages.frame
        heapq.heappush(free, done)
        driver = max(driver, done) + stages.receive + count * stages.bytes / NETWORK
    plan, join = frames * stages.plan, frames * stages.join
    return {
        "plan": plan,
        "restore": driver,
        "join": join,
        "total": stages.start + plan + driver + join,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--weights", default=default_weights())
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--segment-seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    plain = RestoreOptions(
        weights=arguments.weights, device="cpu", segment_seconds=arguments.segment_seconds
    )
    kinds = {
        "processes": replace(plain, device="auto", devices=("cpu",)),
        "ray": replace(plain, ray="local"),
    }
    best: dict[str, tuple[float, RestoreReport, dict[str, float]]] = {}
    for _ in range(arguments.repeat):
        for name, options in kinds.items():
            report, began = measured(arguments.video, options)
            seconds = began["join"] - began["restore"]
            print(
                f"{name:9} {began.get('plan', began['restore']):6.1f} s to start,"
                f" {seconds:6.2f} s restoring, {report.frames / seconds:6.2f} fps"
            )
            if name not in best or seconds < best[name][0]:
                best[name] = seconds, report, began
    ratio = best["ray"][0] / best["processes"][0]
    print(f"restoring on Ray takes {100 * (ratio - 1):+.1f} % beside a worker process")

    seconds, report, began = best["ray"]
    rate = 30.0
    stages = Stages(
        start=began["plan"],
        frame=seconds / report.frames,
        plan=(began["restore"] - began["plan"]) / report.frames,
        join=(began["end"] - began["join"]) / report.frames,
        receive=0.05,
        bytes=began["bytes"] / report.frames,
    )
    frames = round(arguments.minutes * 60 * rate)
    print(f"\n{arguments.minutes:g} minutes at {rate:g} fps, {frames} frames, from {stages}")
    print("nodes    total s  speed-up  restore s  driver alone s (plan, join)")
    alone = simulated(stages, frames, 1, rate)["total"]
    for nodes in NODES:
        took = simulated(stages, frames, nodes, rate)
        print(
            f"{nodes:5} {took['total']:10.0f} {alone / took['total']:9.1f}"
            f" {took['restore']:10.0f} {took['plan'] + took['join']:10.0f}"
        )


if __name__ == "__main__":
    main()
