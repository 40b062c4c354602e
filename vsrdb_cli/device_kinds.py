"""The kinds of devices that the network runs on: the one list of their names.

It needs no torch. To add a kind, add it here; what torch says of a device is `backends/devices.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """One kind of GPU."""

    name: str
    """torch's; with ":N" after it where a machine can have several."""
    gpu: str
    """What people call it."""
    install: str
    """What makes torch find one."""
    several: bool = True
    """Whether a machine can have several."""
    low_precision: str = "float16"
    """The precision that is faster than float32 there."""
    counts_memory: bool = True
    """Whether torch knows how much is in use, and was at most."""


# In the order in which "auto" looks for them, before the CPU.
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
    )
}

# For `--help`, and for hints.
METAVAR = "|".join(["auto", "cpu", *(k.name + "[:N]" * k.several for k in KINDS.values())])
HOW_TO_NAME = "use auto, cpu, cuda, cuda:0 (the first GPU), " + " or ".join(list(KINDS)[1:])

_NAME = re.compile(rf"auto|cpu|({'|'.join(KINDS)})(:\d+)?")


def is_device_name(text: str) -> bool:
    """Return whether a text is "auto" or could name a device of some machine."""
    return bool(_NAME.fullmatch(text))


def with_number(name: str) -> str:
    """Return the one name of a device: "cuda" is "cuda:0"."""
    return f"{name}:0" if name in KINDS and KINDS[name].several else name


def kind_of(name: str) -> DeviceKind | None:
    """Return the kind of a GPU by its name, as "cuda:0"; None of the CPU and anything else."""
    return KINDS.get(name.partition(":")[0])
