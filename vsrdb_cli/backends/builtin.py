"""Networks without parameters: `nearest` and `bicubic`.

They go through the same windows, tiles and pipeline as FMA-Net: `nearest` proves everything around
the network, `bicubic` is what a restoration is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.allocator import keep_freed_memory
from vsrdb_cli.backends.runner import Memory, RunnerInfo

_BLOCK = 16  # LR pixels at a time
_REACH = 2  # how far the kernel sees, in LR pixels


def nearest(picture: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, s H, s W): every pixel repeated."""
    return F.interpolate(picture, scale_factor=scale, mode="nearest")


def bicubic(picture: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, s H, s W), Keys' kernel with a = -1/2, as MATLAB and Pillow have it.

    Two products with banded matrices, of which only blocks along the diagonal are multiplied:
    half the time of torch's own interpolation, whose numbers these are to within 1e-6.
    """
    batch, channels, height, width = picture.shape
    tall = picture.new_empty(batch * channels, scale * height, width)
    for plane, enlarged in zip(picture.flatten(0, 1), tall, strict=True):
        for rows, rows_hr, weights in _blocks(height, scale):
            torch.mm(weights, plane[rows], out=enlarged[rows_hr])
    tall = tall.view(-1, width)
    result = picture.new_empty(len(tall), scale * width)
    for columns, columns_hr, weights in _blocks(width, scale):
        torch.mm(tall[:, columns], weights.t(), out=result[:, columns_hr])
    return result.view(batch, channels, scale * height, scale * width)


@lru_cache(maxsize=4)
def _blocks(size: int, scale: int) -> tuple[tuple[slice, slice, Tensor], ...]:
    """Of enlarging one axis: places in LR, places in HR, and the weights from those to these."""
    # (`antialias` chooses that kernel; without it torch has a = -3/4.)
    ones = torch.eye(size)[None, None]
    weights = F.interpolate(ones, size=(scale * size, size), mode="bicubic", antialias=True)[0, 0]
    blocks = []
    for begin in range(0, size, _BLOCK):
        end = min(begin + _BLOCK, size)
        places = slice(max(0, begin - _REACH), min(size, end + _REACH))
        places_hr = slice(scale * begin, scale * end)
        blocks.append((places, places_hr, weights[places_hr, places].clone()))
    return tuple(blocks)


METHODS: dict[str, Callable[[Tensor, int], Tensor]] = {"nearest": nearest, "bicubic": bicubic}


class BuiltinRunner:
    """A runner that enlarges the centre frame of each window."""

    length = 3
    scale = 4

    def __init__(self, name: str) -> None:
        keep_freed_memory()
        self._method = METHODS[name]
        self.info = RunnerInfo(name, "", "torch", "cpu", "float32")

    def encode(self, picture: Tensor) -> Tensor:
        return picture

    def restore(self, window: Sequence[Tensor]) -> Tensor:
        return self._method(window[self.length // 2], self.scale)

    def memory(self, height: int, width: int) -> Memory:
        picture = height * width * 3 * 4
        return Memory(weights=0, features=picture, work=2 * self.scale**2 * picture)
