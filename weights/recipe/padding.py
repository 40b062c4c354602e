"""Pad by replication in a way that `torch.compile` can differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_by_concatenation() -> None:
    """Make `F.pad(mode="replicate")` of pictures (..., H, W) concatenate, in this process.

    Inductor takes the gradient of replicate padding to be contiguous where it is channels last
    (PyTorch 2.11 and 2.13).
    """
    plain = F.pad

    def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
        if mode != "replicate":
            return plain(x, pad, mode, value)
        left, right, top, bottom = pad
        x = torch.cat([_repeated(x[..., :1], left, -1), x, _repeated(x[..., -1:], right, -1)], -1)
        above, below = _repeated(x[..., :1, :], top, -2), _repeated(x[..., -1:, :], bottom, -2)
        return torch.cat([above, x, below], -2)

    F.pad = pad


def _repeated(edge: Tensor, times: int, dim: int) -> Tensor:
    shape = list(edge.shape)
    shape[dim] = times
    return edge.expand(shape)
