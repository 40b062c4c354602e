"""Compute a picture strip by strip, so that intermediate results stay in the cache.

The widest tensors of the network (478 channels in a feed-forward, 90 at four times the size in the
residual) are made of one step and read by the next. Whole, each crosses the memory twice and its
pages are new to the kernel; a strip of them never leaves the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels of a strip: few megabytes of a hundred channels, and still enough work for every thread.
PIXELS = 8192


@dataclass(frozen=True)
class Strip:
    """Rows start..stop of a picture of `height` rows."""

    start: int
    stop: int
    height: int

    @property
    def whole(self) -> bool:
        return self.stop - self.start == self.height

    @property
    def top(self) -> int | None:
        """First row of a part of the picture; None for the whole."""
        return None if self.whole else self.start

    def of(self, picture: Tensor) -> Tensor:
        return picture if self.whole else picture[:, :, self.start : self.stop]

    @property
    def outer(self) -> slice:
        """Rows that a 3x3 convolution reads."""
        if self.whole:
            return slice(0, self.height)
        return slice(max(self.start - 1, 0), min(self.stop + 1, self.height))

    @property
    def outer_top(self) -> int | None:
        return None if self.whole else self.outer.start

    def outer_of(self, picture: Tensor) -> Tensor:
        return picture if self.whole else picture[:, :, self.outer]

    def convolve(
        self, outer: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1
    ) -> Tensor:
        """Convolve (3x3) rows `outer` into rows start..stop, with zeros only beyond the picture."""
        # Padded above and below at either edge of the picture: the row too many, which saw zeros
        # inside the picture, is left out. Padding one side only would cost a copy.
        above, below = self.start == 0, self.stop == self.height
        padding = (int(above or below), 1)
        rows = F.conv2d(outer, weight, bias, padding=padding, groups=groups)
        if above == below:
            return rows
        return rows[:, :, :-1] if above else rows[:, :, 1:]


def joined_rows(rows: Sequence[Tensor]) -> Tensor:
    """Join the strips of one picture, top to bottom."""
    return rows[0] if len(rows) == 1 else torch.cat(list(rows), dim=2)


def strips(picture: Tensor, scale: int = 1) -> list[Strip]:
    """Cut `picture` (B, C, H, W), `scale` times the LR size, into strips.

    One strip on a GPU, for training and in an exported graph.
    """
    height, width = picture.shape[2:]
    rows = height
    if (
        picture.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    ):
        rows = max(PIXELS * scale * scale // width, 1)
    if rows >= height:
        return [Strip(0, height, height)]
    return [Strip(row, min(row + rows, height), height) for row in range(0, height, rows)]
