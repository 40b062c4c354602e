"""Resident memory of a long run, frame by frame, as a plot.

    python tests/benchmarks/memory_curve.py OUT.png [--frames 2000] [--size 64x48]

A made video is restored with the bundled network twice, each time in a process of its own: in
segments, as the command does with any long video, and at once. Printed and plotted is the resident
memory (Linux) after each frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
MIB = 2**20
WAYS = {"in segments of 10 s": 10.0, "at once": 1e9}


def measure(arguments: argparse.Namespace, segment_seconds: float, folder: Path) -> list[int]:
    import clips
    import psutil

    from vsrdb_cli.checkpoints.registry import default_weights
    from vsrdb_cli.options import RestoreOptions
    from vsrdb_cli.restore import restore_video

    width, height = map(int, arguments.size.split("x"))
    source = clips.make(folder / "in.mp4", frames=arguments.frames, height=height, width=width)
    process, curve = psutil.Process(), []

    def on_progress(progress) -> None:
        if progress.phase == "restore" and progress.frames:
            curve.append(process.memory_info().rss)

    options = RestoreOptions(weights=default_weights(), segment_seconds=segment_seconds)
    restore_video(source, folder / "out.mp4", options, on_progress=on_progress)
    return curve


def plot(curves: dict[str, list[int]], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for way, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), [size / MIB for size in curve], label=way, linewidth=1)
    axes.set_ylim(0, 1.3 * max(map(max, curves.values())) / MIB)
    axes.set_xlabel("frame")
    axes.set_ylabel("resident memory, MiB")
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", default="64x48", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments, WAYS[arguments.way], Path(folder))))
        return
    curves = {}
    for way in WAYS:
        output = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--way", way],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        curves[way] = json.loads(output.splitlines()[-1])
        places = range(arguments.frames // 10, arguments.frames + 1, arguments.frames // 10)
        after = ", ".join(f"{curves[way][frame - 1] / MIB:.0f}" for frame in places)
        print(f"{way}: MiB after every {arguments.frames // 10} frames: {after}")
    title = f"{arguments.frames} frames of {arguments.size} with the bundled network, on the CPU"
    plot(curves, title, arguments.output)


if __name__ == "__main__":
    main()
