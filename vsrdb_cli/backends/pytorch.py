"""The torch runner: FMA-Net on the CPU or a CUDA GPU, in float32, float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsrdb_cli.backends import parity, remembered
from vsrdb_cli.backends.allocator import keep_freed_memory
from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.fmanet import FMANet, FrameFeatures
from vsrdb_cli.network.memory import feature_bytes, restoring_bytes

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchRunner:
    """A checkpoint run by torch.

    Args:
        checkpoint: proven weights.
        device: "auto", "cpu", "cuda" or "cuda:N"; auto is the GPU where there is one.
        precision: "auto", "float32", "float16" or "bfloat16"; auto is float16 on a GPU and
            bfloat16 on a CPU that computes in it, each only if it agrees with float32 here.

    Float32 means float32: in this process cuDNN and cuBLAS no longer round to TF32's 10 bits.

    Raises:
        BackendError: the device is not there, or does not compute in that precision.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str) -> None:
        from vsrdb_cli.checkpoints.checkpoint import build_network

        self._device = _find_device(device)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if self._device.type == "cpu":
            keep_freed_memory()
        network = build_network(checkpoint).eval().requires_grad_(False)
        network = network.to(self._device)
        self._network, chosen = _in_precision(network, self._device, precision, checkpoint.sha256)
        self.info = RunnerInfo(
            checkpoint.name, checkpoint.sha256, "torch", str(self._device), chosen
        )

    @property
    def length(self) -> int:
        return self._network.config.num_seq

    @property
    def scale(self) -> int:
        return self._network.config.scale

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> FrameFeatures:
        return self._network.encode(picture.to(self._device))

    @torch.inference_mode()
    def restore_on_device(self, window: Sequence[FrameFeatures]) -> Tensor:
        return self._network.restore(window)

    def restore(self, window: Sequence[FrameFeatures]) -> Tensor:
        return self.restore_on_device(window).cpu()

    def memory(self, height: int, width: int) -> Memory:
        return estimate_memory(self._network, height, width)


# What is freed and kept for the next tensors never fits them exactly.
_GAPS = 1.08


def estimate_memory(network: FMANet, height: int, width: int) -> Memory:
    """What restoring pictures of this size takes, from the tensors alive at each step's widest.

    `tests/benchmarks/memory.py` compares it with measured peaks.
    """
    size = torch.finfo(network.dtype).bits // 8
    pixels = height * width
    return Memory(
        weights=sum(parameter.numel() for parameter in network.parameters()) * size,
        features=pixels * feature_bytes(network.config, size, picture=size),
        work=round(pixels * restoring_bytes(network.config, size) * _GAPS),
    )


def _find_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BackendError(
            f"there is no device called '{name}'", hint="use --device auto, cpu, cuda or cuda:0"
        ) from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise BackendError(
                f"torch {torch.__version__} finds no CUDA GPU for '{name}'",
                hint="use --device cpu, or install a CUDA build of torch and a GPU driver",
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise BackendError(
                f"there is no '{name}': this machine has {torch.cuda.device_count()} GPUs",
                hint="the first GPU is cuda:0",
            )
    elif device.type != "cpu":
        raise BackendError(
            f"vsrdb does not run on '{name}'", hint="use --device auto, cpu, cuda or cuda:0"
        )
    return device


def _in_precision(
    network: FMANet, device: torch.device, name: str, sha256: str
) -> tuple[FMANet, str]:
    if name != "auto":
        if name == "float16" and device.type == "cpu":
            raise BackendError(
                "float16 is slow and untested on the CPU",
                hint="use --precision float32, or bfloat16 on a CPU that supports it",
            )
        return network.to(PRECISIONS[name]), name
    low = _native_low_precision(device)
    if low is None:
        return network, "float32"
    lowered = _copy(network).to(PRECISIONS[low])

    def agrees() -> bool:
        error = _test_scene_restored(lowered) - _test_scene_restored(network)
        return parity.psnr(error) >= parity.AGREEMENT_DB  # a NaN does not pass

    if remembered.agreement(sha256, device, low, agrees):
        return lowered, low
    return network, "float32"


def _native_low_precision(device: torch.device) -> str | None:
    """The lower precision this device computes in faster than float32, if any."""
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if cpu_computes_bfloat16() else None


def cpu_computes_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16."""
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or torch.cpu._is_avx512_bf16_supported()


def _copy(network: FMANet) -> FMANet:
    copy = FMANet(network.config, training_heads=network.training_heads)
    copy.load_state_dict(network.state_dict())
    device = next(network.parameters()).device
    return copy.to(device).eval().requires_grad_(False)


@torch.inference_mode()
def _test_scene_restored(network: FMANet) -> Tensor:
    """As videos are restored, in two steps and by the device's own kernels; clamped."""
    device = next(network.parameters()).device
    frames = parity.scene(network.config.num_seq, 64, 80)
    restored = network.restore([network.encode(frame.to(device)) for frame in frames])
    return restored.clamp(0, 1)
