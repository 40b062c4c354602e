"""Read a model's recipe from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from recipe.losses import LossWeights, Subject

from vsrdb_cli.network.config import FMANetConfig

Optimizer = Literal["adam", "muon"]


@dataclass(frozen=True)
class Phase:
    """From `start` (part of the run) on: `batch` patches of `size` LR pixels on every worker.

    Of the network, `learns` "motion" (Net^D's flows alone) or "everything".
    """

    start: float
    size: int
    batch: int
    learns: Subject = "everything"


@dataclass(frozen=True)
class Settings:
    """How one model is trained; `revision`, `licence` and `origin` are written into its checkpoint.

    `optimizer`: "adam", or "muon" for all weights that mix channels and Adam for the rest.

    The run ends when it has seen `windows`; its progress, 0 to 1, drives the phases and the
    learning rate (warm-up, then cosine down to `final_rate` times the peak).
    """

    name: str
    revision: str
    licence: str
    origin: str
    network: FMANetConfig
    losses: LossWeights
    phases: tuple[Phase, ...]
    rate: float
    windows: int
    final_rate: float = 0.01
    warmup_steps: int = 50
    optimizer: Optimizer = "adam"
    gradient_norm: float = 1.0
    ema: float = 0.998
    seed: int = 0
    validate_windows: int = 2000
    rendered_windows: int = 48
    real_windows: int = 2
    real_size: tuple[int, int] = (96, 128)

    def __post_init__(self) -> None:
        if not self.phases or self.phases[0].start != 0:
            raise ValueError("the first phase must start at 0")
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(f"optimizer {self.optimizer!r}, not one of {get_args(Optimizer)}")
        for phase in self.phases:
            if phase.learns not in get_args(Subject):
                raise ValueError(f"a phase learns {phase.learns!r}, not one of {get_args(Subject)}")

    @classmethod
    def read(cls, file: Path) -> Settings:
        values: dict[str, Any] = tomllib.loads(file.read_text())
        return cls(
            network=FMANetConfig.from_dict(values.pop("network")),
            losses=LossWeights(**values.pop("losses")),
            phases=tuple(Phase(**entry) for entry in values.pop("phases")),
            real_size=tuple(values.pop("real_size", cls.real_size)),
            **values,
        )

    def phase_at(self, progress: float) -> Phase:
        return [phase for phase in self.phases if phase.start <= progress][-1]
