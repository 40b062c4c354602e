"""Detects scene cuts, which a window must not reach across."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# Mean absolute luma difference, in 8-bit codes, that is a cut when it rises by as much over the
# shot's own motion. Measured on seven clips at every third frame: within shots the rise was at most
# 8.8 (hands before a still camera; a fast pan differs by 28 but evenly), between any two of them
# at least 39.
THRESHOLD = 18.0
_THUMBNAIL = (18, 32)


class SceneCutDetector:
    """A detector that is called with each frame in turn and returns whether it begins a shot.

    As FFmpeg's `scdet`: min(d, |d - previous d|) over a threshold, d being the mean absolute
    difference from the frame before; here of thumbnails, which moving texture changes less. A cut
    missed would mix two shots; a cut seen where there is none only spares one frame its neighbours.
    """

    def __init__(self) -> None:
        self._thumbnail: Tensor | None = None
        self._motion = 0.0
        self._cut = False

    def __call__(self, picture: Tensor) -> bool:
        """Return whether a picture, (3, H, W), RGB, 0 to 1, float, begins a shot."""
        luma = 0.299 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2]
        thumbnail = F.adaptive_avg_pool2d(luma[None], _THUMBNAIL)
        previous, self._thumbnail = self._thumbnail, thumbnail
        if previous is None:
            return True
        difference = float((thumbnail - previous).abs().mean()) * 255
        cut = min(difference, abs(difference - self._motion)) > THRESHOLD
        # A lone cut shows nothing of the shot's own motion; one right after another does: a shot of
        # one frame, or a pan so fast that its first frames look like cuts.
        if not cut or self._cut:
            self._motion = difference
        self._cut = cut
        return cut
