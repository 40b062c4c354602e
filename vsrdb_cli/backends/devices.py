"""Devices, by torch's names."""

from __future__ import annotations

import os

import torch

from vsrdb_cli.errors import BackendError


def find_device(name: str) -> torch.device:
    """Find the device called `name`; "auto" is the NVIDIA GPU if there is one, else the CPU.

    Raises:
        BackendError: it does not exist, or vsrdb does not run on it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BackendError(
            f"unknown device '{name}'",
            hint="use --device auto, cpu, cuda, cuda:0 or mps",
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
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise BackendError(
                f"torch {torch.__version__} finds no Apple GPU for 'mps'", hint="use --device cpu"
            )
    elif device.type != "cpu":
        raise BackendError(
            f"vsrdb does not run on '{name}'", hint="use --device auto, cpu, cuda, cuda:0 or mps"
        )
    return device


def cores() -> int:
    """Count the CPU cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(allowed(0)) if allowed else os.cpu_count() or 1
