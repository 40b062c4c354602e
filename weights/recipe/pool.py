"""Rendered windows on disk: shards of plain arrays, memory-mapped; batches cut from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """lr (3, S, S, 3) and hr (3, 4S, 4S, 3), uint8 RGB; flow (2, S, S, 2), float16, in LR pixels
    as (dx, dy) from the centre to the frame before and the frame after."""

    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]
    flow: NDArray[np.float16]


@dataclass(frozen=True)
class Batch:
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

    def add(self, window: Window) -> None:
        for name, array in self._arrays.items():
            array[self._next] = getattr(window, name)
        self._next += 1

    def close(self) -> None:
        for array in self._arrays.values():
            array.flush()
        self._folder.rename(self._final)


class Pool:
    """All whole shards of a folder."""

    def __init__(self, folder: Path) -> None:
        shards = [path for path in folder.iterdir() if path.is_dir() and path.suffix != ".part"]
        self._shards = [
            {name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in ("lr", "hr", "flow")}
            for shard in sorted(shards)
        ]
        self._index = [
            (s, i) for s, arrays in enumerate(self._shards) for i in range(len(arrays["lr"]))
        ]
        if not self._index:
            raise ValueError(f"{folder} holds no shards; make some with: python -m recipe.render")

    def __len__(self) -> int:
        return len(self._index)

    def window(self, number: int) -> Window:
        shard, place = self._index[number]
        arrays = self._shards[shard]
        return Window(arrays["lr"][place], arrays["hr"][place], arrays["flow"][place])

    def sample(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """A random batch of `size` LR pixels, augmented."""
        numbers = rng.integers(len(self), size=count)
        return collate([augment(rng, cut(self.window(n), size, rng)) for n in numbers])

    def fixed(self, count: int) -> Batch:
        """The first `count` windows, whole."""
        return collate([self.window(n) for n in range(min(count, len(self)))])


def cut(window: Window, size: int, rng: np.random.Generator) -> Window:
    """A random square of `size` LR pixels."""
    y, x = rng.integers(0, window.lr.shape[1] - size + 1, 2)
    scale = window.hr.shape[1] // window.lr.shape[1]
    return Window(
        window.lr[:, y : y + size, x : x + size],
        window.hr[:, y * scale : (y + size) * scale, x * scale : (x + size) * scale],
        window.flow[:, y : y + size, x : x + size],
    )


def augment(rng: np.random.Generator, window: Window) -> Window:
    """Mirrored, transposed, channels permuted, time reversed: eight, six and two ways."""
    lr, hr, flow = window.lr, window.hr, window.flow
    if rng.random() < 0.5:
        lr, hr, flow = lr[:, :, ::-1], hr[:, :, ::-1], flow[:, :, ::-1] * np.float16([-1, 1])
    if rng.random() < 0.5:
        lr, hr, flow = lr[:, ::-1], hr[:, ::-1], flow[:, ::-1] * np.float16([1, -1])
    if rng.random() < 0.5:
        lr, hr = lr.transpose(0, 2, 1, 3), hr.transpose(0, 2, 1, 3)
        flow = flow.transpose(0, 2, 1, 3)[..., ::-1]
    if rng.random() < 0.5:
        lr, hr, flow = lr[::-1], hr[::-1], flow[::-1]
    if rng.random() < 0.3:
        colours = rng.permutation(3)
        lr, hr = lr[..., colours], hr[..., colours]
    return Window(lr, hr, flow)


def collate(windows: list[Window]) -> Batch:
    """Windows of one size -> tensors, channels second."""

    def stack(name: str) -> Tensor:
        arrays = [np.ascontiguousarray(getattr(window, name)) for window in windows]
        return torch.from_numpy(np.stack(arrays)).float().permute(0, 4, 1, 2, 3)

    return Batch(stack("lr") / 255, stack("hr") / 255, stack("flow"))
