"""Restore part of a picture and test whether the result agrees with the input."""

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
from vsrdb_cli.pipeline.windows import mirrored
from vsrdb_cli.video.pixels.colour import to_float

if TYPE_CHECKING:
    from vsrdb_cli.network.fmanet import FMANet

# LR pixels of the part restored, and of the border cut off before measuring.
HEIGHT, WIDTH, BORDER = 120, 160, 4
# Detail below the rounding of 8-bit codes counts as none.
QUANTISED = 1 / 255**2


@dataclass(frozen=True)
class RestorationTrial:
    """Scores of a trial restoration; powers are mean squares of 0 to 1."""

    consistency: float
    """PSNR in dB of the restored frames, degraded again by the network's own kernels and flow,
    against the input."""
    unexplained: float
    """Power of that difference, over that of the input's finest detail (its difference from the
    mean of 3x3 pixels)."""
    change: float
    """Power of the difference from bicubic enlargement."""

    @classmethod
    def mean(cls, several: Sequence[RestorationTrial]) -> RestorationTrial:
        """Average each score."""
        return cls(*(fmean(values) for values in zip(*map(astuple, several), strict=True)))


def cut_for_trial(shot: Sequence[Tensor], length: int) -> list[Tensor]:
    """Cut out the clip to restore on trial: of the middle frames, the part with the most detail.

    Args:
        shot: consecutive frames, (3, H, W) codes as those of a `Frame`.
        length: the T of the network.

    Returns:
        At most as many frames as a trial needs, (3, H, W), RGB, 0 to 1, in memory of their own.
    """
    needed = _frames_needed(length)
    first = max(0, len(shot) - needed) // 2
    frames = shot[first : first + needed]
    part = busiest_part(to_float(frames[len(frames) // 2]))
    return [to_float(codes[(..., *part)]) for codes in frames]


@torch.inference_mode()
def try_restoring(network: FMANet, clip: Sequence[Tensor]) -> RestorationTrial:
    """Restore the middle frames of a clip, and degrade the middle one again.

    Args:
        network: in float32, on the CPU.
        clip: as `cut_for_trial` returns it; missing frames are mirrored.
    """
    length, scale = network.config.num_seq, network.config.scale
    needed, held = _frames_needed(length), len(clip)
    first = (held - needed) // 2
    frames = [clip[mirrored(place, held)] for place in range(first, first + needed)]
    restored, centre = [], None
    for first in range(length):
        found = network.restore_clip(torch.stack(frames[first : first + length], dim=1)[None])
        restored.append(found.output.clamp(0, 1))
        if first == length // 2:
            centre = found
    assert centre is not None
    truth = frames[length - 1][None]
    # Checkpoints leave out the head of f^Y; f^X is the same motion, seen in the input.
    again, _, _ = flow_guided_downsampling(
        torch.stack(restored, dim=2), centre.image_flow_mask_x, centre.kernel_d, scale
    )
    enlarged = bicubic(truth, scale).clamp(0, 1)
    middle = restored[length // 2]
    difference = _power(again - truth, BORDER)
    smooth = F.avg_pool2d(F.pad(truth, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return RestorationTrial(
        consistency=-10 * log10(max(difference, 1e-10)),
        unexplained=difference / max(_power(truth - smooth, BORDER), QUANTISED),
        change=_power(middle - enlarged, BORDER * scale),
    )


def _frames_needed(length: int) -> int:
    """Return the number of frames a trial needs: T restored ones, each with its window of T."""
    return 2 * length - 1


def busiest_part(picture: Tensor) -> tuple[slice, slice]:
    """Find the most detailed part of (3, H, W): rows and columns, at most HEIGHT x WIDTH."""
    height, width = picture.shape[1:]
    rows, columns = min(HEIGHT, height), min(WIDTH, width)
    luma = picture.mean(dim=0)
    detail = F.pad(luma.diff(dim=0).abs(), (0, 0, 0, 1)) + F.pad(luma.diff(dim=1).abs(), (0, 1))
    sums = F.avg_pool2d(detail[None, None], (rows, columns), stride=8)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top * 8, top * 8 + rows), slice(left * 8, left * 8 + columns)


def _power(difference: Tensor, border: int) -> float:
    return float(difference[..., border:-border, border:-border].square().mean())
