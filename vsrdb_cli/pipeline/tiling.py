"""Plans, crops and cross-fades tiles; of networks it knows only the two steps of runners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vsrdb_cli.backends.runner import Features, Memory, Runner, RunnerInfo

# Pixels fed around what is kept. FMA-Net's attention sees the whole picture it is given, so no
# context makes tiles exact; beyond 16 pixels the difference no longer falls.
CONTEXT = 16
# Pixels over which neighbouring tiles cross-fade.
BLEND = 16
# The smallest tiles taken unasked: smaller ones save little memory, and of 64 pixels only 16 are
# not overlap, so that everything would be computed 16 times (of 96: 4 times).
SMALLEST_USEFUL = 96
# Of a window's arithmetic, the share of one frame's encoding, every frame being encoded once: the
# paper's FMA-Net does with 72 % of what it takes to encode all three for every window.
ENCODING = 0.14 / 0.72


@dataclass(frozen=True)
class AxisPlan:
    """The tiles along one axis: where each starts, and how much it counts.

    All tiles are equally long, so one engine or one compiled shape serves them all.
    """

    starts: tuple[int, ...]
    tile: int
    context: int
    blend: int

    def weights(self, scale: int) -> Tensor:
        """Return the weights of each tile's HR pixels, (tiles, s * tile); they add up to 1."""
        tile, context, blend = (n * scale for n in (self.tile, self.context, self.blend))
        starts = [start * scale for start in self.starts]
        weights = torch.zeros(len(starts), tile, dtype=torch.float64)
        total = torch.zeros(starts[-1] + tile, dtype=torch.float64)
        for index, start in enumerate(starts):
            weights[index] = _ramp(
                tile, context, blend, first=index == 0, last=index == len(starts) - 1
            )
            total[start : start + tile] += weights[index]
        for index, start in enumerate(starts):
            weights[index] /= total[start : start + tile]
        return weights.float()


