"""Find TensorRT and the GPU, before anything of either is loaded."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.backends.engine_files import Place
from vsrdb_cli.errors import BackendError

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


def find_place(flavour: str, device: str = "cuda") -> Place:
    """Find the library and the GPU of this machine.

    Raises:
        BackendError: there is no package, or (TensorRT) no GPU; raised before any of its objects
            is made, because they end the process if there is none.
    """
    if flavour == "tensorrt" and not ACCELERATORS.are_nvidia:
        raise BackendError(
            "TensorRT needs an NVIDIA GPU, and torch finds none",
            hint="use a machine with one",
        )
    module = import_library(flavour)
    if flavour == "tensorrt-rtx":
        return Place(flavour, module.__version__, "any", "any")
    major, minor = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    return Place(flavour, module.__version__, name, f"{major}.{minor}")


def import_library(flavour: str) -> Any:
    """Import the Python module of a flavour; raise BackendError, naming the extra, if it fails."""
    try:
        return importlib.import_module(MODULES[flavour])
    except ImportError as error:  # also a missing libnvinfer.so
        raise BackendError(
            f"{flavour} is not installed, or does not load: {error}",
            hint=f"pip install 'vsrdb[{flavour}]'",
        ) from None


def require_gpu(flavour: str) -> None:
    """Raise BackendError if torch finds no NVIDIA GPU: TensorRT's runtimes crash without one."""
    if not ACCELERATORS.are_nvidia:
        raise BackendError(
            f"the backend {flavour} needs an NVIDIA GPU, and torch {torch.__version__} finds none",
            hint="use --backend torch or onnxruntime",
        )
