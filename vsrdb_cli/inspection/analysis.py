"""Keep what a network computes on its way from T frames to the sharp one, whole or in tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.backends.pytorch import estimate_memory
from vsrdb_cli.errors import OptionError
from vsrdb_cli.pipeline.memory import usable_bytes
from vsrdb_cli.pipeline.tiling import Tiling, sides, tile_in_use

if TYPE_CHECKING:
    from vsrdb_cli.network.config import FMANetConfig
    from vsrdb_cli.network.fmanet import FMANet, Restoration

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Kernels:
    """Kernels of LR pixels on a grid: every `every`-th row and column, from the first."""

    every: int
    degradation: Array
    """(rows, columns, T, k_d, k_d), K^D: how HR pixels around each LR pixel of frame t were mixed
    into it; not negative, with a sum of 1 over T and taps (vertical, then horizontal)."""
    restoration: Array
    """(rows, columns, s, s, T, k_r, k_r), K^R: how LR pixels of the warped frame t make the HR
    pixel (vertical, horizontal sub-pixel); of either sign, with a sum of 1 over T and taps."""


@dataclass(frozen=True)
class Inspection:
    """A restored frame and every step towards it; RGB, 0 to 1; flows in LR pixels."""

    frames: Array
    """(T, 3, H, W), the input window."""
    flow: Array
    """(T, 2, H, W), f^X as (dx, dy): pixel (x, y) of the centre is read at (x + dx, y + dy) of
    frame t."""
    mask: Array
    """(T, H, W), the weight of that pixel, 0 to 1."""
    feature_flow: Array
    """(T, n, 2, H, W), f^{R,M} likewise, one for each group of channels."""
    feature_mask: Array
    """(T, n, H, W), its masks, 0 to 1."""
    warped: Array
    """(T, 3, H, W), the frames warped onto the centre, times the mask."""
    kernels: Kernels
    filtered: Array
    """(3, 4H, 4W), the filter's contribution."""
    residual: Array
    """(3, 4H, 4W), the residual's contribution."""
    restored: Array
    """(3, 4H, 4W), the sum of both, unclamped."""
    bicubic: Array
    """(3, 4H, 4W), the centre frame enlarged, for comparison."""
    tile: int | None
    """Side of the tiles; None for a whole picture."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        height, width = self.frames.shape[2:]
        return height, width

    @property
    def length(self) -> int:
        """Number of frames, T."""
        return len(self.frames)

    @property
    def centre(self) -> int:
        """Index of the frame that is restored."""
        return self.length // 2


@torch.inference_mode()
def inspect_clip(
    network: FMANet, clip: Tensor, *, every: int = 1, tile: int | None = None
) -> Inspection:
    """Run the network on a clip (1, 3, T, H, W) and keep what it computes.

    Arrays of tiles are cross-faded like restored pictures; kernels are normalised first, so that
    their sums stay 1.

    Args:
        network: in float32, on the CPU.
        clip: RGB, 0 to 1.
        every: keep the kernels of every so many rows and columns.
        tile: side of the tiles in LR pixels; None is the whole picture.
    """
    config = network.config
    height, width = clip.shape[3:]
    tiling = Tiling.of(height, width, tile or max(height, width))
    joined: dict[str, Tensor] = {}
    rows, columns = (
        [a.weights(s) for s in (1, config.scale)] for a in (tiling.rows, tiling.columns)
    )
    across = len(tiling.columns.starts)
    for index, (top, left) in enumerate(tiling.corners()):
        bottom, right = top + tiling.tile_size[0], left + tiling.tile_size[1]
        found = network.restore_clip(clip[..., top:bottom, left:right])
        grid = (slice(-top % every, None, every), slice(-left % every, None, every))
        weights = [
            rows[hr][index // across][:, None] * columns[hr][index % across] for hr in (0, 1)
        ]
        for name, values in _kernels(found, grid).items():
            where = (-(-top // every), -(-left // every))
            whole = (-(-height // every), -(-width // every))
            _add(joined, name, values, weights[0][grid], where=where, whole=whole)
        for name, values in _maps(found, config.num_seq).items():
            scale = values.shape[-1] // (right - left)
            where, whole = (top * scale, left * scale), (height * scale, width * scale)
            _add(joined, name, values, weights[scale > 1], where=where, whole=whole)
    length, scale = config.num_seq, config.scale
    side_d, side_r = config.ds_kernel_size, config.us_kernel_size
    kernel_d = joined.pop("degradation").movedim((-2, -1), (0, 1))
    kernel_r = joined.pop("restoration").movedim((-2, -1), (0, 1))
    grid_size = kernel_d.shape[:2]
    kernels = Kernels(
        every,
        kernel_d.reshape(*grid_size, length, side_d, side_d).numpy(),
        kernel_r.reshape(*grid_size, scale, scale, length, side_r, side_r).numpy(),
    )
    return Inspection(
        frames=clip[0].transpose(0, 1).contiguous().numpy(),
        kernels=kernels,
        bicubic=bicubic(clip[:, :, length // 2], scale)[0].numpy(),
        tile=None if tiling.count == 1 else max(tiling.tile_size),
        restored=(joined["filtered"] + joined["residual"]).numpy(),
        **{name: values.numpy() for name, values in joined.items()},
    )


def _maps(found: Restoration, length: int) -> dict[str, Tensor]:
    """Return everything with a value at every pixel, (..., H, W) or (..., 4H, 4W)."""
    image = found.image_flow_mask_x[0].transpose(0, 1).float()
    feature = found.flow_mask_r.reshape(length, -1, 3, *found.flow_mask_r.shape[2:]).float()
    return {
        "flow": image[:, :2],
        "mask": image[:, 2].sigmoid(),
        "feature_flow": feature[:, :, :2],
        "feature_mask": feature[:, :, 2].sigmoid(),
        "warped": found.warped_x[0].transpose(0, 1).float(),
        "filtered": found.filtered[0],
        "residual": found.residual[0],
    }


def _kernels(found: Restoration, grid: tuple[slice, slice]) -> dict[str, Tensor]:
    """Return K^D (T k_d^2, h, w) and K^R (s^2, T, k_r^2, h, w) on a grid, normalised as used."""
    kernel_d = found.kernel_d[0][(..., *grid)].float().transpose(0, 1).flatten(0, 1).softmax(dim=0)
    scale = found.output.shape[-1] // found.warped_x.shape[-1]
    kernel_r = found.kernel_r[0][(..., *grid)].float()
    kernel_r = kernel_r.reshape(scale * scale, -1, *kernel_r.shape[1:]).transpose(1, 2)
    mean = kernel_r.mean(dim=(1, 2), keepdim=True)
    taps = kernel_r.shape[1] * kernel_r.shape[2]
    return {"degradation": kernel_d, "restoration": kernel_r - mean + 1 / taps}


def _add(
    joined: dict[str, Tensor],
    name: str,
    values: Tensor,
    weight: Tensor,
    *,
    where: tuple[int, int],
    whole: tuple[int, int],
) -> None:
    """Add a tile's values (..., h, w), weighted, to the whole picture's at (top, left)."""
    if name not in joined:
        joined[name] = values.new_zeros(*values.shape[:-2], *whole)
    top, left = where
    height, width = values.shape[-2:]
    joined[name][..., top : top + height, left : left + width].addcmul_(values, weight)


def largest_tile(
    network: FMANet,
    height: int,
    width: int,
    *,
    beside: int,
    available: Callable[[str], int] | None = None,
) -> int | None:
    """Return the largest tile side that fits into memory, or None for the whole picture.

    Args:
        network: in float32, on the CPU.
        height: of the picture, in LR pixels, as for `width`.
        width: likewise.
        beside: bytes needed for other things.
        available: returns the free bytes of a device; None asks the system.

    Raises:
        OptionError: not even the smallest tile fits.
    """
    budget, config = usable_bytes("cpu", available=available), network.config
    for tile in sides(height, width):
        size = Tiling.of(height, width, tile).tile_size
        # Restoring a video never materialises K^D; inspecting a frame does.
        kernels = 4 * math.prod(size) * config.num_seq * config.ds_kernel_size**2
        needed = estimate_memory(network, *size).total(config.num_seq) + kernels + beside
        if needed <= budget:
            return tile_in_use(height, width, tile)
    raise OptionError(
        f"inspecting {width}x{height} needs {needed / 2**30:.1f} GiB even in tiles of {tile}"
        f" pixels; {budget / 2**30:.1f} GiB is available",
        hint="close other programs, or shrink the video first",
    )


def inspection_bytes(network: FMANet, height: int, width: int, every: int) -> int:
    """Return the bytes of an `Inspection`."""
    config = network.config
    points = -(-height // every) * -(-width // every)
    per_pixel = 4 * config.scale**2 * 3 + config.num_seq * (9 + 3 * config.num_flow)
    return 4 * (height * width * per_pixel + points * weights_per_pixel(config))


def weights_per_pixel(config: FMANetConfig) -> int:
    """Return the number of weights in the kernels of one LR pixel."""
    restoration = config.scale**2 * config.us_kernel_size**2
    return config.num_seq * (config.ds_kernel_size**2 + restoration)
