"""Devices, by torch's names, and what torch says of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import torch

from vsrdb_cli.backends.webgpu import WEBGPU, WebGpu
from vsrdb_cli.device_kinds import (
    HOW_TO_NAME,
    KINDS,
    MAKERS,
    DeviceKind,
    is_device_name,
    is_torchs,
    kind_of,
)
from vsrdb_cli.errors import BackendError

# What torch calls the GPUs of each maker, and where Linux lists them.
_KINDS = {"NVIDIA": "cuda", "AMD": "cuda", "Intel": "xpu"}
GPUS = Path("/sys/class/drm")


class Accelerators:
    """The GPUs that torch computes on; a build of torch knows one kind of them.

    Args:
        library: torch, or what answers in its place.
    """

    def __init__(self, library: Any = torch) -> None:
        self.library = library

    @property
    def kind(self) -> DeviceKind | None:
        """The kind that is there; None without a GPU, or where vsrdb does not run on it."""
        found = self.library.accelerator.current_accelerator(check_available=True)
        return None if found is None else KINDS.get(found.type)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all, as "cuda:0"."""
        kind = self.kind
        if kind is None:
            return ()
        if not kind.several:
            return (kind.name,)
        return tuple(f"{kind.name}:{n}" for n in range(self.library.accelerator.device_count()))

    @property
    def platform(self) -> str:
        """The interface that torch reaches them by, with its version: "CUDA 13.0", "Metal"."""
        kind = self.kind
        version = self.library.version
        match kind and kind.name:
            case "cuda" if version.hip:
                return "ROCm " + ".".join(version.hip.split(".")[:2])
            case "cuda":
                return f"CUDA {version.cuda}"
            case "mps":
                return "Metal"
            case name:
                return (name or "").upper()

    @property
    def are_nvidia(self) -> bool:
        """True if they are NVIDIA's; AMD's have the same names in torch."""
        return self.kind is KINDS["cuda"] and not self.library.version.hip

    def describe(self, name: str) -> str:
        """Return what a GPU is, as "NVIDIA H200, CUDA 13.0"."""
        if kind_of(name) is KINDS["mps"]:
            hardware = self.library.backends.mps.get_name()
        else:
            hardware = self._module(name).get_device_name(name)
        return f"{hardware}, {self.platform}"

    def memory(self, name: str) -> tuple[int, int]:
        """Return the bytes of a GPU that are free, and all.

        What torch has freed and kept counts as free, though to the driver it is taken. Also where
        CUDA graphs work: the runner's estimate counts that, and pictures of another size get it
        back.
        """
        module = self._module(name)
        if kind_of(name) is KINDS["mps"]:  # it shares the CPU's
            total = int(module.recommended_max_memory())
            free = total - int(module.current_allocated_memory())
            return max(0, min(free, int(psutil.virtual_memory().available))), total
        try:
            free, total = module.mem_get_info(name)
        except RuntimeError:  # not every driver of Intel's tells
            total = module.get_device_properties(name).total_memory
            free = total - module.memory_reserved(name)
        kept = module.memory_reserved(name) - module.memory_allocated(name)
        return int(free) + int(kept), int(total)

    def synchronize(self, name: str) -> None:
        """Wait until a GPU has done all it was given."""
        self.library.accelerator.synchronize(name)

    def _module(self, name: str) -> Any:
        return getattr(self.library, name.partition(":")[0])


ACCELERATORS = Accelerators()


def find_device(name: str, accelerators: Accelerators = ACCELERATORS) -> torch.device:
    """Find the device called `name`; "auto" is the GPU that torch computes on, else the CPU.

    Raises:
        BackendError: it does not exist, or vsrdb does not run on it.
    """
    here = accelerators.kind
    if name == "auto":
        name = here.name if here else "cpu"
    if not is_device_name(name):
        raise BackendError(f"unknown device '{name}'", hint=HOW_TO_NAME)
    kind = kind_of(name)
    if not is_torchs(name):
        raise BackendError(
            f"torch does not compute on '{name}'", hint="use --backend auto or onnxruntime"
        )
    device = torch.device(name)
    if kind is None:
        return device
    if kind is not here:
        raise BackendError(
            f"torch {torch.__version__} finds no {kind.gpu} for '{name}'",
            hint=f"use --device cpu, or: {kind.install}",
        )
    names = accelerators.names
    if (device.index or 0) >= len(names):
        raise BackendError(
            f"there is no '{name}': this machine has {len(names)} ({', '.join(names)})",
            hint=f"the first GPU is {names[0]}",
        )
    return device


def require_device(
    name: str, accelerators: Accelerators = ACCELERATORS, webgpu: WebGpu = WEBGPU
) -> None:
    """Raise BackendError unless this machine has a device."""
    if is_torchs(name):
        find_device(name, accelerators)
    else:
        webgpu.find(name)


def list_devices(accelerators: Accelerators = ACCELERATORS, webgpu: WebGpu = WEBGPU) -> list[str]:
    """List the names of all devices, the CPU first."""
    return ["cpu", *accelerators.names, *(adapter.name for adapter in webgpu.adapters())]


def unused_gpus(
    accelerators: Accelerators = ACCELERATORS, folder: Path = GPUS
) -> list[tuple[str, str]]:
    """List the GPUs that Linux knows, where torch finds none: the maker, and what to install.

    Args:
        folder: where Linux lists them.
    """
    found: dict[str, str] = {}
    if accelerators.kind is not None:
        return []
    for file in sorted(folder.glob("renderD*/device/vendor")):
        try:
            maker = MAKERS[int(file.read_text(), 16)]
            found[maker] = KINDS[_KINDS[maker]].install
        except (OSError, ValueError, KeyError):
            continue
    return list(found.items())


def advice_on_webgpu(webgpu: WebGpu = WEBGPU) -> str | None:
    """Return the line for a run on the CPU beside a GPU that WebGPU reaches, if there is one."""
    found = next((a for a in webgpu.adapters() if not a.is_software), None)
    if found is None:
        return None
    return f"runs on the CPU, but there is a GPU ({found.hardware}): try --device webgpu"


def cores() -> int:
    """Count the CPU cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(allowed(0)) if allowed else os.cpu_count() or 1
