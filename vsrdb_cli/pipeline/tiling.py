"""Tiles: planned, cropped and cross-faded. Knows no network, only runners' two steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vsrdb_cli.backends.runner import Features, Memory, Runner, RunnerInfo
from vsrdb_cli.errors import OptionError
from vsrdb_cli.options import SMALLEST_TILE

# Pixels fed around what is kept. FMA-Net's attention sees the whole picture it is given, so no
# context makes tiles exact; beyond 16 pixels the difference no longer falls (README, "Tiles").
CONTEXT = 16
# Pixels over which neighbouring tiles cross-fade.
BLEND = 16


@dataclass(frozen=True)
class AxisPlan:
    """Tiles along one axis: where each starts, and what it counts for.

    All tiles are equally long, so one engine or one compiled shape serves them all.
    """

    starts: tuple[int, ...]
    tile: int
    context: int
    blend: int

    def weights(self, scale: int) -> Tensor:
        """(tiles, s * tile): weights of each tile's HR pixels; 1 in sum at every HR pixel."""
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
    """Weights of one tile along one axis, (length,), in [0, 1]; 0 in the context."""
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
    """How a picture is cut: one plan for rows, one for columns."""

    rows: AxisPlan
    columns: AxisPlan

    @classmethod
    def of(
        cls, height: int, width: int, tile: int, context: int = CONTEXT, blend: int = BLEND
    ) -> Tiling:
        """Tiles of at most `tile` x `tile` LR pixels, context included."""
        return cls(plan_axis(height, tile, context, blend), plan_axis(width, tile, context, blend))

    @property
    def count(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def tile_size(self) -> tuple[int, int]:
        """(height, width) of every tile."""
        return self.rows.tile, self.columns.tile

    def corners(self) -> Iterator[tuple[int, int]]:
        """(top, left) of every tile, row by row."""
        for top in self.rows.starts:
            for left in self.columns.starts:
                yield top, left

    def crops(self, picture: Tensor) -> Iterator[Tensor]:
        """The tiles of (..., H, W), row by row."""
        height, width = self.tile_size
        for top, left in self.corners():
            yield picture[..., top : top + height, left : left + width]


class TiledRunner:
    """A runner that works tile by tile; itself a runner, so nobody else knows of tiles.

    Features are held per tile: every frame's are still computed once.
    """

    def __init__(self, runner: Runner, tiling: Tiling) -> None:
        self.runner, self.tiling = runner, tiling

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

    def encode(self, picture: Tensor) -> list[Features]:
        return [self.runner.encode(tile.contiguous()) for tile in self.tiling.crops(picture)]

    def restore(self, window: Sequence[list[Features]]) -> Tensor:
        rows, columns = self._weights
        scale, across = self.scale, len(self.tiling.columns.starts)
        height = self.tiling.rows.starts[-1] + self.tiling.rows.tile
        width = self.tiling.columns.starts[-1] + self.tiling.columns.tile
        output = torch.zeros(1, 3, height * scale, width * scale)
        for index, (top, left) in enumerate(self.tiling.corners()):
            tile = self.runner.restore([features[index] for features in window])
            weight = rows[index // across][:, None] * columns[index % across]
            y, x = top * scale, left * scale
            output[..., y : y + tile.shape[2], x : x + tile.shape[3]].addcmul_(tile, weight)
        return output

    def memory(self, height: int, width: int) -> Memory:
        """Features are held for all tiles; the work is one tile's, plus the joined picture."""
        one = self.runner.memory(*self.tiling.tile_size)
        joined = height * width * 3 * 4 * self.scale**2
        return Memory(one.weights, one.features * self.tiling.count, one.work + joined)


def choose_tile(runner: Runner, height: int, width: int, budget: int, *, beside: int = 0) -> int:
    """The largest tile side, at most the picture's, whose memory fits into `budget` bytes.

    Args:
        beside: bytes of the budget that all but the network takes.

    Raises:
        OptionError: not even the smallest does.
    """
    tile = max(height, width)
    while True:
        memory = tiled(runner, height, width, tile).memory(height, width)
        needed = memory.total(runner.length) + beside
        if needed <= budget:
            return tile
        if tile <= SMALLEST_TILE:
            raise OptionError(
                f"restoring {width}x{height} needs {needed / 2**30:.1f} GiB even in tiles of "
                f"{tile} pixels, and only {budget / 2**30:.1f} GiB can be taken",
                hint="close other programs, or use a smaller network: vsrdb weights list",
            )
        tile = max(SMALLEST_TILE, tile * 7 // 8)


def tiled(runner: Runner, height: int, width: int, tile: int | None) -> Runner:
    """`runner` in tiles of at most `tile`, or as it is where the picture is no larger."""
    if tile_in_use(height, width, tile) is None:
        return runner
    assert tile is not None
    return TiledRunner(runner, Tiling.of(height, width, tile))


def tile_in_use(height: int, width: int, tile: int | None) -> int | None:
    """The side of the tiles a picture is really cut into; None where it is no larger than one."""
    return None if tile is None or tile >= max(height, width) else tile
