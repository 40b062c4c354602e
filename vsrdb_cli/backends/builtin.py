"""Networks without parameters: `nearest` and `bicubic`.

They go through the same windows, tiles and pipeline as FMA-Net: `nearest` proves everything around
the network, `bicubic` is what a restoration is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.runtime import is_configured, tune_cpu

_COLUMNS, _LINES = 16, 8  # LR pixels at a time: fewer waste less arithmetic, more run faster
_REACH = 2  # how far the kernel sees, in LR pixels


def nearest(picture: Tensor, scale: int) -> Tensor:
    """Repeat every pixel: (B, C, H, W) -> (B, C, s H, s W)."""
    return F.interpolate(picture, scale_factor=scale, mode="nearest")


def bicubic(picture: Tensor, scale: int) -> Tensor:
    """Enlarge (B, C, H, W) to (B, C, s H, s W) by Keys' kernel, a = -1/2, as MATLAB and Pillow do.

    Two products with banded matrices, of which only blocks along the diagonal are multiplied:
    a third of the time of torch's own interpolation, whose numbers these are to within 1e-6.
    """
    batch, channels, height, width = picture.shape
    planes = batch * channels
    wide = picture.new_empty(planes * height, scale * width)
    result = picture.new_empty(planes, scale * height, scale * width)
    with _one_thread():
        rows = picture.reshape(-1, width)
        for columns, columns_hr, weights in _blocks(width, scale, _COLUMNS):
            torch.mm(rows[:, columns], weights.t(), out=wide[:, columns_hr])
        # Down last, so that the large result is written along its rows.
        for plane, enlarged in zip(wide.view(planes, height, -1), result, strict=True):
            for lines, lines_hr, weights in _blocks(height, scale, _LINES):
                torch.mm(weights, plane[lines], out=enlarged[lines_hr])
    return result.view(batch, channels, scale * height, scale * width)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute products in the calling thread alone, in a configured process.

    Sharing out small ones takes longer. The number of threads is the whole process's: a thread that
    first uses torch meanwhile keeps it.
    """
    if not is_configured():
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=4)
def _blocks(size: int, scale: int, block: int) -> tuple[tuple[slice, slice, Tensor], ...]:
    """Split the enlarging of one axis into blocks of `block` LR pixels.

    Returns:
        For each block its span in LR, its span in HR, and the weights from one to the other.
    """
    # (`antialias` chooses that kernel; without it torch has a = -3/4.)
    ones = torch.eye(size)[None, None]
    weights = F.interpolate(ones, size=(scale * size, size), mode="bicubic", antialias=True)[0, 0]
    blocks = []
    for begin in range(0, size, block):
        end = min(begin + block, size)
        places = slice(max(0, begin - _REACH), min(size, end + _REACH))
        places_hr = slice(scale * begin, scale * end)
        blocks.append((places, places_hr, weights[places_hr, places].clone()))
    return tuple(blocks)


def enlarge(picture: Tensor, scale: int, method: str) -> Tensor:
    """Enlarge (B, C, H, W) by `scale`, by one of `checkpoints.registry.METHODS`."""
    match method:
        case "nearest":
            return nearest(picture, scale)
        case "bicubic":
            return bicubic(picture, scale)
    raise ValueError(f"no method is called '{method}'")


class BuiltinRunner:
    """A runner that enlarges the centre frame of each window."""

    length = 3
    scale = 4

    def __init__(self, name: str) -> None:
        tune_cpu()
        self._method = name
        self.info = RunnerInfo(name, "", "torch", "cpu", "float32")

    def takes(self, height: int, width: int) -> bool:  # noqa: ARG002
        return True

    def encode(self, picture: Tensor) -> Tensor:
        return picture

    def restore(self, window: Sequence[Tensor]) -> Tensor:
        return enlarge(window[self.length // 2], self.scale, self._method)

    def restore_on_device(self, window: Sequence[Tensor]) -> Tensor:
        return self.restore(window)

    def memory(self, height: int, width: int) -> Memory:
        picture = height * width * 3 * 4
        return Memory(weights=0, features=picture, work=2 * self.scale**2 * picture)
