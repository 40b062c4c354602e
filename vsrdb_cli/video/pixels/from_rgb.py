"""Convert RGB exactly to frames for an encoder.

The matrix and range are given explicitly, and chroma is sited at the left, where players of H.264,
HEVC and AV1 expect it.

Enlarged chroma that is halved again by a filter of swscale comes out softer than it was. How much
softer is known, so it is undone on the halved samples: a picture that nothing is done to leaves
with the samples it came with, and what players make of any other is nearer to its RGB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsrdb_cli.video.pixels.colour import PC, WHITE_16, Colour, white_16
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, is_rgb, plane_rows
from vsrdb_cli.video.pixels.to_rgb import EXACT, LeftSited, rescaled, swscale_matrix

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from torch import Tensor

_PLANAR_YUV = re.compile(r"yuvj?(420|422|444)p(10le|12le)?")

# Formats of encoders in GPUs, with both chroma planes in one; they are made of these.
TWO_PLANES = {"nv12": "yuv420p", "p010le": "yuv420p10le"}

Samples = NDArray[Any]
Filter = NDArray[np.float32]

# Symmetric filters: the inverse, within 3 %, of enlarging and halving by the cubic filter with
# a = -0.6; where a sample lies on the first of its two pixels, and between.
_UNDO_LEFT = np.array((-0.0262, 0.1019, -0.2107, 1.27, -0.2107, 0.1019, -0.0262), np.float32)
_UNDO_MIDDLE = np.array((-0.0295, 0.1135, -0.2333, 1.2986, -0.2333, 0.1135, -0.0295), np.float32)
_REACH = len(_UNDO_LEFT) // 2
_AS_IT_IS = np.ones(1, np.float32)
# As many as stay in a core's own cache from one step to the next.
_ROWS = 96


class FromRgb:
    """Converts (3, H, W) codes to frames for an encoder. One per thread; keeps swscale's tables."""

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._pix_fmt = pix_fmt
        self._format = av.VideoFormat(pix_fmt)
        self._colour = colour
        self._left = LeftSited()
        self._reformatter = VideoReformatter()
        self._planar = TWO_PLANES.get(pix_fmt, pix_fmt)
        planar = _PLANAR_YUV.fullmatch(self._planar)
        exact = planar and planar[1] == "444" and colour.range != PC  # by swscale itself
        self._deep = f"yuv{planar[1]}p16le" if planar and not exact else None
        # Into YUV swscale takes 65280 for white whatever the range; RGB samples it only shifts.
        self._white = white_16(self._format, PC) if is_rgb(self._format) else WHITE_16

    def __call__(self, rgb: Tensor) -> VideoFrame:
        """Return a frame in the encoder's pixel format, with colour tags and no time."""
        if rgb.dtype == torch.uint8:
            source = "gbrp"
        else:
            source = "gbrp16le"
            if self._white != WHITE_16:
                rgb = rescaled(rgb, WHITE_16, self._white)
        red, green, blue = (plane.contiguous() for plane in rgb.cpu())
        planar = av.VideoFrame.from_dlpack((green, blue, red), format=source)
        if is_rgb(self._format):
            frame = self._reformatter.reformat(
                planar, format=self._pix_fmt, interpolation=EXACT, threads=1
            )
        else:
            frame = self._reformatter.reformat(
                self._left(planar),
                format=self._deep or self._pix_fmt,
                interpolation=EXACT,
                dst_colorspace=swscale_matrix(self._colour.matrix),
                dst_color_range=self._colour.range,
                threads=1,
            )
            if self._deep:
                frame = _rounded(frame, self._planar, self._colour.range)
            if self._planar != self._pix_fmt:
                frame = _interleaved(frame, self._pix_fmt)
            frame.colorspace = self._colour.matrix
            frame.color_range = self._colour.range
        # ProRes takes these from the frame, not from the encoder.
        frame.color_primaries = self._colour.primaries
        frame.color_trc = self._colour.transfer
        frame.pict_type = 0  # the encoder would obey it, but decides better itself
        return frame


