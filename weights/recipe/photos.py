"""Read sharp photos as textures in linear light."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Left out: soft photos, and frames of the recordings that the models are scored on.
MIN_SHARPNESS = 5.0
SCORED_RECORDINGS = ("vf_gopro", "vf_samblocks")

_CODES = np.arange(256) / 255
_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
_TO_LINEAR_LUT = _TO_LINEAR.astype(np.float32)


def to_linear(picture: NDArray[np.uint8]) -> Array:
    """Convert sRGB codes (..., 3), uint8, to linear light 0..1 (IEC 61966-2-1)."""
    return _TO_LINEAR_LUT[picture]


def to_codes(linear: Array) -> Array:
    """Convert linear light, clipped to 0..1, to sRGB codes as float 0..255, not rounded."""
    clipped = np.clip(linear, 0, 1)
    high = 1.055 * cv2.pow(clipped, 1 / 2.4) - 0.055
    return np.where(clipped <= 0.0031308, 12.92 * clipped, high).astype(np.float32) * 255


class Photos:
    """A folder of photos, from which detailed crops are drawn.

    Args:
        folder: JPEG files and `manifest.json`, a list "photos" of objects with "file" and
            "sharp_p75" (75th percentile over 64x64 blocks of the mean |Laplacian|).
        validation: take every 12th photo, which training never sees, instead of the others.
    """

    def __init__(self, folder: Path, *, validation: bool = False) -> None:
        entries = json.loads((folder / "manifest.json").read_text())["photos"]
        usable = [
            folder / entry["file"]
            for entry in entries
            if entry["sharp_p75"] >= MIN_SHARPNESS
            and not entry["file"].startswith(SCORED_RECORDINGS)
        ]
        self.files = [file for i, file in enumerate(usable) if (i % 12 == 0) == validation]
        if not self.files:
            raise ValueError(f"{folder} has no usable photos")

    def crop(self, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        """Draw a crop (side, side, 3), RGB, of a random photo at a random reduction.

        Photos too small for `side` are continued by reflection.
        """
        photo = _load(self.files[rng.integers(len(self.files))])
        height, width = photo.shape[:2]
        # Reduced photos are crisper at the pixel than the originals, enlarged ones softer, as most
        # videos' frames are: a network that saw only crisp truth overshoots on those.
        zoom = max(rng.uniform(0.5, 1.5), min(side / min(height, width), 1.0))
        size = min(round(side / zoom), height, width)
        best, most = photo, -1.0
        for _ in range(3):
            y, x = rng.integers(height - size + 1), rng.integers(width - size + 1)
            piece = photo[y : y + size, x : x + size]
            detail = _detail(piece[::2, ::2])
            # Flat crops teach little; one that has some detail is good enough.
            if detail > most:
                best, most = piece, detail
            if most > 8:
                break
        reduced = round(size * zoom)
        interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        picture = cv2.resize(best, (reduced, reduced), interpolation=interpolation)
        if reduced < side:
            pad = side - reduced
            picture = cv2.copyMakeBorder(
                picture, pad // 2, pad - pad // 2, pad // 2, pad - pad // 2, cv2.BORDER_REFLECT_101
            )
        return picture[:side, :side]


@lru_cache(maxsize=192)
def _load(file: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{file} is not a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _detail(picture: NDArray[np.uint8]) -> float:
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_16S)).mean())
