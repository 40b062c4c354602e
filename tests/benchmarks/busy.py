"""The network alone, from Python, quiet and beside busy processes, by how its threads wait.

    python tests/benchmarks/busy.py [--size 160x90] [--frames 3] [--busy 1]

Each way in a process of its own: configured before torch is imported, which sets the policy that
torch reads; configured afterwards, where loading a runner makes its threads sleep; and not at all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

WAYS = {
    "configured first": "import vsrdb_cli; vsrdb_cli.configure_runtime(); import torch",
    "torch first": "import torch, vsrdb_cli; vsrdb_cli.configure_runtime()",
    "not configured": "import torch",
}
MEASURE = """
from vsrdb_cli.backends import load_runner
from vsrdb_cli.bench.network import best, measure_steps, warm_up
runner = load_runner("fmanet-xs", device="cpu", precision="float32")
warm_up(runner, {height}, {width})
steps = [measure_steps(runner, {height}, {width}, seconds=0)[0] for _ in range({frames})]
times = sorted(step.together.wall for step in steps)
print(times[len(times) // 2])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="160x90", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="how many busy processes")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    code = MEASURE.format(width=width, height=height, frames=arguments.frames)
    environment = {n: v for n, v in os.environ.items() if n != "OMP_WAIT_POLICY"}
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    for busy in (0, arguments.busy):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            for way, imports in WAYS.items():
                seconds = subprocess.run(
                    [sys.executable, "-c", imports + code],
                    check=True, capture_output=True, text=True, env=environment,
                ).stdout  # fmt: skip
                print(f"{busy} busy, {way}: {float(seconds):.2f} s a frame", flush=True)
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
