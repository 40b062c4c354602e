"""Arrange the frames of windows: B clips of T frames in one batch.

What is computed frame by frame has the batch index b*T + t; B is the number of clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Join T tensors (B, C, H, W) into (B*T, C, H, W); one is returned as it is."""
    if len(tensors) == 1:
        return tensors[0]
    if tensors[0].shape[0] == 1:
        return torch.cat(list(tensors))
    return torch.stack(list(tensors), dim=1).flatten(0, 1)


class Joined(Sequence[Tensor]):
    """Joins the tensors of T frames, (B, C, H, W) each, when they are asked for.

    All of them side by side would double the memory that the frames' features take.
    """

    def __init__(self, frames: Sequence[Sequence[Tensor]]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Joined([tensors[index] for tensors in self._frames])
        return join([tensors[index] for tensors in self._frames])


def frames_of(joined: Tensor, length: int) -> list[Tensor]:
    """Split (B*T, C, H, W) into T tensors (B, C, H, W), without a copy."""
    if joined.shape[0] == length:
        return list(torch.split(joined, 1))
    return [joined[t::length] for t in range(length)]


def laid_out(weight: Tensor) -> Tensor:
    """Lay out a convolution's weight channels last, as its pictures are; no copy if it is."""
    last = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
    return weight.contiguous(memory_format=last)


def widened(x: Tensor, channels: int) -> Tensor:
    """Widen (N, C, H, W) to (N, channels, H, W) with zeros after its own channels."""
    return x if x.shape[1] == channels else F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def centres(frames: Tensor, length: int) -> Tensor:
    """Take the centre frames, (B, C, H, W), from (B*T, C, H, W)."""
    return frames[length // 2 :: length]


def spread(warped: Tensor, length: int) -> Tensor:
    """Split F_w (B, C, H, W), channel index c*T + t, into (B*T, C/T, H, W)."""
    apart = warped.reshape(warped.shape[0], -1, length, *warped.shape[2:])
    return apart.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def unfold(frames: Tensor, length: int) -> Tensor:
    """Unfold (B*T, C, H, W) to (B, C, T, H, W)."""
    return by_clip(frames, length).transpose(1, 2)


def by_clip(frames: Tensor, length: int) -> Tensor:
    """View (B*T, C, H, W) as (B, T, C, H, W), without a copy."""
    return frames.reshape(-1, length, *frames.shape[1:])


def frames_read(t: int, length: int) -> list[tuple[int, int]]:
    """List the frames that a temporal convolution of 3 reads for frame `t`, each with its tap.

    Frames beyond the ends are zeros: 2 of 9 products for T = 3, left out.
    """
    return [(t + dt - 1, dt) for dt in range(3) if 0 <= t + dt - 1 < length]


def weights_in_time(taps: Sequence[Tensor], length: int) -> list[Tensor]:
    """Put the taps of a temporal convolution side by side for each of `length` frames.

    Args:
        taps: three of (O, C, k, k).

    Returns:
        (O, taps C, k, k) each, for the frames that `frames_read` lists.
    """
    return [
        laid_out(torch.cat([taps[dt] for _, dt in frames_read(t, length)], dim=1))
        for t in range(length)
    ]
