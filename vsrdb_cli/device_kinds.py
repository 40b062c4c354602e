"""The kinds of devices that the network runs on: the one list of their names.

It needs no torch. To add a kind, add it here; what torch says of a device is `backends/devices.py`,
and what ONNX Runtime says of one is `backends/webgpu.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TORCH, ONNX_RUNTIME = "torch", "onnxruntime"


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """One kind of GPU."""

    name: str
    """The library's; with ":N" after it where a machine can have several."""
    gpu: str
    """What people call it."""
    install: str
    """What makes the library find one."""
    several: bool = True
    """Whether a machine can have several."""
    counts_memory: bool = True
    """Whether the library knows how much is in use, and was at most."""
    library: str = TORCH
    """What computes there."""


# Those of torch in the order in which "auto" looks for them, before the CPU; it takes no other.
KINDS = {
    kind.name: kind
    for kind in (
        DeviceKind(
            "cuda",
            "NVIDIA or AMD GPU",
            "install a CUDA build of torch (NVIDIA) or a ROCm one (AMD), and the GPU's driver",
        ),
        DeviceKind(
            "xpu", "Intel GPU", "install an XPU build of torch and Intel's driver (Level Zero)"
        ),
        DeviceKind(
            "mps",
            "Apple GPU",
            "it needs macOS on Apple silicon",
            several=False,
            counts_memory=False,
        ),
        DeviceKind(
            "webgpu",
            "GPU with Vulkan, D3D12 or Metal",
            "pip install 'vsrdb[webgpu]', and install the GPU's driver",
            counts_memory=False,
            library=ONNX_RUNTIME,
        ),
    )
}

# The makers of GPUs by their PCI numbers, and by those of Arm's and Qualcomm's systems.
MAKERS = {
    0x10DE: "NVIDIA",
    0x1002: "AMD",
    0x8086: "Intel",
    0x106B: "Apple",
    0x13B5: "Arm",
    0x5143: "Qualcomm",
    0x4D4F4351: "Qualcomm",
}

# For `--help`, and for hints.
METAVAR = "|".join(["auto", "cpu", *(k.name + "[:N]" * k.several for k in KINDS.values())])
*_MORE, _LAST = list(KINDS)[1:]
HOW_TO_NAME = f"use auto, cpu, cuda, cuda:0 (the first GPU), {', '.join(_MORE)} or {_LAST}"

# torch takes no leading zero, and holds a number in 8 bits.
_NAME = re.compile(rf"auto|cpu|({'|'.join(KINDS)})(:(0|[1-9][0-9]?))?")


def is_device_name(text: str) -> bool:
    """Return whether a text is "auto" or could name a device of some machine."""
    return bool(_NAME.fullmatch(text))


def with_number(name: str) -> str:
    """Return the one name of a device: "cuda" is "cuda:0"."""
    return f"{name}:0" if name in KINDS and KINDS[name].several else name


def kind_of(name: str) -> DeviceKind | None:
    """Return the kind of a GPU by its name, as "cuda:0"; None of the CPU and anything else."""
    return KINDS.get(name.partition(":")[0])


def is_torchs(name: str) -> bool:
    """Return whether torch computes on the device with this name, not ONNX Runtime alone."""
    kind = kind_of(name)
    return kind is None or kind.library == TORCH
