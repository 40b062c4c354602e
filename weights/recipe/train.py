"""Train one model: `python -m recipe.train fmanet-xs.toml --pool POOL --run RUN`.

RUN holds `state.pt` (everything needed to go on; the same command resumes) and `log.jsonl`.
On a CPU `--workers 2` computes with two processes of one thread each, which lose less than one
process of two threads when the machine has other work. A batch is drawn from seed, step and worker,
and what happens when depends on the windows seen, never on the clock: a resumed run is the unbroken
one. Windows that are rendered meanwhile join at the next validation. Ctrl-C or a TERM signal saves
and stops.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from recipe.graph import GraphedUpdate, Update
from recipe.growth import grow
from recipe.initial import PICTURE_MASK_LOGIT, hand_flows_on, initialise
from recipe.losses import Objective, Subject
from recipe.muon import Muon, is_matrix
from recipe.padding import pad_by_concatenation
from recipe.pool import Batch, Pool
from recipe.settings import Settings
from recipe.validation import Example, Scores, real_examples, rendered_examples, score
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.runtime import keep_freed_memory

SAVE_SECONDS = 120
CHECK_STEPS = 50  # looking at a number makes a GPU wait


@dataclass(frozen=True)
class Job:
    """The command line."""

    settings: Settings
    run: Path
    pool: Path
    validation: Path | None = None
    real: tuple[Path, ...] = ()
    device: str = "cpu"
    workers: int = 1
    compile: bool = False
    graph: bool = False
    start: Path | None = None
    stop_after: float = math.inf


class Training:
    """One worker's share of a run; worker 0 also saves and logs."""

    def __init__(self, job: Job, rank: int = 0) -> None:
        self.job, self.rank, self.settings = job, rank, job.settings
        torch.manual_seed(self.settings.seed)
        network = FMANet(self.settings.network, training_heads=True)
        initialise(network)
        if job.start is not None:
            load_start(network, job.start)
            if self.settings.phases[0].learns == "motion":
                # Layers that never had a flow to pass on no longer pass one on.
                hand_flows_on(network, PICTURE_MASK_LOGIT)
        self.network = network.to(job.device)
        self.ema = AveragedModel(self.network, multi_avg_fn=self._mix)
        objective: nn.Module = Objective(self.network, self.settings.losses)
        if job.workers > 1:
            objective = DistributedDataParallel(objective, find_unused_parameters=True)
        if job.compile:
            pad_by_concatenation()
            objective.compile(dynamic=False)
        self.objective = objective
        self.optimizers = self._optimizers()
        self.update: Update = self._update
        if job.graph:
            self.update = GraphedUpdate(self._update, torch.device(job.device))
        self.step, self.windows, self.seconds = 0, 0, 0.0
        self.sums: dict[str, Tensor] = {}
        self.pool = Pool(job.pool, job.device)
        if self.state_file.exists():
            self.load()

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Make Adam and, if the settings ask for it, Muon for weights that are matrices."""
        job, muon = self.job, self.settings.optimizer == "muon"
        parameters = list(self.network.parameters())
        matrices = [p for p in parameters if muon and is_matrix(p)]
        others = [p for p in parameters if not (muon and is_matrix(p))]

        def rate() -> Tensor | float:
            # A graph reads the rate where it lies on the GPU.
            value = self.settings.rate
            return torch.tensor(value, device=job.device) if job.graph else value

        adam = torch.optim.Adam(
            others, lr=rate(), betas=(0.9, 0.99), fused=True, capturable=job.graph
        )
        return [adam, Muon(matrices, lr=rate())] if matrices else [adam]

    @property
    def state_file(self) -> Path:
        return self.job.run / "state.pt"

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.windows / self.settings.windows

    def rate(self) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0)))
        floor = self.settings.final_rate
        warmup = min(1.0, (self.step + 1) / self.settings.warmup_steps)
        return self.settings.rate * warmup * (floor + (1 - floor) * cosine)

    def train_step(self) -> None:
        phase = self.settings.phase_at(self.progress)
        rng = np.random.default_rng([self.settings.seed, self.step, self.rank])
        batch: Batch = self.pool.sample(rng, phase.batch, phase.size)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if self.job.graph:
                    group["lr"].fill_(self.rate())
                else:
                    group["lr"] = self.rate()
        terms = self.update(batch, phase.learns)
        self.ema.update_parameters(self.network)
        self.step += 1
        self.windows += phase.batch * self.job.workers
        for name, value in {**terms, "steps": torch.ones(())}.items():
            self.sums[name] = self.sums.get(name, 0) + value
        if self.step % CHECK_STEPS == 0:
            self._check()

    def _update(self, batch: Batch, learns: Subject) -> dict[str, Tensor]:
        """Make one step; return the losses by name, and the gradient's length."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        losses = self.objective(batch, learns)
        losses["total"].backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return {name: value.detach() for name, value in {**losses, "gradient": norm}.items()}

    def _mix(self, ema: Any, network: Any, _count: Tensor | int) -> None:
        """Update the average, whose memory is short at first, so that it forgets the start."""
        keep = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(ema, network, 1 - keep)

    def _check(self) -> None:
        """Raise FloatingPointError if a gradient since the last log was not finite."""
        if not math.isfinite(float(self.sums.get("gradient", 0.0))):
            raise FloatingPointError(f"a gradient up to step {self.step} is not finite")

    def validate(self, examples: list[Example]) -> dict[str, Scores]:
        """Score the EMA weights by set; the workers share the sets."""
        with torch.inference_mode():
            own = {
                example.name: score(cast(FMANet, self.ema.module), example)
                for example in examples[self.rank :: self.job.workers]
            }
        parts: list[Any] = [own]
        if self.job.workers > 1:
            parts = [None] * self.job.workers
            dist.all_gather_object(parts, own)
        found = {name: scores for part in parts for name, scores in part.items()}
        return {example.name: found[example.name] for example in examples}

    def log(self, scores: dict[str, Scores]) -> None:
        sums = {name: float(value) for name, value in self.sums.items()}
        count = max(sums.pop("steps", 0.0), 1.0)
        entry: dict[str, Any] = {
            "step": self.step,
            "windows": self.windows,
            "minutes": round(self.seconds / 60, 2),
            "rate": float(f"{self.rate():.3g}"),
            "losses": {name: float(f"{value / count:.4g}") for name, value in sums.items()},
        }
        for name, found in scores.items():
            for kind, pair in found.items():
                entry.setdefault(kind, {})[name] = [round(value, 3) for value in pair]
        with (self.job.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        self._check()
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "windows": self.windows,
            "seconds": self.seconds,
            "sums": self.sums,
        }
        partial = self.state_file.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def load(self) -> None:
        state = torch.load(self.state_file, map_location=self.job.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema.module.load_state_dict(state["ema"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            # The state may come from another device, where a step was no graph, or was one.
            own = [
                {name: group[name] for name in ("lr", "capturable") if name in group}
                for group in optimizer.param_groups
            ]
            optimizer.load_state_dict(kept)
            for group, values in zip(optimizer.param_groups, own, strict=True):
                group.update(values)
        self.step, self.windows = state["step"], state["windows"]
        self.ema.n_averaged.fill_(self.step)
        self.seconds, self.sums = state["seconds"], state["sums"]

    def agreed(self, stop: bool) -> bool:
        """Return worker 0's answer on every worker."""
        shared = torch.tensor(stop)
        if self.job.workers > 1:
            dist.broadcast(shared, 0)
        return bool(shared)

    def run(self, examples: list[Example], stop: Callable[[], bool] = lambda: False) -> None:
        """Train until the end, or until `stop` returns true; a later run continues."""
        started, before = time.monotonic(), self.seconds
        saved = started
        validated = -1 if self.step == 0 else self.windows // self.settings.validate_windows
        while True:
            self.seconds = before + time.monotonic() - started
            ended = self.progress >= 1
            due = self.windows // self.settings.validate_windows
            if ended or due != validated:
                scores = self.validate(examples)
                if self.rank == 0:
                    self.log(scores)
                self.sums, validated = {}, due
                self.pool.refresh()
            done = ended or self.agreed(stop())
            if self.rank == 0 and (done or time.monotonic() - saved > SAVE_SECONDS):
                self.save()
                saved = time.monotonic()
            if done:
                return
            self.train_step()


def load_start(network: FMANet, file: Path) -> None:
    """Put the weights of a checkpoint or of a run's `state.pt` into `network`, in place.

    A checkpoint has no training heads; the network's own stay. It may hold a network that
    `network` is a larger form of (`growth.py`).

    Raises:
        ValueError: it holds another network.
    """
    if file.suffix == ".pt":
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["ema"])
        return
    small = build_network(load_checkpoint(file))
    try:
        grow(network, small)
    except ValueError as error:
        raise ValueError(f"{file} holds another network than the settings describe") from error


def work(rank: int, job: Job) -> None:
    """Run one worker's process."""
    deadline = time.monotonic() + job.stop_after
    asked = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    if job.device == "cpu":
        keep_freed_memory()
    if job.workers > 1:
        # One thread each: two processes of one thread wait for each other once a step, one
        # process of two threads waits at every operation.
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=f"file://{job.run}/meeting", rank=rank, world_size=job.workers
        )
    training = Training(job, rank)
    examples: list[Example] = []
    if job.validation is not None:
        examples += rendered_examples(Pool(job.validation), job.settings.rendered_windows)
    for folder in job.real:
        examples += real_examples(folder, job.settings.real_windows, job.settings.real_size)
    training.run(examples, lambda: asked.is_set() or time.monotonic() > deadline)
    if job.workers > 1:
        # Threads of the group end with it, and it with the last that knows it; a process that ends
        # before them is aborted.
        dist.barrier()
        del training
        gc.collect()
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("settings", type=Path, help="the model's TOML file")
    parser.add_argument("--pool", type=Path, required=True, help="rendered windows")
    parser.add_argument("--run", type=Path, required=True, help="folder for state and log")
    parser.add_argument("--validation", type=Path, help="rendered windows to validate on")
    parser.add_argument("--real", type=Path, action="append", default=[], help="real clips")
    parser.add_argument(
        "--start", type=Path, help="checkpoint, or state.pt of a run, to start from"
    )
    parser.add_argument(
        "--stop-after", type=float, default=math.inf, help="seconds until it saves and stops"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="CPU processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--graph", action="store_true", help="launch a step as one CUDA graph")
    args = parser.parse_args()
    if args.graph and not args.device.startswith("cuda"):
        parser.error("--graph needs --device cuda")
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "meeting").unlink(missing_ok=True)
    job = Job(
        Settings.read(args.settings),
        args.run.resolve(),
        args.pool,
        args.validation,
        tuple(args.real),
        args.device,
        args.workers,
        args.compile,
        args.graph,
        args.start,
        args.stop_after,
    )
    if job.workers == 1:
        work(0, job)
    else:
        torch.multiprocessing.spawn(work, (job,), nprocs=job.workers)


if __name__ == "__main__":
    main()
