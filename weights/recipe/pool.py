"""Store rendered windows as shards of plain, memory-mapped arrays, and cut batches from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

A = TypeVar("A", NDArray[Any], Tensor)


class Window(NamedTuple, Generic[A]):
    """A rendered window, as arrays or tensors."""

    lr: A
    """(3, S, S, 3), uint8 RGB."""
    hr: A
    """(3, 4S, 4S, 3), uint8 RGB."""
    flow: A
    """(2, S, S, 2), float16, in LR pixels as (dx, dy) from the centre to the previous and the next
    frame."""


class Batch(NamedTuple):
    """Windows to train on."""

    clip: Tensor
    """(B, 3, T, H, W), 0..1."""
    sharp_hr: Tensor
    """(B, 3, T, 4H, 4W), 0..1."""
    flow: Tensor
    """(B, 2, 2, H, W), in LR pixels: (dx, dy) second, then the previous and the next frame."""


class ShardWriter:
    """A writer of one shard, a folder of three arrays that appears when complete."""

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
    """All complete shards of a folder; their windows may differ in size from shard to shard.

    Args:
        folder: of `recipe.render`.
        device: where batches are made. A GPU holds all windows as they are, 0.83 MB each at 72 LR
            pixels, so that a step waits for no copy; a CPU reads them from the mapped files.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder, self._device = folder, device
        self._shards: dict[Path, Window[Tensor]] = {}
        self.refresh()
        if not self._shards:
            raise ValueError(f"{folder} holds no shards; make some with: python -m recipe.render")

    def refresh(self) -> None:
        """Add the shards that have appeared since: a renderer may still be running."""
        found = {path for path in self._folder.iterdir() if path.is_dir()}
        for path in sorted(found - self._shards.keys()):
            if path.suffix != ".part":
                self._shards[path] = _load(path, self._device)

    def __len__(self) -> int:
        return sum(len(shard.lr) for shard in self._shards.values())

    def window(self, number: int) -> Window[Tensor]:
        for shard in self._shards.values():
            if number < len(shard.lr):
                return Window(shard.lr[number], shard.hr[number], shard.flow[number])
            number -= len(shard.lr)
        raise IndexError("the pool has fewer windows")

    def sample(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """Draw a random, augmented batch of `size` LR pixels; `rng` decides everything.

        It comes from one shard, so that a GPU gathers it in a few operations; every window of the
        pool that is large enough is as likely as any other.

        Raises:
            ValueError: no window is large enough.
        """
        shards = [shard for shard in self._shards.values() if shard.lr.shape[2] >= size]
        if not shards:
            raise ValueError(f"{self._folder} holds no windows of {size} LR pixels or more")
        ends = np.cumsum([len(shard.lr) for shard in shards])
        number = int(rng.integers(ends[-1]))
        shard = shards[int(np.searchsorted(ends, number, side="right"))]
        places, spare = len(shard.lr), shard.lr.shape[2] - size
        return cut(shard, Cuts.random(rng, count, places, spare), size)

    def fixed(self, count: int) -> Batch:
        """Return the first `count` windows, uncropped.

        Raises:
            ValueError: there are fewer.
        """
        if count > len(self):
            raise ValueError(f"{self._folder} holds {len(self)} windows, {count} are asked for")
        parts: list[Batch] = []
        for shard in self._shards.values():
            taken = min(count, len(shard.lr))
            if taken:
                parts.append(cut(shard, Cuts.whole(taken), shard.lr.shape[2]))
            count -= taken
        return Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _load(shard: Path, device: str) -> Window[Tensor]:
    """Load a shard's arrays, with windows along their first dimension."""
    # Mapped copy-on-write: nothing is written, but a tensor may not be made of read-only memory.
    return Window(
        *(
            torch.from_numpy(np.load(shard / f"{name}.npy", mmap_mode="c")).to(device)
            for name in Window._fields
        )
    )


class Cuts(NamedTuple):
    """Squares to cut from a shard's windows and ways to turn them, (B,) each.

    Time is reversed first, and the square flipped (upside down) and mirrored (left to right); then
    it is transposed.
    """

    place: NDArray[np.int64]
    """Window in the shard."""
    top: NDArray[np.int64]
    """In LR pixels, as is `left`."""
    left: NDArray[np.int64]
    reversed_: NDArray[np.bool_]
    flipped: NDArray[np.bool_]
    mirrored: NDArray[np.bool_]
    transposed: NDArray[np.bool_]
    colours: NDArray[np.int64]
    """(B, 3), the channels to take as red, green and blue."""

    @classmethod
    def random(cls, rng: np.random.Generator, count: int, places: int, spare: int) -> Cuts:
        """Draw `count` cuts from `places` windows that are `spare` LR pixels larger than the cut:
        eight ways in space, two in time, and of three in ten the channels permuted."""
        colours = np.tile(np.arange(3), (count, 1))
        recoloured = rng.random(count) < 0.3
        colours[recoloured] = rng.permuted(colours[recoloured], axis=1)
        return cls(
            rng.integers(places, size=count),
            *rng.integers(spare + 1, size=(2, count)),
            *rng.random((4, count)) < 0.5,
            colours,
        )

    @classmethod
    def whole(cls, count: int) -> Cuts:
        """Return the first `count` windows unchanged."""
        zero, no = np.zeros(count, np.int64), np.zeros(count, bool)
        return cls(np.arange(count), zero, zero, no, no, no, no, np.tile(np.arange(3), (count, 1)))


def cut(shard: Window[Tensor], cuts: Cuts, size: int) -> Batch:
    """Cut a batch of squares of `size` LR pixels on the shard's device."""
    # One copy to the device, then one gather for each of lr, hr and flow.
    table = torch.from_numpy(np.column_stack(cuts).astype(np.int64)).to(shard.lr.device)
    place, top, left, *ways = table[:, :7].T
    reversed_, flipped, mirrored, transposed = (way[:, None].bool() for way in ways)
    colours = table[:, 7:]

    def along(length: int, backwards: Tensor) -> Tensor:
        """Return indices (B, length), from the end where `backwards`."""
        forwards = torch.arange(length, device=table.device).expand(len(table), -1)
        return torch.where(backwards, length - 1 - forwards, forwards)

    def gathered(array: Tensor, times: Tensor, channels: Tensor, scale: int) -> Tensor:
        """Gather (B, C, T, size, size) from (places, T, S, S, C)."""
        down = along(size * scale, flipped) + top[:, None] * scale
        right = along(size * scale, mirrored) + left[:, None] * scale
        swap = transposed[..., None]
        rows = torch.where(swap, down[:, None, :], down[:, :, None])[:, None, None]
        columns = torch.where(swap, right[:, :, None], right[:, None, :])[:, None, None]
        frames, channels = times[:, None, :, None, None], channels[:, :, None, None, None]
        return array[place[:, None, None, None, None], frames, rows, columns, channels]

    scale = shard.hr.shape[2] // shard.lr.shape[2]
    frames = along(shard.lr.shape[1], reversed_)
    lr = gathered(shard.lr, frames, colours, 1)
    hr = gathered(shard.hr, frames, colours, scale)
    parts = along(2, transposed)  # (dx, dy), or (dy, dx)
    flow = gathered(shard.flow, along(2, reversed_), parts, 1)
    against = torch.cat([mirrored, flipped], 1).gather(1, parts)  # dx is mirrored, dy flipped
    sign = torch.where(against, -1.0, 1.0)[:, :, None, None, None]
    return Batch(lr.float() / 255, hr.float() / 255, flow.float() * sign)
