"""Renders windows and trains on them meanwhile, for so many seconds, results in a folder.

    python tests/gpu/train_for.py SETTINGS.toml --photos PHOTOS --out OUT --seconds 560 [--fit]

Renderers work on all cores but two as long as it lasts. With `--fit` the run ends with as many
windows as there is time for; else `windows` of the settings stands, and the run goes on another
time from the pieces of its state, given as `--resume`. OUT holds the log, and the state in pieces
(joined in their order they are the `state.pt` that `recipe.finish` makes a checkpoint of).
(`--device cpu --small` tries the program itself. Called by prove.sh, which sets its import path.)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from recipe.pool import Pool
from recipe.settings import Settings
from recipe.train import Job, Training
from recipe.validation import Example, real_examples, rendered_examples

WEIGHTS = Path(__file__).parents[2] / "weights"
PIECE = 15 << 20  # bytes of a piece of the state
SAVING = 15.0  # seconds kept for writing what came of it
OUT_OF_REACH = 10**9  # windows


def rendered(photos: Path, out: Path, *words: object) -> subprocess.Popen[bytes]:
    """A process that renders windows."""
    command = [sys.executable, "-m", "recipe.render", "--photos", photos, "--out", out, *words]
    return subprocess.Popen([str(word) for word in command], cwd=WEIGHTS, stdout=subprocess.DEVNULL)


@contextmanager
def rendering(
    photos: Path, pool: Path, sizes: Sequence[int], count: int, shard: int
) -> Iterator[None]:
    """Processes that render until the end, each shards of its own; of the sizes in turn."""
    seed = int(time.time())
    running = [
        rendered(
            photos, pool, "--windows", OUT_OF_REACH, "--shard", shard,
            "--size", sizes[i % len(sizes)], "--first", i * 1000, "--seed", seed,
        )
        for i in range(count)
    ]  # fmt: skip
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


class Run:
    """A run in stretches until `end`, by the monotonic clock."""

    def __init__(self, training: Training, examples: list[Example], out: Path, end: float) -> None:
        self.training, self.examples, self.out, self.end = training, examples, out, end
        self.rate = 0.0  # windows a second

    @property
    def left(self) -> float:
        """Seconds for training."""
        return self.end - SAVING - time.monotonic()

    def stretch(self, seconds: float) -> None:
        """Train for so long, and save what has come of it."""
        training, deadline = self.training, time.monotonic() + seconds
        windows, spent = training.windows, training.seconds
        training.run(self.examples, lambda: time.monotonic() > deadline)
        self.rate = (training.windows - windows) / max(training.seconds - spent, 1e-3)
        print(f"{training.windows} windows, {self.rate:.1f} a second", flush=True)
        (self.out / "log.jsonl").write_bytes((training.job.run / "log.jsonl").read_bytes())
        state = training.state_file.read_bytes()
        for number, begin in enumerate(range(0, len(state), PIECE)):
            (self.out / f"state.pt.{number:02d}").write_bytes(state[begin : begin + PIECE])

    def fit(self) -> None:
        """Have it end with the windows that there is time for.

        A window takes as long as its pixels; where the GPU waited for launches, less.
        """
        settings, windows = self.training.settings, self.training.windows
        current = settings.phase_at(self.training.progress)
        ends = [phase.start for phase in settings.phases[1:]] + [1.0]

        def seconds(total: int) -> float:
            """From here to the end of so many windows."""
            return sum(
                max(end * total - max(phase.start * total, windows), 0)
                * (phase.size / current.size) ** 2
                for phase, end in zip(settings.phases, ends, strict=True)
            ) / max(self.rate, 1e-6)

        low, high = windows + 1, windows + 2 + round(max(self.left, 0) * self.rate * 10)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if seconds(middle) <= self.left else (low, middle - 1)
        self.training.settings = replace(settings, windows=low)
        print(f"the run is to end with {low} windows", flush=True)


def joined(folder: Path, target: Path) -> None:
    """The state whose pieces lie in a folder."""
    target.write_bytes(b"".join(map(Path.read_bytes, sorted(folder.glob("state.pt.*")))))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="for all of it")
    parser.add_argument("--fit", action="store_true", help="end with what there is time for")
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--resume", type=Path, help="folder with the pieces of a run's state")
    parser.add_argument("--real", type=Path, action="append", default=[], help="real clips")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="few windows, small ones")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    sizes, shard, held_out, side, cores = (72, 144), 50, 48, 160, (os.cpu_count() or 1) - 2
    if arguments.small:
        sizes, shard, held_out, side, cores = (28, 36), 4, 4, 32, 1
    settings, photos = Settings.read(arguments.settings), arguments.photos.resolve()
    # In memory, where the system has a place for that.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as temporary:
        pool, validation, run = (Path(temporary) / name for name in ("pool", "validation", "run"))
        run.mkdir()
        if arguments.resume is not None:
            joined(arguments.resume, run / "state.pt")
        with rendering(photos, pool, sizes, max(cores, 1), shard):
            count = ("--windows", held_out, "--shard", held_out)
            if rendered(photos, validation, "--validation", "--size", side, *count).wait():
                raise RuntimeError("nothing to validate on was rendered")
            # Some for each phase; of both sizes.
            warm = time.monotonic() + 0.08 * arguments.seconds
            while time.monotonic() < warm or len(list(pool.glob("*[0-9]"))) < min(cores, 6):
                time.sleep(0.2)
            gpu = arguments.device.startswith("cuda")
            job = Job(
                settings, run, pool, device=arguments.device, graph=gpu, start=arguments.start
            )
            examples = rendered_examples(Pool(validation), min(settings.rendered_windows, held_out))
            for clips in arguments.real:
                examples += real_examples(clips, settings.real_windows, settings.real_size)
            training = Training(job)
            going = Run(training, examples, arguments.out, end)
            if arguments.fit:
                training.settings = replace(settings, windows=OUT_OF_REACH)
                for share in (0.15, 0.5):
                    going.stretch(share * going.left)
                    going.fit()
            going.stretch(going.left)


if __name__ == "__main__":
    main()
