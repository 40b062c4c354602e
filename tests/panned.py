"""A pan over a photograph, what a camera with fewer pixels sees of it, and how near results are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from vsrdb_cli.video.pixels.colour import to_float, to_planes

HEIGHT, WIDTH = 160, 192  # HR pixels
# HR pixels cut at each side, where neighbours may show nothing of it.
BORDER = 16


def panned(count: int, step: int) -> tuple[list[Tensor], list[Tensor]]:
    """Pan by `step` HR pixels a frame, exposed for four fifths of the time between two frames.

    Returns:
        Sharp pictures, (3, H, W), 0 to 1; and those blurred and shrunk by four, in 8-bit codes.
    """
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255

    def at(shift: int) -> Tensor:
        top, left = 60 + shift // 3, 160 + shift
        return photo[:, top : top + HEIGHT, left : left + WIDTH]

    half = step * 2 // 5
    small = []
    for number in range(count):
        exposures = [at(step * number + shift) for shift in range(-half, half + 1)]
        blurred = torch.stack(exposures).mean(dim=0)
        shrunk = F.interpolate(blurred[None], scale_factor=1 / 4, mode="bicubic", antialias=True)
        small.append(to_float(to_planes(shrunk[0], 8)))
    return [at(step * number) for number in range(count)], small


def decibels(restored: Iterable[Tensor], truths: Iterable[Tensor]) -> float:
    """PSNR in dB of all pictures together."""
    errors = [
        (one.clamp(0, 1) - truth)[:, BORDER:-BORDER, BORDER:-BORDER].square().mean()
        for one, truth in zip(restored, truths, strict=True)
    ]
    return -10 * float(torch.stack(errors).mean().log10())
