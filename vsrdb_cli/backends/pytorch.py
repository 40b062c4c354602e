"""The torch runner: FMA-Net on the CPU or a CUDA GPU, in float32, float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsrdb_cli.backends.allocator import keep_freed_memory
from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.fmanet import FMANet, FrameFeatures

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# A lower precision is chosen unasked only if it agrees with float32 this well on a test picture.
AGREEMENT_DB = 50.0


class TorchRunner:
    """A checkpoint run by torch.

    Args:
        checkpoint: proven weights.
        device: "auto", "cpu", "cuda" or "cuda:N"; auto is the GPU where there is one.
        precision: "auto", "float32", "float16" or "bfloat16"; auto is float16 on a GPU and
            bfloat16 on a CPU that computes in it, each only if it agrees with float32 here.

    Raises:
        BackendError: the device is not there, or does not compute in that precision.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str) -> None:
        from vsrdb_cli.checkpoints.checkpoint import build_network

        self._device = _find_device(device)
        if self._device.type == "cpu":
            keep_freed_memory()
        network = build_network(checkpoint).eval().requires_grad_(False)
        network = network.to(self._device)
        self._network, chosen = _in_precision(network, self._device, precision)
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
    def restore(self, window: Sequence[FrameFeatures]) -> Tensor:
        return self._network.restore(window).cpu()

    def memory(self, height: int, width: int) -> Memory:
        return estimate_memory(self._network, height, width)


# What is freed and kept for the next tensors never fits them exactly.
_GAPS = 1.08


def estimate_memory(network: FMANet, height: int, width: int) -> Memory:
    """What restoring pictures of this size takes, from the tensors alive at each step's widest.

    Counted in numbers per LR pixel; `tests/benchmarks/memory.py` compares it with measured peaks.
    """
    config = network.config
    channels, length = config.dim, config.num_seq
    taps, subpixels = config.us_kernel_size**2, config.scale**2
    size = torch.finfo(network.dtype).bits // 8
    features = 2 * (config.num_FRMA + 1) * channels + config.in_channels
    # The features of a window are laid side by side; beside them is the wider of two steps: K^D
    # and what Net^R makes of it, or K^R and its filtering, which is done in float32.
    degradation = (length * config.ds_kernel_size**2 + 17 * channels) * size
    kernels = length * subpixels * taps
    patches = 4 * length * taps + 4 * 4 * subpixels
    filtering = kernels * (size if size == 4 else size + 4) + patches * 4
    outputs = 4 * subpixels * 3 * 4
    pixels = height * width
    return Memory(
        weights=sum(parameter.numel() for parameter in network.parameters()) * size,
        features=pixels * features * size,
        work=round(
            pixels * (length * features * size + max(degradation, filtering) + outputs) * _GAPS
        ),
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
                f"'{name}' was asked for, but torch {torch.__version__} finds no CUDA GPU",
                hint="use --device cpu, or install a CUDA build of torch and a driver",
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise BackendError(
                f"'{name}' was asked for, but there are {torch.cuda.device_count()} GPUs",
                hint="GPUs are counted from cuda:0",
            )
    elif device.type != "cpu":
        raise BackendError(
            f"'{name}' is no device vsrdb runs on", hint="use --device auto, cpu, cuda or cuda:0"
        )
    return device


def _in_precision(network: FMANet, device: torch.device, name: str) -> tuple[FMANet, str]:
    if name != "auto":
        if name == "float16" and device.type == "cpu":
            raise BackendError(
                "float16 is slow and not proven on the CPU",
                hint="use --precision float32, or bfloat16 on a CPU that computes in it",
            )
        return network.to(PRECISIONS[name]), name
    low = _native_low_precision(device)
    if low is None:
        return network, "float32"
    full = _test_picture_restored(network)
    lowered = _copy(network).to(PRECISIONS[low])
    mean_square = (_test_picture_restored(lowered) - full).square().mean().item()
    if mean_square <= 10 ** (-AGREEMENT_DB / 10):  # a NaN does not pass
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
def _test_picture_restored(network: FMANet) -> Tensor:
    """A textured, moving test clip restored, clamped to what is shown."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 10, 12, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    length = network.config.num_seq
    clip = torch.stack([scene[:, :, 0:64, t : t + 80] for t in range(length)], dim=2)
    device = next(network.parameters()).device
    restored: Tensor = network(clip.to(device))
    return restored.clamp(0, 1)
