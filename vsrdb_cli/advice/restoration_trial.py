"""A part of the picture restored, and whether that agrees with what was filmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import log10
from statistics import fmean
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.network.ops import flow_guided_downsampling

if TYPE_CHECKING:
    from vsrdb_cli.network.fmanet import FMANet

# Of the picture that is tried, LR pixels; and what is cut from its edges before measuring.
HEIGHT, WIDTH, BORDER = 120, 160, 4
# Less detail than 8-bit codes round away is none.
QUANTISED = 1 / 255**2


@dataclass(frozen=True)
class Trial:
    """What restoring made of some frames in a row; powers are mean squares of 0 to 1.

    consistency: PSNR in dB of the restored frames, degraded again by the network's own kernels and
    flow, against the input. unexplained: the power by which the two differ, over that of the
    input's finest detail (what it has over its mean of 3x3 pixels). change: power of what restoring
    changed over bicubic enlargement.
    """

    consistency: float
    unexplained: float
    change: float

    @classmethod
    def mean(cls, several: Sequence[Trial]) -> Trial:
        return cls(*(fmean(values) for values in zip(*map(astuple, several), strict=True)))


def frames_needed(length: int) -> int:
    """How many frames in a row a trial takes: T restored ones, each with its window."""
    return 2 * length - 1


@torch.inference_mode()
def attempt(network: FMANet, pictures: Sequence[Tensor]) -> Trial:
    """Restore the part of some frames in a row that has most detail.

    Args:
        pictures: `frames_needed` of (3, H, W), RGB, 0 to 1; fewer are mirrored.
    """
    length, scale = network.config.num_seq, network.config.scale
    part = busiest_part(pictures[len(pictures) // 2])
    frames = [picture[(..., *part)] for picture in _mirrored(pictures, frames_needed(length))]
    restored, centre = [], None
    for first in range(length):
        found = network.restore_clip(torch.stack(frames[first : first + length], dim=1)[None])
        restored.append(found.output.clamp(0, 1))
        if first == length // 2:
            centre = found
    assert centre is not None
    truth = frames[length - 1][None]
    # The head of f^Y is left out of checkpoints; f^X is the same motion, seen in the input.
    again, _, _ = flow_guided_downsampling(
        torch.stack(restored, dim=2), centre.image_flow_mask_x, centre.kernel_d, scale
    )
    enlarged = bicubic(truth, scale).clamp(0, 1)
    middle = restored[length // 2]
    difference = _power(again - truth, BORDER)
    smooth = F.avg_pool2d(F.pad(truth, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return Trial(
        consistency=-10 * log10(max(difference, 1e-10)),
        unexplained=difference / max(_power(truth - smooth, BORDER), QUANTISED),
        change=_power(middle - enlarged, BORDER * scale),
    )


def busiest_part(picture: Tensor) -> tuple[slice, slice]:
    """Rows and columns, at most HEIGHT x WIDTH, of the part of (3, H, W) with most detail."""
    height, width = picture.shape[1:]
    rows, columns = min(HEIGHT, height), min(WIDTH, width)
    luma = picture.mean(dim=0)
    detail = F.pad(luma.diff(dim=0).abs(), (0, 0, 0, 1)) + F.pad(luma.diff(dim=1).abs(), (0, 1))
    sums = F.avg_pool2d(detail[None, None], (rows, columns), stride=8)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top * 8, top * 8 + rows), slice(left * 8, left * 8 + columns)


def _mirrored(pictures: Sequence[Tensor], count: int) -> list[Tensor]:
    """The middle `count` pictures, going back and forth where there are fewer."""
    if len(pictures) == 1:
        return [pictures[0]] * count
    first = (len(pictures) - count) // 2
    period = 2 * (len(pictures) - 1)
    places = [place % period for place in range(first, first + count)]
    return [pictures[min(place, period - place)] for place in places]


def _power(difference: Tensor, border: int) -> float:
    return float(difference[..., border:-border, border:-border].square().mean())
