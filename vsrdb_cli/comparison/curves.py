"""Measure every frame, and keep the frames that differ most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from vsrdb_cli.comparison.stacked_layout import Size
from vsrdb_cli.errors import OptionError
from vsrdb_cli.evaluation.metrics import BORDER, Picture, import_extra, psnr, ssim
from vsrdb_cli.evaluation.pairs import picture

if TYPE_CHECKING:
    from torch import Tensor

# SSIM has a window of 11 pixels.
SMALLEST_FOR_SSIM = 11 + 2 * BORDER
STRETCHES = 6


def check_measurable(size: Size) -> None:
    """Check that pictures can be measured against the ground truth.

    Raises:
        OptionError: they are too small.
        VsrdbError: scikit-image is not installed.
    """
    import_extra("skimage.metrics")
    if min(size) < SMALLEST_FOR_SSIM:
        raise OptionError(
            f"pictures of {size[1]}x{size[0]} are too small for SSIM, which needs at least"
            f" {SMALLEST_FOR_SSIM}x{SMALLEST_FOR_SSIM}",
            hint="omit TRUTH, or compare larger pictures",
        )


class Curves:
    """Measures of every frame."""

    def __init__(self) -> None:
        self.difference: list[float] = []
        """Mean absolute difference of before and after, in 8-bit codes."""
        self.psnr: dict[str, list[float]] = {}
        """Of "before" and "after" against the truth, as in `vsrdb evaluate`; empty without it."""
        self.ssim: dict[str, list[float]] = {}
        """Likewise."""

    def add(self, before: Tensor, after: Tensor, truth: Tensor | None) -> None:
        """Measure one more frame: (3, H, W) codes of a `Frame`, all of one size."""
        pictures = {"before": picture(before), "after": picture(after)}
        self.difference.append(_mean_difference(pictures["before"], pictures["after"]))
        if truth is None:
            return
        true = picture(truth)
        for name, shown in pictures.items():
            self.psnr.setdefault(name, []).append(psnr(shown, true))
            self.ssim.setdefault(name, []).append(ssim(shown, true))

    def as_json(self) -> dict[str, Any]:
        """Return rounded values; JSON has no infinity, so equal pictures have a PSNR of null."""
        curves: dict[str, Any] = {"difference": [round(value, 4) for value in self.difference]}
        if self.psnr:
            curves["psnr"] = {
                name: [None if math.isinf(v) else round(v, 4) for v in values]
                for name, values in self.psnr.items()
            }
            curves["ssim"] = {n: [round(v, 6) for v in values] for n, values in self.ssim.items()}
        return curves


class MostDifferent:
    """The frames that differ most, one from each stretch of a video, so that they are apart."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[int, tuple[float, int, Tensor]] = {}

    def add(self, number: int, difference: float, stacked: Tensor) -> None:
        """Consider one more frame and its difference."""
        stretch = number * min(STRETCHES, self._count) // self._count
        if stretch not in self._kept or difference > self._kept[stretch][0]:
            self._kept[stretch] = difference, number, stacked

    def ranked(self) -> dict[int, Tensor]:
        """Return the stacked pictures by frame number, the most different first."""
        kept = sorted(self._kept.values(), key=lambda entry: (-entry[0], entry[1]))
        return {number: stacked for _, number, stacked in kept}


def _mean_difference(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())
