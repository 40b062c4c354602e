"""Transparency, which no output here keeps: noticed, so that it is not lost in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.pixels.filters import FilterChain

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MOST_BITS = 16  # of samples that are whole numbers


class Transparency:
    """Tells of frames whether any of their pixels is transparent."""

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
    """Whether a format has room for transparency; often it is not used."""
    return pixel_format.has_palette or any(part.is_alpha for part in pixel_format.components)


def announced(stream: VideoStream) -> bool:
    """Whether a WebM or Matroska file says it has an alpha layer, which its decoder leaves out."""
    return stream.metadata.get("alpha_mode") == "1"
