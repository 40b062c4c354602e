"""Networks without parameters: `nearest` and `bicubic`.

They go through the same windows, tiles and pipeline as FMA-Net: `nearest` proves everything around
the network, `bicubic` is what a restoration is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.runner import Memory, RunnerInfo


def nearest(picture: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, s H, s W): every pixel repeated."""
    return F.interpolate(picture, scale_factor=scale, mode="nearest")


def bicubic(picture: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, s H, s W), Keys' kernel with a = -1/2, as MATLAB and Pillow have it.

    (`antialias` chooses that kernel; without it torch uses a = -3/4.)
    """
    size = (picture.shape[2] * scale, picture.shape[3] * scale)
    return F.interpolate(picture, size=size, mode="bicubic", antialias=True)


METHODS: dict[str, Callable[[Tensor, int], Tensor]] = {"nearest": nearest, "bicubic": bicubic}


class BuiltinRunner:
    """A runner that enlarges the centre frame of each window."""

    length = 3
    scale = 4

    def __init__(self, name: str) -> None:
        self._method = METHODS[name]
        self.info = RunnerInfo(name, "", "torch", "cpu", "float32")

    def encode(self, picture: Tensor) -> Tensor:
        return picture

    def restore(self, window: Sequence[Tensor]) -> Tensor:
        return self._method(window[self.length // 2], self.scale)

    def memory(self, height: int, width: int) -> Memory:
        picture = height * width * 3 * 4
        return Memory(weights=0, features=picture, work=2 * self.scale**2 * picture)
