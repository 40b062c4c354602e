"""PNG pictures in memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from numpy.typing import NDArray


def png_encoder(height: int, width: int, bit_depth: int) -> VideoCodecContext:
    """An encoder of RGB pictures with 8 or 16 bits a channel; one packet a picture."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "rgb24" if bit_depth == 8 else "rgb48be"
    encoder.time_base = Fraction(1, 25)  # asked for, and of no meaning in a picture
    return encoder


def encode_png(picture: NDArray[Any]) -> bytes:
    """A PNG file of `picture`, (H, W, 3) RGB uint8."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    encoder = png_encoder(*picture.shape[:2], 8)
    encoder.options = {"pred": "mixed"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
