"""The precision a network computes in: asked for, or the fastest that agrees with float32."""

from __future__ import annotations

import copy
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli import __version__
from vsrdb_cli.backends import parity
from vsrdb_cli.backends.answer_cache import CachedAnswer
from vsrdb_cli.device_kinds import kind_of
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.fmanet import FMANet

PRECISIONS = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


_tf32_lock = threading.Lock()
_tf32_before: list[ExitStack] = []  # one for each call in progress; the first restores


@contextmanager
def ieee_float32(device: torch.device) -> Iterator[None]:
    """Keep cuDNN and cuBLAS from rounding float32 to TF32, which torch lets cuDNN do by default.

    The setting is the whole process's: of calls that overlap, the last restores the program's own.
    """
    if device.type != "cuda":
        yield
        return
    with _tf32_lock:
        _tf32_before.append(ExitStack() if _tf32_before else _turn_tf32_off())
    try:
        yield
    finally:
        with _tf32_lock:
            if len(_tf32_before) > 1:
                _tf32_before.pop()
            else:
                _tf32_before.pop().close()


def _turn_tf32_off() -> ExitStack:
    cudnn: Any = torch.backends.cudnn  # its type does not show the newer flags
    matmul = torch.backends.cuda.matmul
    before = ExitStack()
    for operation in (cudnn.conv, cudnn.rnn, matmul):
        before.callback(setattr, operation, "fp32_precision", operation.fp32_precision)
    # Older and newer flags that contradict each other cannot be read: both are set. The older one
    # may not be readable now, if the program has set the newer ones.
    with suppress(RuntimeError):
        before.callback(setattr, cudnn, "allow_tf32", cudnn.allow_tf32)
    cudnn.allow_tf32 = False
    cudnn.conv.fp32_precision = matmul.fp32_precision = "ieee"
    return before


def native_low_precision(device: torch.device) -> str | None:
    """Return the lower precision that is faster than float32 on this device, if any."""
    if kind_of(device.type):
        return "float16"
    return "bfloat16" if device.type == "cpu" and cpu_computes_bfloat16() else None


def cpu_computes_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16."""
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or torch.cpu._is_avx512_bf16_supported()


def in_precision(
    network: FMANet,
    sha256: str,
    name: str,
    *,
    low_precision: Callable[[torch.device], str | None] = native_low_precision,
) -> tuple[FMANet, str]:
    """Convert a network to a precision; return it and the precision's name.

    Args:
        network: float32, on its device.
        sha256: of its checkpoint; by it the answer of "auto", which takes a second, is remembered.
        name: "float32", "float16", "bfloat16" or "auto".
        low_precision: names the lower precision that "auto" tries on a device, if any.

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
    low = low_precision(device)
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


def _memory(sha256: str, precision: str) -> CachedAnswer[bool]:
    """Look up whether a precision agreed with float32 for these weights on this CPU."""
    machine = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}"
    versions = f"torch {torch.__version__} vsrdb {__version__}"
    return CachedAnswer("precision.json", f"{sha256} {precision} {machine} {versions}", bool)


@torch.inference_mode()
def _test_scene_restored(network: FMANet) -> Tensor:
    """Restore the test scene as videos are, in two steps, by the device's own kernels; clamped."""
    network.prepare()
    device = next(network.parameters()).device
    frames = parity.scene(network.config.num_seq, 64, 80)
    restored = network.restore([network.encode(frame.to(device)) for frame in frames])
    return restored.clamp(0, 1)
