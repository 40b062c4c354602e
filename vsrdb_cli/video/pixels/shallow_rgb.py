"""RGB of less than 8 bits a colour, as old screens had it: several colours packed into a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vsrdb_cli.video.pixels.colour import bit_depth, is_rgb

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from torch import Tensor


def is_shallow(pixel_format: VideoFormat) -> bool:
    """Whether it is RGB of less than 8 bits a colour."""
    return is_rgb(pixel_format) and bit_depth(pixel_format) < 8


def unpacked(frame: VideoFrame) -> Tensor:
    """Such a frame as (3, H, W) float, 0 to 1.

    swscale only shifts such samples up, and so makes white grey.
    """
    pixels = frame.format
    bits = [component.bits for component in pixels.components[:3]]
    (plane,) = frame.planes
    memory: Any = plane
    rows = np.frombuffer(memory, np.uint8).reshape(plane.height, plane.line_size)
    if pixels.is_bit_stream:  # two pixels a byte, the first in the high half
        words = np.stack((rows >> 4, rows & 15), axis=2).reshape(plane.height, -1)
    elif sum(bits) <= 8:
        words = rows
    else:
        words = rows.view(">u2" if pixels.is_big_endian else "<u2")
    words = words[:, : frame.width].astype(np.int32)
    # Names tell the order from the highest bit down; the components are red, green, blue always.
    shifts = {"rgb": (bits[1] + bits[2], bits[2], 0), "bgr": (0, bits[0], bits[0] + bits[1])}
    channels = [
        (words >> shift & (1 << width) - 1) / np.float32((1 << width) - 1)
        for shift, width in zip(shifts[pixels.name[:3]], bits, strict=True)
    ]
    return torch.from_numpy(np.stack(channels).astype(np.float32))
