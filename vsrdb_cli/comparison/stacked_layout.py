"""The stacked picture: every version of one frame, and its number, in a single picture.

What is compared can then not drift apart: the page decodes one picture and reads from its strip
which frame that is. From left to right and from above: before, after; truth, low-resolution input;
the strip, one block a bit, most significant bit first, white for 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

# Blocks of the strip survive any compression; pictures lie on the grid codecs work in, and are
# continued beyond their edges so that none takes on its neighbour's colours.
BLOCK = GAP = 16
BITS = 16
NEIGHBOURHOOD = 32  # pixels, that count as one place
COLUMNS = 2
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """Where one picture lies, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in a stacked picture of `width` x `height`."""

    width: int
    height: int
    boxes: Mapping[str, Box]
    strip: Box

    @classmethod
    def of(cls, size: Size, *, truth: bool, lr: Size | None) -> Layout:
        """Room for pictures of (height, width) `size`, and for smaller ones of size `lr`."""
        sizes = {"before": size, "after": size}
        if truth:
            sizes["truth"] = size
        if lr is not None:
            sizes["lr"] = lr
        boxes: dict[str, Box] = {}
        cell_width = _room(size[1])
        y = 0
        names = list(sizes)
        for row in range(0, len(names), COLUMNS):
            in_row = names[row : row + COLUMNS]
            for column, name in enumerate(in_row):
                height, width = sizes[name]
                boxes[name] = Box(column * cell_width, y, width, height)
            y += max(_room(sizes[name][0]) for name in in_row)
        width = COLUMNS * cell_width
        per_line = min(BITS, width // BLOCK)
        lines = -(-BITS // per_line)
        strip = Box(0, y, per_line * BLOCK, lines * BLOCK)
        return cls(width, y + strip.height, boxes, strip)

    def stack(self, pictures: Mapping[str, Tensor], number: int) -> Tensor:
        """One picture of all, (3, height, width) uint8.

        Args:
            pictures: (3, H, W) uint8, by the names of `boxes`.
            number: of the frame, written into the strip.
        """
        stacked = np.zeros((3, self.height, self.width), np.uint8)
        for name, box in self.boxes.items():
            right, below = _room(box.width) - box.width, _room(box.height) - box.height
            padding = ((0, 0), (0, below), (0, right))
            room = stacked[:, box.y :, box.x :]
            padded = np.pad(pictures[name].numpy(), padding, mode="edge")
            room[:, : padded.shape[1], : padded.shape[2]] = padded
        for bit, (y, x) in enumerate(self._blocks()):
            stacked[:, y : y + BLOCK, x : x + BLOCK] = 255 * (number >> (BITS - 1 - bit) & 1)
        return torch.from_numpy(stacked)

    def number_in(self, stacked: Tensor) -> int:
        """The number in the strip of a (3, height, width) picture, compressed or not."""
        middle = BLOCK // 2
        bits = (int(stacked[1, y + middle, x + middle]) > 127 for y, x in self._blocks())
        return sum(bit << (BITS - 1 - place) for place, bit in enumerate(bits))

    def _blocks(self) -> list[tuple[int, int]]:
        per_line = self.strip.width // BLOCK
        return [(self.strip.y + b // per_line * BLOCK, b % per_line * BLOCK) for b in range(BITS)]

    def most_different_place(self, stacked: Tensor) -> tuple[int, int]:
        """Where (x, y) before and after of a stacked picture differ most, around some pixels."""
        before, after = (
            stacked[:, b.y : b.y + b.height, b.x : b.x + b.width].float()
            for b in (self.boxes["before"], self.boxes["after"])
        )
        side = min(NEIGHBOURHOOD, *before.shape[1:])
        step = max(1, side // 2)
        difference = avg_pool2d((before - after).abs().mean(0)[None], side, step)[0]
        row, column = divmod(int(difference.argmax()), difference.shape[1])
        return column * step + side // 2, row * step + side // 2

    def as_json(self) -> dict[str, Any]:
        """As the page's script wants it."""
        return {**asdict(self), "block": BLOCK, "bits": BITS}


def _room(length: int) -> int:
    """A length with a gap beyond it, up to the codec's grid."""
    return -(-(length + GAP) // BLOCK) * BLOCK
