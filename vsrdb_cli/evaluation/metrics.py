"""Compute PSNR, SSIM and tOF as the paper does.

A picture is (H, W, 3), RGB codes with white at 255: uint8, or float for a source of more bits.
Higher is better for PSNR and SSIM, lower for tOF.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrdb_cli.errors import VsrdbError

Picture = NDArray[Any]
Flow = NDArray[np.float32]

BORDER = 4  # pixels cut off each side before PSNR and SSIM
# tOF crops flows to the largest centred rectangle whose sides are multiples of 32 and that leaves
# out at least 16 rows and 16 columns, where the flow leaves the picture.
FLOW_MULTIPLE, FLOW_MARGIN = 32, 16
SMALLEST_SIDE = FLOW_MULTIPLE + FLOW_MARGIN
WHITE = 255.0


def import_extra(module: str) -> Any:
    """Import a module of the extra `evaluate`.

    Raises:
        VsrdbError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise VsrdbError(
            f"this needs the Python package {module.partition('.')[0]}: {error}",
            hint="pip install 'vsrdb[evaluate]'",
        ) from error


def psnr(restored: Picture, truth: Picture) -> float:
    """Compute the peak signal-to-noise ratio in dB over all channels; infinite if equal."""
    error = _without_border(restored).astype(np.float64) - _without_border(truth)
    mean_square = float(np.mean(np.square(error)))
    return 10 * math.log10(WHITE**2 / mean_square) if mean_square else math.inf


def ssim(restored: Picture, truth: Picture) -> float:
    """Compute the structural similarity, -1 to 1, as the mean of the three channels'.

    Source: Wang et al. 2004: Gaussian window of 11 x 11 with sigma 1.5, only where it lies wholly
    within the (cropped) picture, K1 = 0.01, K2 = 0.03.
    """
    similarity = import_extra("skimage.metrics").structural_similarity(
        _without_border(restored).astype(np.float64),
        _without_border(truth).astype(np.float64),
        channel_axis=2,
        data_range=WHITE,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


class FlowEstimator:
    """An estimator of the optical flow between successive pictures."""

    def __init__(self) -> None:
        self._before: Picture | None = None

    def __call__(self, picture: Picture) -> Flow | None:
        """Return the flow from the previous picture to this one, (H, W, 2) in pixels.

        The first picture has none.

        Source: Farnebäck 2003, with TecoGAN's settings (Chu et al. 2020), on 8-bit grey.
        """
        cv2 = import_extra("cv2")
        codes = picture if picture.dtype == np.uint8 else np.rint(picture).astype(np.uint8)
        grey = cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY)
        before, self._before = self._before, grey
        if before is None:
            return None
        flow: Flow = cv2.calcOpticalFlowFarneback(
            before,
            grey,
            None,
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )
        return flow


def tof(restored: Flow, truth: Flow) -> float:
    """Compute the mean length, in pixels, of the difference of two flows, borders left out.

    Source: TecoGAN (Chu et al. 2020), whose tOF the paper reports.
    """
    height, width = truth.shape[:2]
    inner = _inner(height), _inner(width)
    return float(np.linalg.norm(restored[inner] - truth[inner], axis=2).mean())


def _without_border(picture: Picture) -> Picture:
    return picture[BORDER:-BORDER, BORDER:-BORDER]


def _inner(length: int) -> slice:
    kept = (length - FLOW_MARGIN) // FLOW_MULTIPLE * FLOW_MULTIPLE
    first = (length - kept) // 2
    return slice(first, first + kept)
