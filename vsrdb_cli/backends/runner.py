"""The interface of every backend: a checkpoint made callable, in two steps.

`encode` runs once per frame, `restore` once per window of T frames; the caller holds features and
never looks into them. Tiling, windows and the pipeline know nothing else of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

# What one frame contributes to the windows it is in; opaque outside its runner.
Features = Any


@dataclass(frozen=True)
class RunnerInfo:
    """The parts in use by a runner, not merely those asked for."""

    weights: str
    """Name of the checkpoint."""
    sha256: str
    """SHA-256 of its file; "" for a network without parameters."""
    backend: str
    """ "torch", "onnxruntime", "tensorrt" or "tensorrt-rtx"."""
    device: str
    """The device, as torch names it."""
    precision: str
    """ "float32", "float16" or "bfloat16"."""
    hardware: str = ""
    """What the device is, as "Radeon RX 7900 XTX, ROCm 6.4"; "" of the CPU."""
    nodes: str = ""
    """Where a graph's nodes run, if not all run on the device: "923 on the GPU, 37 on the CPU"."""

    @property
    def facts(self) -> dict[str, str]:
        """The facts that results depend on, without the device: text by the names users know."""
        weights = f"sha256 {self.sha256[:16]}" if self.sha256 else self.weights
        return {"weights": weights, "backend": self.backend, "precision": self.precision}

    def __str__(self) -> str:
        hardware = f" ({self.hardware})" if self.hardware else ""
        return f"{self.weights} · {self.backend} {self.device}{hardware} {self.precision}"


@dataclass(frozen=True)
class Memory:
    """Bytes that a runner takes."""

    weights: int
    """Taken in any case."""
    features: int
    """Held for each frame."""
    work: int
    """Peak of one step, on top of what is held."""

    def total(self, frames: int) -> int:
        """Add up the peak with the features of `frames` frames held."""
        return self.weights + frames * self.features + self.work


class Runner(Protocol):
    """A network ready to run on pictures of every size that it takes."""

    @property
    def info(self) -> RunnerInfo: ...

    @property
    def length(self) -> int:
        """T, frames of one window; odd."""

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel along each axis."""

    def takes(self, height: int, width: int) -> bool:
        """Return whether it runs on pictures of this size; an engine takes only some."""

    def encode(self, picture: Tensor) -> Features:
        """Compute the features of one frame: (1, 3, H, W), RGB float32, 0 to 1, on the CPU."""

    def restore(self, window: Sequence[Features]) -> Tensor:
        """Restore the centre of T frames: (1, 3, s H, s W) float32, unclamped, on the CPU."""

    def restore_on_device(self, window: Sequence[Features]) -> Tensor:
        """Restore like `restore`; the result may be on the runner's device, in any float type."""

    def memory(self, height: int, width: int) -> Memory:
        """Estimate what restoring pictures of this size takes, on the runner's device."""
