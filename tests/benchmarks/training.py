"""Windows per second of a training step, beside another checkout's, in one run.

    git worktree add ../old 84e555f
    python tests/benchmarks/training.py --against ../old [--size 48] [--batch 2] [--rounds 12]

Each checkout trains its own fmanet-xs in a process of one thread; single steps are taken by turns,
so that a busy machine is as busy for both. Counted is the processor's time of the median step. The
windows are noise: a step costs the same whatever it sees. The last line says what the step's
products and sums alone would take at the rate of a large matrix product.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--size", type=int, default=48, help="LR pixels")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--motion", action="store_true", help="of the first phase, motion alone")
    parser.add_argument("--steps-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pool", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps_of:
        answer_with_steps(args)
    else:
        compare(args)


def compare(args: argparse.Namespace) -> None:
    checkouts = [path.resolve() for path in (args.against, HERE) if path is not None]
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder) / "0000", args.size)
        workers = [
            subprocess.Popen(
                [sys.executable, __file__, *sys.argv[1:], "--steps-of", checkout, "--pool", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for checkout in checkouts
        ]
        seconds: list[list[float]] = [[] for _ in workers]
        for _ in range(args.rounds):
            for worker, found in zip(workers, seconds, strict=True):
                assert worker.stdin
                assert worker.stdout
                print("step", file=worker.stdin, flush=True)
                found.append(float(worker.stdout.readline()))
        for worker in workers:
            worker.communicate("")
    rates = [args.batch / statistics.median(found[2:]) for found in seconds]
    for checkout, rate in zip(checkouts, rates, strict=True):
        print(f"{checkout.name:24} {rate:6.2f} windows/s of {args.size}x{args.size} on one core")
    if args.against:
        print(f"ratio                    {rates[1] / rates[0]:6.2f}")
    print(f"arithmetic alone         {arithmetic_rate(args):6.2f} windows/s")


def answer_with_steps(args: argparse.Namespace) -> None:
    """A worker: for every line on its input, a step, and the processor's seconds as answer."""
    step = step_of(args.steps_of, args)
    for _ in sys.stdin:
        start = time.process_time()
        step()
        print(time.process_time() - start, flush=True)


def step_of(checkout: Path, args: argparse.Namespace) -> Callable[[], object]:
    """A training step of the recipe in `checkout`, of this commit or of 84e555f."""
    sys.path[:0] = [str(checkout / "weights"), str(checkout)]
    from recipe import settings as recipe
    from recipe.train import Job, Training

    torch.set_num_threads(1)
    settings: Any = recipe.Settings.read(checkout / "weights/recipe/fmanet-xs.toml")
    if hasattr(recipe, "Patches"):
        patches = (recipe.Patches(0, args.size, args.batch),)
        settings = dataclasses.replace(settings, patches=patches)
        old: Any = Training(Job(settings, args.pool, args.pool, None, (), "cpu", 1, False))
        return lambda: old.train_step(0.5)
    from vsrdb_cli.runtime import keep_freed_memory

    keep_freed_memory()
    learns = "motion" if args.motion else "everything"
    phases = (recipe.Phase(0, args.size, args.batch, learns),)
    settings = dataclasses.replace(settings, phases=phases)
    return Training(Job(settings, args.pool, args.pool)).train_step


def write_noise(folder: Path, size: int, count: int = 8) -> None:
    """A shard of windows as `recipe.pool` reads them."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name, side in (("lr", size), ("hr", 4 * size)):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (count, 3, side, side, 3), np.uint8))
    flow = rng.normal(0, 2, (count, 2, size, size, 2)).astype(np.float16)
    np.save(folder / "flow.npy", flow)


def arithmetic_rate(args: argparse.Namespace) -> float:
    """Windows/s if a step were nothing but products and sums at the rate of a matrix product."""
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder) / "0000", args.size)
        args.pool = Path(folder)
        step = step_of(HERE, args)
        with FlopCounterMode(display=False) as counter:
            step()
    left, right = torch.rand(2, 1024, 1024)
    seconds = []
    for _ in range(10):
        start = time.process_time()
        _ = left @ right
        seconds.append(time.process_time() - start)
    rate = 2 * 1024**3 / statistics.median(seconds)
    return float(args.batch * rate / counter.get_total_flops())


if __name__ == "__main__":
    main()
