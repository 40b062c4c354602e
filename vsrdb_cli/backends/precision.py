"""The precision a network computes in: asked for, or the fastest that agrees with float32."""

from __future__ import annotations

import copy
import platform

import torch
from torch import Tensor

from vsrdb_cli import __version__
from vsrdb_cli.backends import parity
from vsrdb_cli.backends.remembered import Remembered
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.fmanet import FMANet

PRECISIONS = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def in_precision(network: FMANet, sha256: str, name: str) -> tuple[FMANet, str]:
    """The network in a precision, and what that is called.

    Args:
        network: float32, on its device.
        sha256: of its checkpoint; by it the answer of "auto", which takes a second, is remembered.
        name: "float32", "float16", "bfloat16" or "auto".

    Raises:
        BackendError: the device does not compute in it.
    """
    device = next(network.parameters()).device
    if name != "auto":
        if name == "float16" and device.type == "cpu":
            raise BackendError(
                "float16 is slow and untested on the CPU",
                hint="use --precision float32, or bfloat16 on a CPU that supports it",
            )
        return network.to(PRECISIONS[name]), name
    low = native_low_precision(device)
    if low is None:
        return network, "float32"
    # Not of a GPU, whose kernels depend on a compiler that may come and go.
    memory = _memory(sha256, low) if device.type == "cpu" else None
    agrees = memory and memory.answer()
    if agrees is False:
        return network, "float32"
    lowered = copy.deepcopy(network).to(PRECISIONS[low])
    if agrees is None:
        error = _test_scene_restored(lowered) - _test_scene_restored(network)
        agrees = parity.psnr(error) >= parity.AGREEMENT_DB  # a NaN does not pass
        if memory:
            memory.keep(agrees)
    return (lowered, low) if agrees else (network, "float32")


def native_low_precision(device: torch.device) -> str | None:
    """The lower precision this device computes in faster than float32, if any."""
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if device.type == "cpu" and cpu_computes_bfloat16() else None


def cpu_computes_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16."""
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or torch.cpu._is_avx512_bf16_supported()


def _memory(sha256: str, precision: str) -> Remembered:
    """Whether a precision agreed with float32 for these weights on this machine's CPU."""
    machine = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}"
    versions = f"torch {torch.__version__} vsrdb {__version__}"
    return Remembered("precision.json", f"{sha256} {precision} {machine} {versions}")


@torch.inference_mode()
def _test_scene_restored(network: FMANet) -> Tensor:
    """As videos are restored, in two steps and by the device's own kernels; clamped."""
    network.prepare()
    device = next(network.parameters()).device
    frames = parity.scene(network.config.num_seq, 64, 80)
    restored = network.restore([network.encode(frame.to(device)) for frame in frames])
    return restored.clamp(0, 1)
