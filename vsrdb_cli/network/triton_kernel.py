"""A Triton kernel beside what computes the same without it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.runtime import is_configured
from vsrdb_cli.user_folders import cache_folder

_INSTALL = "install gcc and Python's headers (python3-dev)"
_TOLERANCE = 0.02  # of the result's length: a few roundings of bfloat16


class Kernel:
    """A Triton kernel, and PyTorch's operators where it does not compile or is wrong.

    Args:
        what: it computes, for the warning.
        launch: fills its last operand; imports Triton, which comes with torch's CUDA builds.
        reference: makes the same from the other operands.
        compared: whether the first result on a device is compared with the reference.
    """

    def __init__(
        self,
        what: str,
        launch: Callable[..., None],
        reference: Callable[..., Tensor],
        *,
        compared: bool,
    ) -> None:
        self._what, self._launch, self._reference = what, launch, reference
        self._compared = compared
        self.works: dict[torch.device, bool] = {}

    def __call__(self, *operands: Any, out: Tensor) -> Tensor:
        """`out`, filled, or the reference's tensor; why it is the latter is warned of once."""
        if out.device not in self.works:
            trouble = self._trouble(*operands, out=out)
            self.works[out.device] = trouble is None
            if trouble is not None:
                message = f"on this GPU {self._what} takes a slower way: {trouble}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        elif self.works[out.device]:
            self._launch(*operands, out)
        return out if self.works[out.device] else self._reference(*operands)

    def _trouble(self, *operands: Any, out: Tensor) -> str | None:
        """Fill `out` for the first time on its device; what is wrong, if anything is."""
        if is_configured() and cache_folder() is None and "TRITON_CACHE_DIR" not in os.environ:
            # For a user without a home Triton would make a folder called ~ where it stands.
            os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="vsrdb-")
        try:
            self._launch(*operands, out)
        except (ImportError, subprocess.CalledProcessError) as error:
            return f"its kernel cannot be compiled ({error}); {_INSTALL}"
        except RuntimeError as error:
            if "C compiler" in str(error):
                return f"its kernel cannot be compiled ({error}); {_INSTALL}"
            if "PassManager" in str(error):
                return f"Triton has no kernel for it ({error})"
            raise
        except Exception as error:
            return f"Triton has no kernel for it ({error})"
        if not self._compared:
            return None
        expected = self._reference(*operands).float()
        off = float((out.float() - expected).norm() / expected.norm().clamp_min(1e-12))
        # Not the other way round: what is no number is no agreement.
        return None if off <= _TOLERANCE else f"its kernel is wrong (off by {off:.2g})"
