"""Compare a runner with torch in float32; files and engines that disagree are never used.

Both restore a test scene, at sizes that are not round numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import BackendError

SIZES = ((17, 23), (31, 48), (45, 37))

# The least agreement of a lower precision with torch's float32 on the test scene, whatever computes
# in it: a difference of 0.8 codes of 8 bits, root mean square.
AGREEMENT_DB = 50.0
# By precision; float32 differs by sums in another order alone.
LEAST_DB = {"float32": 100.0, "float16": AGREEMENT_DB, "bfloat16": AGREEMENT_DB}


class DisagreementError(BackendError):
    """A runner's results differ from torch's."""


@dataclass(frozen=True)
class Agreement:
    """The difference of a runner's picture from torch's; `height` and `width` are of the LR one."""

    height: int
    width: int
    max_error: float
    psnr: float

    def __str__(self) -> str:
        return f"{self.width}x{self.height}: {self.max_error:.1e} ({self.psnr:.0f} dB)"


def scene(length: int, height: int, width: int) -> list[Tensor]:
    """Draw `length` frames (1, 3, H, W), RGB, 0 to 1, of moving shapes and fine texture; seeded."""
    generator = torch.Generator().manual_seed(0)
    size = (height + 8, width + 8 + 2 * length)
    coarse = torch.rand(1, 3, size[0] // 8 + 2, size[1] // 8 + 2, generator=generator)
    fine = torch.rand(1, 3, *size, generator=generator)
    picture = F.interpolate(coarse, size=size, mode="bicubic") * 0.8 + fine * 0.2
    picture = picture.clamp(0, 1)
    return [picture[:, :, t : t + height, 2 * t : 2 * t + width] for t in range(length)]


class Stream:
    """Successive frames of a long video: each step encodes one, or restores one window."""

    def __init__(self, runner: Runner, height: int, width: int) -> None:
        self._runner, self._number = runner, 0
        self._pictures = scene(runner.length, height, width)
        self._window = [runner.encode(self._pictures[0])] * runner.length

    def encode(self) -> None:
        """Encode the next frame."""
        self._number += 1
        picture = self._pictures[self._number % self._runner.length]
        self._window = [*self._window[1:], self._runner.encode(picture)]

    def restore(self) -> None:
        """Restore the window that ends with it."""
        self._runner.restore(self._window)


def restored(runner: Runner, height: int, width: int) -> Tensor:
    """Restore the test scene's centre frame: (1, 3, s H, s W)."""
    frames = scene(runner.length, height, width)
    return runner.restore([runner.encode(frame) for frame in frames])


def compare(
    reference: Runner, runner: Runner, sizes: Sequence[tuple[int, int]] = SIZES
) -> list[Agreement]:
    """Restore the test scene with both, at each (height, width)."""
    agreements = []
    for height, width in sizes:
        picture, expected = restored(runner, height, width), restored(reference, height, width)
        fits = picture.shape == expected.shape
        error = picture - expected if fits else torch.full_like(expected, math.nan)
        agreements.append(Agreement(height, width, error.abs().max().item(), psnr(error)))
    return agreements


def psnr(error: Tensor) -> float:
    """Compute the PSNR of differences, white being 1, in dB; NaN if one of them is."""
    square = error.square().mean().item()
    return math.inf if square == 0 else -10 * math.log10(square)


def worst(agreements: Sequence[Agreement]) -> float:
    """Return the least PSNR of all, in dB; minus infinity if there is a NaN."""
    return min(-math.inf if math.isnan(a.psnr) else a.psnr for a in agreements)


def require(agreements: Sequence[Agreement], precision: str, what: str) -> None:
    """Raise unless every agreement is as good as `precision` allows.

    Raises:
        DisagreementError: names `what`, how well it agrees, and how well it must.
    """
    least = min(agreements, key=lambda agreement: worst([agreement]))
    if worst([least]) < LEAST_DB[precision]:
        raise DisagreementError(
            f"{what} agrees with torch to {least.psnr:.0f} dB at {least.width}x{least.height},"
            f" less than the {LEAST_DB[precision]:.0f} dB required in {precision}",
            hint="use float32, or torch: vsrdb restore --backend torch"
            if precision != "float32"
            else "use torch (vsrdb restore --backend torch) and report this",
        )
