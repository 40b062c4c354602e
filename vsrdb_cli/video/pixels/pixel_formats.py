"""Properties of pixel formats: colours, depth, alpha, and the samples of a plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.pixels.filters import FilterChain

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from torch import Tensor


def is_rgb(pixel_format: VideoFormat) -> bool:
    """Return whether samples are R, G and B already, as those of palettes are."""
    return pixel_format.is_rgb or pixel_format.has_palette


def is_grey(pixel_format: VideoFormat) -> bool:
    """Return whether there is luma and no chroma; there may be alpha."""
    return not is_rgb(pixel_format) and len(pixel_format.components) < 3


def bit_depth(pixel_format: VideoFormat) -> int:
    """Return the bits of the deepest colour channel."""
    if pixel_format.has_palette:
        return 8
    if pixel_format.is_bayer:  # a pixel has one colour, which its components share
        return int(pixel_format.bits_per_pixel)
    return max(component.bits for component in pixel_format.components)


def code_depth(pixel_format: VideoFormat) -> int:
    """Return the bits of a `Frame`'s codes: 8, or 16 for more than 8 bits a colour."""
    return 8 if bit_depth(pixel_format) <= 8 else 16


_MOST_BITS = 16  # of samples that are whole numbers


class Transparency:
    """Finds out whether any pixel of a frame is transparent."""

    def __init__(self) -> None:
        self._alpha = FilterChain(("alphaextract", ""))
        # Of palettes and grey FFmpeg extracts no alpha, or zeros; torch reads no high byte first.
        self._by_colours = FilterChain(("scale", ""), ("format", "rgba"), ("alphaextract", ""))
        # torch reads no floating point samples either.
        self._of_floats = FilterChain(("scale", ""), ("format", "rgba64le"), ("alphaextract", ""))

    def __call__(self, frame: VideoFrame) -> bool:
        pixels = frame.format
        if not has_alpha(pixels):
            return False
        odd = pixels.has_palette or len(pixels.components) < 3 or pixels.is_big_endian
        chain = self._by_colours if odd else self._alpha
        if max(part.bits for part in pixels.components) > _MOST_BITS:
            chain = self._of_floats
        (alpha,) = chain.push(frame)
        opaque = (1 << alpha.format.components[0].bits) - 1
        return int(from_dlpack(alpha.planes[0]).to(torch.int32).min()) < opaque


def has_alpha(pixel_format: VideoFormat) -> bool:
    """Return whether a format has room for transparency; often it is not used."""
    return pixel_format.has_palette or any(part.is_alpha for part in pixel_format.components)


def declares_alpha(stream: VideoStream) -> bool:
    """Return whether a WebM or Matroska file declares an alpha layer, which decoders leave out."""
    return stream.metadata.get("alpha_mode") == "1"


def is_shallow(pixel_format: VideoFormat) -> bool:
    """Return whether a format is RGB of less than 8 bits a colour."""
    return is_rgb(pixel_format) and bit_depth(pixel_format) < 8


def unpacked(frame: VideoFrame) -> Tensor:
    """Unpack a frame of shallow RGB to (3, H, W) float, 0 to 1.

    swscale only shifts such samples up, and so makes white grey.
    """
    pixels = frame.format
    bits = [component.bits for component in pixels.components[:3]]
    (plane,) = frame.planes
    rows = plane_rows(plane)
    if pixels.is_bit_stream:  # two pixels a byte, the first in the high half
        words: NDArray[Any] = np.stack((rows >> 4, rows & 15), axis=2).reshape(plane.height, -1)
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


def plane_rows(plane: VideoPlane) -> NDArray[np.uint8]:
    """Return a plane's memory, (height, bytes of a row), with row padding."""
    memory: Any = plane  # a buffer, which PyAV's annotations do not declare
    return np.frombuffer(memory, np.uint8).reshape(plane.height, plane.line_size)


def plane_bytes(frame: VideoFrame) -> Iterator[bytes]:
    """Yield the samples of each plane, without row padding."""
    size = 1 if bit_depth(frame.format) == 8 else 2
    for plane in frame.planes:
        yield plane_rows(plane)[:, : plane.width * size].tobytes()
