"""Stack every version of one frame, and its number, into a single picture.

The versions then cannot get out of step: the page decodes one picture and reads from its strip
which frame it is. From left to right and top to bottom: before, after; truth, low-resolution input;
the strip, one block per bit, most significant bit first, white for 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

# Blocks of the strip survive any compression; pictures lie on the codecs' grid and are continued
# beyond their edges, so that no picture takes on its neighbour's colours.
BLOCK = GAP = 16
BITS = 16
NEIGHBOURHOOD = 32  # side, in pixels, of the area whose mean difference counts
COLUMNS = 2
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """The place of one picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all pictures in a stacked picture of `width` x `height`."""

    width: int
    height: int
    boxes: Mapping[str, Box]
    strip: Box

    @classmethod
    def of(cls, size: Size, *, truth: bool, lr: Size | None) -> Layout:
        """Lay out pictures of (height, width) `size` and, optionally, an input of size `lr`."""
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
        """Stack pictures into one, (3, height, width) uint8.

        Args:
            pictures: (3, H, W) uint8, by the names of `boxes`.
            number: the frame's number, written into the strip.
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
        """Read the number in the strip of a (3, height, width) picture, compressed or not."""
        middle = BLOCK // 2
        bits = (int(stacked[1, y + middle, x + middle]) > 127 for y, x in self._blocks())
        return sum(bit << (BITS - 1 - place) for place, bit in enumerate(bits))

    def _blocks(self) -> list[tuple[int, int]]:
        per_line = self.strip.width // BLOCK
        return [(self.strip.y + b // per_line * BLOCK, b % per_line * BLOCK) for b in range(BITS)]

    def most_different_place(self, stacked: Tensor) -> tuple[int, int]:
        """Find the place (x, y) around which before and after differ most."""
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
        """Return plain values for the page's script."""
        return {**asdict(self), "block": BLOCK, "bits": BITS}


def _room(length: int) -> int:
    """Add a gap to a length and round up to the codecs' grid."""
    return -(-(length + GAP) // BLOCK) * BLOCK
