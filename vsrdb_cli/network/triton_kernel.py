"""Run Triton kernels, and PyTorch's operators where a kernel cannot be used."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.network.gpu_errors import is_dead_context
from vsrdb_cli.runtime import is_configured
from vsrdb_cli.user_folders import cache_folder

_INSTALL = "install gcc and Python's headers (python3-dev)"
_TOLERANCE = 0.02  # of a result's length: a few roundings of bfloat16


class Kernel:
    """A Triton kernel, and PyTorch's operators where it does not compile or is wrong.

    Args:
        what: names what is computed, for the warning.
        launch: fills its last operand; imports Triton, which comes with torch's CUDA builds.
        reference: computes the same from the other operands.
        compared: whether the first result of each variant is compared with the reference.
        parts: splits a result into parts to compare one by one: a large one would hide a small one.
        also_filled: returns the tensors among the other operands that are filled too.

    Attributes:
        works: whether the kernel is used, by variant (see `_variant`).
        troubles: the first reason on each device why it is not.
    """

    def __init__(
        self,
        what: str,
        launch: Callable[..., None],
        reference: Callable[..., Tensor],
        *,
        compared: bool,
        parts: Callable[[Tensor], Sequence[Tensor]] = lambda result: [result],
        also_filled: Callable[..., Sequence[Tensor]] = lambda *operands: [],  # noqa: ARG005
    ) -> None:
        self._what, self._launch, self._reference = what, launch, reference
        self._compared, self._parts, self._also_filled = compared, parts, also_filled
        self.troubles: dict[torch.device, str] = {}
        self.works: dict[Hashable, bool] = {}

    def __call__(self, *operands: Any, out: Tensor) -> Tensor:
        """Return `out`, filled, or the reference's tensor, with one warning that says why."""
        variant = _variant(*operands, out)
        if variant not in self.works:
            trouble = self._trouble(*operands, out=out)
            self.works[variant] = trouble is None
            if trouble is not None and out.device not in self.troubles:
                self.troubles[out.device] = trouble
                message = f"on this GPU, {self._what} is slower without its kernel: {trouble}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        elif self.works[variant]:
            self._launch(*operands, out)
        return out if self.works[variant] else self._reference(*operands)

    def _trouble(self, *operands: Any, out: Tensor) -> str | None:
        """Fill `out` by a variant for the first time; return what is wrong, if anything is."""
        if is_configured() and cache_folder() is None and "TRITON_CACHE_DIR" not in os.environ:
            # For a user without a home Triton would make a folder called ~ where it stands.
            os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="vsrdb-")
        try:
            self._launch(*operands, out)
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            # Smaller tiles help against the one, nothing against the other.
            if "out of memory" in said.lower() or is_dead_context(error):
                raise
            if isinstance(error, ImportError | subprocess.CalledProcessError) or (
                "C compiler" in said
            ):
                return f"its kernel cannot be compiled ({said}); {_INSTALL}"
            return f"Triton has no kernel for it ({said or type(error).__name__})"
        return self._difference(*operands, out=out) if self._compared else None

    def _difference(self, *operands: Any, out: Tensor) -> str | None:
        """Return what is wrong with a filled `out`, if anything is."""
        also_filled = self._also_filled(*operands)
        results = [*self._parts(out), *(tensor.clone() for tensor in also_filled)]
        expected = [*self._parts(self._reference(*operands)), *also_filled]
        for found, wanted in zip(results, expected, strict=True):
            length = wanted.float().norm().clamp_min(1e-12)
            off = float((found.float() - wanted.float()).norm() / length)
            if not off <= _TOLERANCE:  # so that a NaN is no agreement
                return f"its kernel is wrong (off by {off:.2g})"
        return None


def _variant(*operands: Any) -> Hashable:
    """Return all that a kernel is compiled for: devices, dtypes, channels, layouts and numbers."""
    return tuple(_kind(operand) for operand in operands)


def _kind(operand: Any) -> Hashable:
    if isinstance(operand, list | tuple):
        return _variant(*operand)
    if isinstance(operand, Tensor):
        last = operand.stride()[1:2] == (1,)
        return operand.device, operand.dtype, operand.shape[1:2], last
    number: Hashable = operand
    return number