def plan_axis(length: int, tile: int, context: int = CONTEXT, blend: int = BLEND) -> AxisPlan:
    """Cover `length` pixels with equal tiles of at most `tile`, evenly spread.

    Neighbours overlap by at least 2 * context + blend, so that every pixel has a tile in which it
    lies at least `context` from a cut edge.

    Raises:
        ValueError: a tile would hold nothing but its overlaps.
    """
    if tile >= length:
        return AxisPlan((0,), length, 0, 0)
    overlap = 2 * context + blend
    if tile <= overlap:
        raise ValueError(f"a tile of {tile} pixels holds no more than its overlap of {overlap}")
    count = -(-(length - overlap) // (tile - overlap))
    # The smallest tile that does it with as many: less is computed twice.
    tile = -(-(length + (count - 1) * overlap) // count)
    starts = tuple(round(i * (length - tile) / (count - 1)) for i in range(count))
    return AxisPlan(starts, tile, context, blend)


def _ramp(length: int, context: int, blend: int, *, first: bool, last: bool) -> Tensor:
    """Return the weights of one tile along one axis, (length,), in [0, 1]; 0 in the context."""
    weight = torch.ones(length, dtype=torch.float64)
    # Half-sample offsets: one tile's rise and its neighbour's fall add up to 1 at every pixel,
    # so two tiles that agree leave no trace of the seam.
    rise = (torch.arange(blend, dtype=torch.float64) + 0.5) / max(blend, 1)
    if not first:
        weight[:context] = 0
        weight[context : context + blend] = rise
    if not last:
        weight[length - context :] = 0
        weight[length - context - blend : length - context] = rise.flip(0)
    return weight


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture: one plan for rows, one for columns."""

    rows: AxisPlan
    columns: AxisPlan

    @classmethod
    def of(
        cls, height: int, width: int, tile: int, context: int = CONTEXT, blend: int = BLEND
    ) -> Tiling:
        """Plan tiles of at most `tile` x `tile` LR pixels, context included."""
        return cls(plan_axis(height, tile, context, blend), plan_axis(width, tile, context, blend))

    @property
    def count(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def tile_size(self) -> tuple[int, int]:
        """(height, width) of every tile."""
        return self.rows.tile, self.columns.tile

    def corners(self) -> Iterator[tuple[int, int]]:
        """Yield (top, left) of every tile, row by row."""
        for top in self.rows.starts:
            for left in self.columns.starts:
                yield top, left

    def crops(self, picture: Tensor) -> Iterator[Tensor]:
        """Yield the tiles of (..., H, W), row by row."""
        height, width = self.tile_size
        for top, left in self.corners():
            yield picture[..., top : top + height, left : left + width]


class TiledRunner:
    """A runner that runs another one tile by tile.

    Args:
        hold: keep the features of all tiles, so that every frame's are computed once. Else frames
            are kept as pictures, and a window's features computed tile by tile: the same result by
            more arithmetic, in the memory of one tile.
    """

    def __init__(self, runner: Runner, tiling: Tiling, *, hold: bool = True) -> None:
        self.runner, self.tiling, self.hold = runner, tiling, hold

    @property
    def info(self) -> RunnerInfo:
        return self.runner.info

    @property
    def length(self) -> int:
        return self.runner.length

    @property
    def scale(self) -> int:
        return self.runner.scale

    @cached_property
    def _weights(self) -> tuple[Tensor, Tensor]:
        return self.tiling.rows.weights(self.scale), self.tiling.columns.weights(self.scale)

    def takes(self, height: int, width: int) -> bool:
        """Return whether pictures have the planned size, and the runner takes its tiles."""
        rows, columns = self.tiling.rows, self.tiling.columns
        whole = rows.starts[-1] + rows.tile, columns.starts[-1] + columns.tile
        return (height, width) == whole and self.runner.takes(*self.tiling.tile_size)

    def encode(self, picture: Tensor) -> Features:
        """Return the features of each tile; the picture itself where they are not held."""
        if not self.hold:
            return picture
        return [self.runner.encode(tile.contiguous()) for tile in self.tiling.crops(picture)]

    def restore(self, window: Sequence[Features]) -> Tensor:
        rows, columns = self._weights
        scale, across = self.scale, len(self.tiling.columns.starts)
        height = self.tiling.rows.starts[-1] + self.tiling.rows.tile
        width = self.tiling.columns.starts[-1] + self.tiling.columns.tile
        output = torch.zeros(1, 3, height * scale, width * scale)
        for index, (top, left) in enumerate(self.tiling.corners()):
            tile = self.runner.restore(self._features(window, index, top, left))
            weight = rows[index // across][:, None] * columns[index % across]
            y, x = top * scale, left * scale
            output[..., y : y + tile.shape[2], x : x + tile.shape[3]].addcmul_(tile, weight)
        return output

    def restore_on_device(self, window: Sequence[Features]) -> Tensor:
        return self.restore(window)  # tiles are joined on the CPU

    def _features(
        self, window: Sequence[Features], index: int, top: int, left: int
    ) -> list[Features]:
        """Return a window's features of one tile."""
        if self.hold:
            return [features[index] for features in window]
        height, width = self.tiling.tile_size
        # By picture: at the ends of a shot the same one is in a window twice.
        pictures = {id(picture): picture for picture in window}
        features = {
            key: self.runner.encode(
                picture[..., top : top + height, left : left + width].contiguous()
            )
            for key, picture in pictures.items()
        }
        return [features[id(picture)] for picture in window]

    def memory(self, height: int, width: int) -> Memory:
        """Return the memory of one tile's work and the joined picture, and of all held features."""
        one = self.runner.memory(*self.tiling.tile_size)
        picture = height * width * 3 * 4
        joined = picture * self.scale**2
        if self.hold:
            return Memory(one.weights, one.features * self.tiling.count, one.work + joined)
        return Memory(one.weights, picture, one.work + self.length * one.features + joined)

    @property
    def arithmetic(self) -> float:
        """Cost of restoring a frame, in LR pixels of a runner without tiles."""
        height, width = self.tiling.tile_size
        again = 0.0 if self.hold else (self.length - 1) * ENCODING
        return self.tiling.count * height * width * (1 + again)


def choose_tile(runner: Runner, height: int, width: int, budget: int) -> int | None:
    """Return the side of the tiles with the least arithmetic of all that fit into `budget` bytes.

    At most the picture's longer side, which means no tiles; None where not even the smallest
    useful tiles fit.
    """
    best, least = None, float("inf")
    for side in sides(height, width):
        chosen = tiled(runner, height, width, side, budget)
        if chosen.memory(height, width).total(runner.length) > budget:
            continue
        cost = chosen.arithmetic if isinstance(chosen, TiledRunner) else float(height * width)
        if cost < least:
            best, least = side, cost
    return best


def least_memory(runner: Runner, height: int, width: int) -> tuple[int, int]:
    """Return the side of the tiles that need the least memory, and how many bytes they need."""
    takes = {
        side: tiled(runner, height, width, side, 0).memory(height, width).total(runner.length)
        for side in sides(height, width)
    }
    side = min(takes, key=lambda side: takes[side])
    return side, takes[side]


def sides(height: int, width: int) -> Iterator[int]:
    """Yield the sides to choose from, the largest first."""
    side = max(height, width)
    yield side
    while side > SMALLEST_USEFUL:
        side = max(SMALLEST_USEFUL, side * 7 // 8)
        yield side


def smaller_side(tile: int | None, size: tuple[int, int]) -> int | None:
    """Return the side to try after memory ran out; None where smaller tiles would save nothing.

    Args:
        tile: the side in use; None for whole pictures.
        size: (height, width) of the pictures.
    """
    side = tile or max(size)
    smaller = max(SMALLEST_USEFUL, side * 2 // 3)
    return smaller if smaller < side else None


def tiled(
    runner: Runner, height: int, width: int, tile: int | None, budget: float = float("inf")
) -> Runner:
    """Return `runner` in tiles of at most `tile`, or itself where the picture is no larger.

    Args:
        budget: in bytes; the features of all tiles are held where that fits into it.
    """
    if tile_in_use(height, width, tile) is None:
        return runner
    assert tile is not None
    tiling = Tiling.of(height, width, tile)
    holding = TiledRunner(runner, tiling)
    if holding.memory(height, width).total(runner.length) <= budget:
        return holding
    return TiledRunner(runner, tiling, hold=False)


def tile_in_use(height: int, width: int, tile: int | None) -> int | None:
    """Return the side of the tiles, or None where the picture is no larger than one."""
    return None if tile is None or tile >= max(height, width) else tile
