"""Train one model: `python -m recipe.train fmanet-xs.toml --pool POOL --run RUN`.

RUN holds `state.pt` (everything needed to go on; the same command resumes) and `log.jsonl`.
On a CPU `--workers 2` computes with two processes of one thread each, which lose less than one
process of two threads when the machine has other work. A batch is drawn from seed, step and worker,
so that a resumed run sees what the unbroken one would have seen.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from recipe.initial import PICTURE_MASK_LOGIT, hand_flows_on, initialise
from recipe.losses import motion_loss, motion_of_clip, total_loss
from recipe.pool import Batch, Pool
from recipe.settings import Settings
from recipe.validation import Example, real_examples, rendered_examples, score
from torch import Tensor, nn

from vsrdb_cli.backends.pytorch import cpu_computes_bfloat16
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network.fmanet import FMANet

SAVE_SECONDS = 120


@dataclass(frozen=True)
class Job:
    """What the command line says."""

    settings: Settings
    run: Path
    pool: Path
    validation: Path | None
    real: tuple[Path, ...]
    device: str
    workers: int
    compile: bool
    start: Path | None = None


class Training:
    """One worker's share of a run; worker 0 also saves and logs."""

    def __init__(self, job: Job, rank: int = 0) -> None:
        self.job, self.rank, self.settings = job, rank, job.settings
        torch.manual_seed(self.settings.seed)
        network = FMANet(self.settings.network, training_heads=True)
        initialise(network)
        if job.start is not None:
            load_start(network, job.start)
            if self.settings.stage_1 > 0:
                # What handed on no flow for want of one has forgotten how.
                hand_flows_on(network, PICTURE_MASK_LOGIT)
        self.network = network.to(job.device)
        self.ema = copy.deepcopy(self.network)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.settings.rate, betas=(0.9, 0.99)
        )
        self.step, self.seconds = 0, 0.0
        self.sums: dict[str, float] = {}
        self.pool = Pool(job.pool)
        if self.state_file.exists():
            self.load()

    @property
    def state_file(self) -> Path:
        return self.job.run / "state.pt"

    @property
    def progress(self) -> float:
        """Part of the run that is done."""
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        assert self.settings.minutes is not None
        return self.seconds / (60 * self.settings.minutes)

    def rate(self, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        floor = self.settings.final_rate
        warmup = min(1.0, (self.step + 1) / self.settings.warmup_steps)
        return self.settings.rate * warmup * (floor + (1 - floor) * cosine)

    def train_step(self, progress: float) -> None:
        settings = self.settings
        patches = settings.patches_at(progress)
        rng = np.random.default_rng([settings.seed, self.step, self.rank])
        batch = self.pool.sample(rng, patches.batch, patches.size)
        batch = Batch(*(t.to(self.job.device) for t in (batch.clip, batch.sharp_hr, batch.flow)))
        stage = 1 if progress < settings.stage_1 else 2
        self.optimizer.zero_grad(set_to_none=False)
        losses = self.losses(batch, stage)
        losses["total"].backward()
        self._average_gradients()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.gradient_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is not finite at step {self.step}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(progress)
        self.optimizer.step()
        self.step += 1
        # A short memory at first, or the average would remember the start.
        keep = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.ema.parameters()), list(self.network.parameters()), 1 - keep
            )
        for name, value in {**losses, "gradient": norm, "steps": torch.ones(())}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()

    def losses(self, batch: Batch, stage: int) -> dict[str, Tensor]:
        """Loss terms of stage 1 (Net^D's flows alone) or 2 (everything)."""
        network, device = self.network, torch.device(self.job.device)
        low = device.type == "cuda" or cpu_computes_bfloat16()
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            if stage == 1:
                return motion_loss(motion_of_clip(network, batch.clip), batch)
            found = self._restore(batch.clip)
        return total_loss(found, batch, self.settings.losses)

    def _restore(self, clip: Tensor) -> Any:
        function = self.network.restore_clip
        return (torch.compile(function) if self.job.compile else function)(clip)

    def _average_gradients(self) -> None:
        if self.job.workers == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.job.workers
        for gradient, part in zip(
            gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def validate(self, examples: list[Example]) -> dict[str, list[float]]:
        """PSNR of the EMA weights and of bicubic, by set; the workers share the sets."""
        with torch.inference_mode():
            own = {e.name: score(self.ema, e) for e in examples[self.rank :: self.job.workers]}
        parts: list[Any] = [own]
        if self.job.workers > 1:
            parts = [None] * self.job.workers
            dist.all_gather_object(parts, own)
        found = {name: values for part in parts for name, values in part.items()}
        return {e.name: [round(value, 3) for value in found[e.name]] for e in examples}

    def log(self, scores: dict[str, list[float]]) -> None:
        count = max(self.sums.pop("steps", 0.0), 1.0)
        entry = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "progress": round(self.progress, 4),
            "rate": float(f"{self.rate(self.progress):.3g}"),
            "losses": {name: float(f"{value / count:.4g}") for name, value in self.sums.items()},
            "psnr": scores,
        }
        with (self.job.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
        }
        partial = self.state_file.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def load(self) -> None:
        state = torch.load(self.state_file, map_location=self.job.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.sums = state["step"], state["seconds"], state["sums"]

    def agree(self, *values: float) -> list[float]:
        """Worker 0's values, on every worker."""
        shared = torch.tensor(values, dtype=torch.float64)
        if self.job.workers > 1:
            dist.broadcast(shared, 0)
        return shared.tolist()

    def run(self, examples: list[Example], stop_at_step: int | None = None) -> None:
        """Train until done (or `stop_at_step`, to go on later)."""
        started, before = time.monotonic(), self.seconds
        saved = validated = self.seconds
        fresh = self.step == 0
        while True:
            self.seconds = before + time.monotonic() - started
            progress, now = self.agree(self.progress, self.seconds)
            done = progress >= 1 or self.step == stop_at_step
            if done or fresh or now - validated > 60 * self.settings.validate_minutes:
                scores = self.validate(examples)
                validated, fresh = now, False
                if self.rank == 0:
                    self.log(scores)
                self.sums = {}
            if self.rank == 0 and (done or now - saved > SAVE_SECONDS):
                self.save()
                saved = now
            if done:
                return
            self.train_step(progress)


def load_start(network: FMANet, file: Path) -> None:
    """Put a checkpoint's weights into `network`; its training heads, which none holds, stay."""
    checkpoint = load_checkpoint(file)
    if checkpoint.config != network.config:
        raise ValueError(f"{file} holds another network than the settings describe")
    missing, unexpected = network.load_state_dict(checkpoint.state, strict=False)
    assert not unexpected
    assert all(".a_conv." in name or ".f_conv." in name for name in missing), missing


def work(rank: int, job: Job) -> None:
    """One worker's process."""
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
    training.run(examples)
    if job.workers > 1:
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
    parser.add_argument("--start", type=Path, help="checkpoint to start from, instead of bicubic")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="CPU processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    args = parser.parse_args()
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
        args.start,
    )
    if job.workers == 1:
        work(0, job)
    else:
        torch.multiprocessing.spawn(work, (job,), nprocs=job.workers)


if __name__ == "__main__":
    main()
