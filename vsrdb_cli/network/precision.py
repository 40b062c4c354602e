"""Keep parts of a computation in float32, whatever surrounds them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def float32_island(operand: Tensor) -> AbstractContextManager[object]:
    """Return a context that keeps products of float32 tensors in float32, even in `torch.autocast`.

    Autocast lowers every matrix product and convolution in its reach, even of tensors made float32
    on purpose. Entered only where it is on: an exported graph would carry the switch along.
    """
    kind = operand.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
