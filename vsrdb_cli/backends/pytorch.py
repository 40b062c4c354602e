"""The torch runner: FMA-Net on the CPU or a GPU, in float32, float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsrdb_cli.backends.cuda_graphs import Recorder, Work, is_wanted
from vsrdb_cli.backends.devices import ACCELERATORS, find_device
from vsrdb_cli.backends.precision import ieee_float32, in_precision
from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.network.features import FrameFeatures
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.layout import Joined
from vsrdb_cli.network.memory import feature_bytes, restoring_bytes
from vsrdb_cli.network.padding import padded
from vsrdb_cli.runtime import tune_cpu

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint


class TorchRunner:
    """A runner for a checkpoint, on torch.

    Args:
        checkpoint: proven weights.
        device: "auto", "cpu", or a GPU by its name in `device_kinds`; auto is the GPU, if any.
        precision: "auto", "float32", "float16" or "bfloat16"; auto is float16 on a GPU and
            bfloat16 on a CPU that computes in it, each only if it agrees with float32 here.

    Float32 means float32: cuDNN and cuBLAS never round to TF32's 10 bits here.

    Raises:
        BackendError: the device does not exist, or does not compute in that precision.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str) -> None:
        from vsrdb_cli.checkpoints.checkpoint import build_network

        self._device = find_device(device)
        if self._device.type == "cpu":
            tune_cpu()
        network = build_network(checkpoint).eval().requires_grad_(False)
        network = network.to(self._device)
        if self._device.type == "cuda":  # a CPU takes longer for a wider network
            network = padded(network)
        with ieee_float32(self._device):
            self._network, chosen = in_precision(network, checkpoint.sha256, precision)
        self._network.prepare()
        self._recorder = Recorder(self._device) if is_wanted(self._device) else None
        self.info = RunnerInfo(
            checkpoint.name,
            checkpoint.sha256,
            "torch",
            str(self._device),
            chosen,
            hardware="" if self._device.type == "cpu" else ACCELERATORS.describe(str(self._device)),
        )

    @property
    def length(self) -> int:
        return self._network.config.num_seq

    @property
    def scale(self) -> int:
        return self._network.config.scale

    @property
    def recordings(self) -> int:
        """The number of CUDA graphs that are kept."""
        return 0 if self._recorder is None else self._recorder.count

    def takes(self, height: int, width: int) -> bool:  # noqa: ARG002
        return True

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> FrameFeatures:
        if self._device.type == "cuda" and not picture.is_cuda:
            # From pinned memory it is copied behind what the GPU still does, without waiting.
            picture = picture.pin_memory().to(self._device, non_blocking=True)
        return FrameFeatures.of(self._do("encode", self._encode, [[picture.to(self._device)]]))

    @torch.inference_mode()
    def restore_on_device(self, window: Sequence[FrameFeatures]) -> Tensor:
        frames = [features.tensors() for features in window]
        return self._do("restore", self._restore, frames)[0]

    def restore(self, window: Sequence[FrameFeatures]) -> Tensor:
        return self.restore_on_device(window).cpu()

    def memory(self, height: int, width: int) -> Memory:
        estimate = estimate_memory(self._network, height, width)
        if self._recorder is None:
            return estimate
        # The recordings' own: a window's features to restore, and those of the frame encoded.
        recorded = (self.length + 1) * estimate.features
        return replace(estimate, work=estimate.work + recorded)

    def _do(self, name: str, work: Work, frames: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
        with ieee_float32(self._device):
            if self._recorder is None:
                return work(Joined(frames))
            return self._recorder(name, work, frames)

    def _encode(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        (picture,) = inputs
        return self._network.encode(picture).tensors()

    def _restore(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return [self._network.restore_joined(FrameFeatures.of(inputs))]


# What is freed and kept for the next tensors never fits them exactly.
_GAPS = 1.15


def estimate_memory(network: FMANet, height: int, width: int) -> Memory:
    """Estimate what restoring pictures of this size takes, by the tensors alive at the peak.

    `tests/benchmarks/memory.py` compares it with measured peaks.
    """
    size = torch.finfo(network.dtype).bits // 8
    pixels = height * width
    on_cpu = next(network.parameters()).device.type == "cpu"
    return Memory(
        weights=sum(parameter.numel() for parameter in network.parameters()) * size,
        features=pixels * feature_bytes(network.config, size, picture=size),
        work=round(restoring_bytes(network.config, size, pixels, by_strips=on_cpu) * _GAPS),
    )
