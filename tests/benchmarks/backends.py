"""Speed of every backend that is here for one checkpoint, and its agreement with torch float32.

    vsrdb export --format onnx            # and --fp16; and --format tensorrt on a GPU
    python tests/benchmarks/backends.py [--weights fmanet-xs] [--size 320x180] [--device cpu]

Time per frame of a long video: one `encode` and one `restore`. Runners take turns, so that a busy
machine is busy for all of them; the least of each is printed. What is not here is named with what
it would take.
"""

from __future__ import annotations

import argparse
import os
import time

import torch

from vsrdb_cli.backends import load_runner, parity
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.errors import VsrdbError

WANTED = [
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("torch", "float16"),
    ("onnxruntime", "float32"),
    ("onnxruntime", "float16"),
    ("tensorrt", "float32"),
    ("tensorrt", "float16"),
    ("tensorrt-rtx", "float32"),
    ("tensorrt-rtx", "float16"),
]


def frame_seconds(runner: Runner, frames: list[torch.Tensor]) -> tuple[float, float]:
    """Seconds of one encode and of one restore (which ends on the CPU, so it is done)."""
    start = time.perf_counter()
    window = [runner.encode(frame) for frame in frames]
    middle = time.perf_counter()
    runner.restore(window)
    return (middle - start) / len(frames), time.perf_counter() - middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=default_weights())
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width, height = map(int, arguments.size.split("x"))

    runners: list[Runner] = []
    for backend, precision in WANTED:
        try:
            runners.append(
                load_runner(
                    arguments.weights,
                    backend=backend,
                    device=arguments.device,
                    precision=precision,
                )
            )
        except VsrdbError as error:
            print(f"- {backend} {precision}: {error}")
    reference = load_runner(arguments.weights, backend="torch", device="cpu", precision="float32")
    frames = parity.scene(reference.length, height, width)
    load = os.getloadavg()[0]
    times = [[frame_seconds(runner, frames) for runner in runners] for _ in range(arguments.turns)]
    print(f"{width}x{height}, {arguments.threads} threads, load of the machine before: {load:.1f}")
    for index, runner in enumerate(runners):
        encode = min(turn[index][0] for turn in times)
        restore = min(turn[index][1] for turn in times)
        try:
            worst = max(parity.compare(reference, runner), key=lambda a: a.max_error)
            agreement = f"off by {worst.max_error:.1e}, {worst.psnr:.0f} dB"
        except VsrdbError as error:
            agreement = str(error)
        print(
            f"{runner.info}: {1 / (encode + restore):.3f} fps"
            f" (encode {encode:.2f} s, restore {restore:.2f} s); {agreement}"
        )


if __name__ == "__main__":
    main()
