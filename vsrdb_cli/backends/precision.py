"""The precision a network computes in: asked for, or the fastest that agrees with float32."""

from __future__ import annotations

import json
import os
import platform
import tempfile

import torch
from torch import Tensor

from vsrdb_cli import __version__
from vsrdb_cli.backends import parity
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.own_folders import cache_folder

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
    memory = _Memory(sha256, low) if device.type == "cpu" else None
    agrees = memory and memory.answer()
    if agrees is False:
        return network, "float32"
    lowered = _copy(network).to(PRECISIONS[low])
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


class _Memory:
    """Whether a precision agreed with float32 for these weights on this machine's CPU.

    A file in the user's cache. One that cannot be read or written is as one that is not there:
    the question is then answered anew.
    """

    def __init__(self, sha256: str, precision: str) -> None:
        machine = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}"
        versions = f"torch {torch.__version__} vsrdb {__version__}"
        cache = cache_folder()
        self._file = cache and cache / "precision.json"
        self._key = f"{sha256} {precision} {machine} {versions}"

    def answer(self) -> bool | None:
        """None where it is not known."""
        found = self._read().get(self._key)
        return found if isinstance(found, bool) else None

    def keep(self, agrees: bool) -> None:
        if self._file is None:
            return
        answers = {**self._read(), self._key: agrees}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._file.parent, delete=False, encoding="utf-8"
            ) as file:
                json.dump(answers, file, indent=1)
            os.replace(file.name, self._file)  # noqa: PTH105 - of two names, one is no Path
        except OSError:
            return

    def _read(self) -> dict[str, object]:
        if self._file is None:
            return {}
        try:
            answers = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}


def _copy(network: FMANet) -> FMANet:
    copy = FMANet(network.config, training_heads=network.training_heads)
    copy.load_state_dict(network.state_dict())
    device = next(network.parameters()).device
    return copy.to(device).eval().requires_grad_(False)


@torch.inference_mode()
def _test_scene_restored(network: FMANet) -> Tensor:
    """As videos are restored, in two steps and by the device's own kernels; clamped."""
    network.prepare()
    device = next(network.parameters()).device
    frames = parity.scene(network.config.num_seq, 64, 80)
    restored = network.restore([network.encode(frame.to(device)) for frame in frames])
    return restored.clamp(0, 1)
