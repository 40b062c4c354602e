"""Single pictures as lossless WebP, which every browser shows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from torch import Tensor

LARGEST = 16383  # width or height of a WebP picture


def lossless_webp(rgb: Tensor) -> bytes:
    """A file of a picture (3, H, W), uint8, that decodes to exactly the same codes."""
    encoder: Any = av.CodecContext.create("libwebp", "w")
    _, encoder.height, encoder.width = rgb.shape
    encoder.pix_fmt = "bgra"
    encoder.time_base = Fraction(1, 25)  # asked for, and of no meaning in a picture
    # Some effort: more makes files a few percent smaller in twice the time.
    encoder.options = {"lossless": "1", "compression_level": "3", "quality": "60"}
    pixels = np.full((*rgb.shape[1:], 4), 255, np.uint8)
    pixels[..., :3] = rgb.flip(0).permute(1, 2, 0).numpy()
    frame = av.VideoFrame.from_ndarray(pixels, "bgra")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
