"""Rendered windows on disk: shards of plain arrays, memory-mapped; batches cut from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

A = TypeVar("A", NDArray[Any], Tensor)


class Window(NamedTuple, Generic[A]):
    """lr (3, S, S, 3) and hr (3, 4S, 4S, 3), uint8 RGB; flow (2, S, S, 2), float16, in LR pixels
    as (dx, dy) from the centre to the frame before and the frame after. Arrays or tensors."""

    lr: A
    hr: A
    flow: A


class Batch(NamedTuple):
    """clip (B, 3, T, H, W), sharp_hr (B, 3, T, 4H, 4W), float 0..1; flow (B, 2, 2, H, W): (dx, dy)
    from the centre to the frame before and after, in LR pixels; channel dim second."""

    clip: Tensor
    sharp_hr: Tensor
    flow: Tensor


class ShardWriter:
    """Writes one shard, a folder of three arrays, which appears under its name when whole."""

    def __init__(self, folder: Path, count: int, size: int, scale: int) -> None:
        self._final = folder
        self._folder = folder.with_name(folder.name + ".part")
        self._folder.mkdir(parents=True, exist_ok=True)
        side = size * scale
        shapes = {
            "lr": ((count, 3, size, size, 3), np.uint8),
            "hr": ((count, 3, side, side, 3), np.uint8),
            "flow": ((count, 2, size, size, 2), np.float16),
        }
        self._arrays = {
            name: np.lib.format.open_memmap(
                self._folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape
            )
            for name, (shape, dtype) in shapes.items()
        }
        self._next = 0

    def add(self, window: Window[NDArray[Any]]) -> None:
        for name, array in self._arrays.items():
            array[self._next] = getattr(window, name)
        self._next += 1

    def close(self) -> None:
        for array in self._arrays.values():
            array.flush()
        self._folder.rename(self._final)


class Pool:
    """All whole shards of a folder.

    Args:
        folder: of `recipe.render`.
        device: where batches are made. A GPU holds all windows as they are, 0.83 MB each at 72 LR
            pixels, so that a step waits for no copy; a CPU reads them from the mapped files.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder, self._device = folder, device
        self._known: set[Path] = set()
        self._index: list[tuple[Window[Tensor], int]] = []
        self.refresh()
        if not self._index:
            raise ValueError(f"{folder} holds no shards; make some with: python -m recipe.render")

    def refresh(self) -> None:
        """Take in the shards that have appeared since: a renderer may still be at work."""
        found = {path for path in self._folder.iterdir() if path.is_dir()}
        for path in sorted(found - self._known):
            if path.suffix != ".part":
                shard = _load(path, self._device)
                self._index += [(shard, place) for place in range(len(shard.lr))]
                self._known.add(path)

    def __len__(self) -> int:
        return len(self._index)

    def window(self, number: int) -> Window[Tensor]:
        shard, place = self._index[number]
        return Window(shard.lr[place], shard.hr[place], shard.flow[place])

    def sample(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """A random batch of `size` LR pixels, augmented; `rng` decides all of it."""
        numbers = rng.integers(len(self), size=count)
        return collate([augment(rng, cut(self.window(n), size, rng)) for n in numbers])

    def fixed(self, count: int) -> Batch:
        """The first `count` windows, whole."""
        return collate([self.window(n) for n in range(min(count, len(self)))])


def _load(shard: Path, device: str) -> Window[Tensor]:
    """A shard's arrays, windows along their first dimension."""
    # Mapped copy-on-write: nothing is written, but a tensor may not be made of read-only memory.
    return Window(
        *(
            torch.from_numpy(np.load(shard / f"{name}.npy", mmap_mode="c")).to(device)
            for name in Window._fields
        )
    )


def cut(window: Window[Tensor], size: int, rng: np.random.Generator) -> Window[Tensor]:
    """A random square of `size` LR pixels."""
    y, x = rng.integers(0, window.lr.shape[1] - size + 1, 2).tolist()
    scale = window.hr.shape[1] // window.lr.shape[1]
    return Window(
        window.lr[:, y : y + size, x : x + size],
        window.hr[:, y * scale : (y + size) * scale, x * scale : (x + size) * scale],
        window.flow[:, y : y + size, x : x + size],
    )


def augment(rng: np.random.Generator, window: Window[Tensor]) -> Window[Tensor]:
    """Mirrored, transposed, channels permuted, time reversed: eight, six and two ways."""
    mirrored, flipped, transposed, reversed_, recoloured = rng.random(5) < (0.5, 0.5, 0.5, 0.5, 0.3)
    turned = [dim for dim, chosen in enumerate((reversed_, flipped, mirrored)) if chosen]
    lr, hr, flow = (part.flip(turned) for part in window)
    if mirrored or flipped:
        flow = flow * flow.new_tensor([-1 if mirrored else 1, -1 if flipped else 1])
    if transposed:
        lr, hr, flow = (part.transpose(1, 2) for part in (lr, hr, flow))
        flow = flow.flip(-1)
    if recoloured:
        colours = rng.permutation(3).tolist()
        lr, hr = lr[..., colours], hr[..., colours]
    return Window(lr, hr, flow)


def collate(windows: list[Window[Tensor]]) -> Batch:
    """Windows of one size -> a batch, channels second."""
    lr, hr, flow = (
        torch.stack(parts).permute(0, 4, 1, 2, 3) for parts in zip(*windows, strict=True)
    )
    return Batch(lr.float() / 255, hr.float() / 255, flow.float())
