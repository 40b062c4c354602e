"""One model's recipe: a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.losses import LossWeights

from vsrdb_cli.network.fmanet import FMANetConfig


@dataclass(frozen=True)
class Patches:
    """From `start` (part of the run) on: patches of `size` LR pixels, `batch` on every worker."""

    start: float
    size: int
    batch: int


@dataclass(frozen=True)
class Settings:
    """How one model is trained; `revision`, `licence` and `origin` are written into its checkpoint.

    The run ends after `minutes` of work or `steps`, whichever is given; its progress, 0 to 1,
    drives the learning rate (warm-up, then cosine down to `final_rate` times the peak), the
    patches and the change from stage 1 (Net^D alone, Eq. 8) to stage 2 (Eq. 9) at `stage_1`.
    """

    name: str
    revision: str
    licence: str
    origin: str
    network: FMANetConfig
    losses: LossWeights
    patches: tuple[Patches, ...]
    rate: float
    minutes: float | None = None
    steps: int | None = None
    stage_1: float = 0.0
    final_rate: float = 0.01
    warmup_steps: int = 50
    gradient_norm: float = 1.0
    ema: float = 0.998
    seed: int = 0
    validate_minutes: float = 10.0
    real_windows: int = 2
    real_size: tuple[int, int] = (96, 128)
    rendered_windows: int = 24

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps")
        if not self.patches or self.patches[0].start != 0:
            raise ValueError("the first patches must start at 0")

    @classmethod
    def read(cls, file: Path) -> Settings:
        values: dict[str, Any] = tomllib.loads(file.read_text())
        return cls(
            network=FMANetConfig.from_dict(values.pop("network")),
            losses=LossWeights(**values.pop("losses")),
            patches=tuple(Patches(**entry) for entry in values.pop("patches")),
            real_size=tuple(values.pop("real_size", cls.real_size)),
            **values,
        )

    def patches_at(self, progress: float) -> Patches:
        return [entry for entry in self.patches if entry.start <= progress][-1]