def _rounded(deep: VideoFrame, pix_fmt: str, range_: int) -> VideoFrame:
    """Round planar YUV of 16 bits to the nearest codes of fewer.

    swscale would truncate full-range chroma instead of rounding it. Computed by numpy in the
    calling thread only: the network needs the other cores.

    Args:
        deep: in "yuv420p16le" or the like, chroma at the left, made by swscale.
        pix_fmt: of the same subsampling.
        range_: of the colour.
    """
    frame = av.VideoFrame(deep.width, deep.height, pix_fmt)
    bits = bit_depth(frame.format)
    luma, *chroma = (_samples(plane, 16) for plane in deep.planes)
    bright, *codes = (_samples(plane, bits) for plane in frame.planes)
    _round_luma(luma, bright, bits, full=range_ == PC)
    across = _UNDO_LEFT if chroma[0].shape[1] < luma.shape[1] else _AS_IT_IS
    down = _UNDO_MIDDLE if chroma[0].shape[0] < luma.shape[0] else _AS_IT_IS
    for plane, target in zip(chroma, codes, strict=True):
        _round_chroma(plane, target, bits, across, down, full=range_ == PC)
    return frame


def _interleaved(planar: VideoFrame, pix_fmt: str) -> VideoFrame:
    """Copy planar YUV into a format with both chroma planes in one, and the codes in high bits."""
    frame = av.VideoFrame(planar.width, planar.height, pix_fmt)
    bits = bit_depth(planar.format)
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    shift = kind.itemsize * 8 - bits
    luma, first, second = (_samples(plane, bits) << shift for plane in planar.planes)
    bright, both = (plane_rows(plane).view(kind) for plane in frame.planes)
    bright[:, : luma.shape[1]] = luma
    width = first.shape[1]
    both[:, 0 : 2 * width : 2], both[:, 1 : 2 * width : 2] = first, second
    return frame


def _samples(plane: VideoPlane, bits: int) -> Samples:
    """Return a plane's memory, (height, width), without row padding."""
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    return plane_rows(plane).view(kind)[:, : plane.width]


def _round_luma(deep: Samples, target: Samples, bits: int, *, full: bool) -> None:
    shift = np.uint16(16 - bits)
    half = np.uint16(1 << (15 - bits))
    for begin in range(0, len(deep), _ROWS):
        codes = deep[begin : begin + _ROWS]
        if full:
            # 65535 is white: a part in 2**bits too much for shifting.
            codes = codes - (codes >> np.uint16(bits))
        target[begin : begin + _ROWS] = (codes + half) >> shift


def _round_chroma(
    deep: Samples, target: Samples, bits: int, across: Filter, down: Filter, *, full: bool
) -> None:
    top = (1 << bits) - 1
    # In 16 bits full range counts to 65535, the other ends in zeros.
    scale = np.float32(top / 0xFFFF if full else 1 / (1 << (16 - bits)))
    grey = np.float32((1 << (bits - 1)) - (1 << 15) * scale)
    height, width = deep.shape
    for begin in range(0, height, _ROWS):
        end = min(begin + _ROWS, height)
        # What lies outside is as at the edge. Filters run along the rows as one, and what they
        # mix between two rows stays in the margins.
        rows = np.arange(begin - _REACH, end + _REACH).clip(0, height - 1)
        wide = np.empty((len(rows), width + 2 * _REACH), np.float32)
        wide[:, _REACH:-_REACH] = deep[rows]
        wide[:, :_REACH] = wide[:, _REACH, None]
        wide[:, -_REACH:] = wide[:, -_REACH - 1, None]
        mixed = np.correlate(wide.ravel(), across * scale, "same").reshape(wide.shape)
        mixed = _filtered_down(mixed, down)
        mixed += grey
        np.rint(mixed, out=mixed)
        target[begin:end] = mixed.clip(0, top, out=mixed)[:, _REACH:-_REACH]


def _filtered_down(rows: Samples, kernel: Filter) -> Samples:
    """Filter symmetrically across rows; the result has `_REACH` rows fewer at either end."""
    count = len(rows) - 2 * _REACH
    middle = len(kernel) // 2
    result: Samples = rows[_REACH : _REACH + count] * kernel[middle]
    for distance in range(1, middle + 1):
        above, below = _REACH - distance, _REACH + distance
        pair = rows[above : above + count] + rows[below : below + count]
        pair *= kernel[middle + distance]
        result += pair
    return result
