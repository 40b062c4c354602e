"""Exact conversion of frames to RGB and back.

Two things no default does right: the matrix and range are given explicitly both ways, and chroma
is sited at the left, where players of H.264, HEVC and AV1 expect it.

A third no filter of swscale does: enlarged chroma that is halved again comes out softer than it
was. How much softer is known, so it is undone on the halved samples: a picture that nothing is done
to leaves with the samples it came with, and what players make of any other is nearer to its RGB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.pixels.colour import (
    BT470BG,
    COMPANIONS,
    PC,
    SDR,
    SMPTE170M,
    WHITE_16,
    Colour,
    bit_depth,
    is_grey,
    is_rgb,
    to_planes,
    white_16,
)
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.shallow_rgb import is_shallow, unpacked

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from torch import Tensor

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

Crop = tuple[int, int, int, int]
NO_CROP = (0, 0, 0, 0)

_PLANAR_YUV = re.compile(r"yuvj?(420|422|444)p(10le|12le)?")
# Decoders of these leave a frame's chroma site open, and swscale then takes the centre.
_UNSITED_CODECS = {"vp8", "vp9", "av1", "ffv1", "y4m"}


# What has the samples wanted; swscale forgets the last row where it only has to drop 16-bit alpha.
_SAME_COLOURS = {"gbrp": ("gbrp", "gbrap"), "gbrp16le": ("gbrp16le", "gbrap16le")}

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


class _LeftSited:
    """Says of frames that their chroma sites are at the left; the samples are untouched."""

    def __init__(self) -> None:
        self._chain = FilterChain(("setparams", "chroma_location=left"))

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        (sited,) = self._chain.push(frame)
        return sited


class ToRgb:
    """Decoded frames to (3, H, W) codes. One per thread; keeps swscale's tables.

    Args:
        codec: FFmpeg's name of it.
        colour: of the frames that do not say.
        bit_depth_out: 8 or 16.
        crop: lines and columns to leave out at the top, the bottom, the left and the right.
        to_sdr: whether HDR becomes BT.709, mapped to its smaller ranges of colour and light.
    """

    def __init__(
        self,
        codec: str,
        colour: Colour,
        bit_depth_out: int,
        *,
        crop: Crop = NO_CROP,
        to_sdr: bool = False,
    ) -> None:
        self._crop = crop
        self._colour = colour
        self._to_sdr = to_sdr
        self._depth = bit_depth_out
        self._target = "gbrp" if bit_depth_out == 8 else "gbrp16le"
        self._left = _LeftSited() if codec in _UNSITED_CODECS else None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Tensor:
        """(3, H, W), uint8 (white 255) or uint16 (white 65280); the memory is its own.

        Raises:
            VideoError: nothing here knows the frame's pixel format.
            MemoryError: there is too little for it.
        """
        top, bottom, left, right = self._crop
        try:
            rgb = self._converted(frame)
        except FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(
                f"pictures in the pixel format {frame.format.name} cannot be read here",
                hint="convert them first: ffmpeg -i IN -c:v ffv1 -pix_fmt gbrp OUT.mkv",
            ) from error
        if self._crop == NO_CROP:
            return rgb
        return rgb[:, top : frame.height - bottom, left : frame.width - right].contiguous()

    def _converted(self, frame: VideoFrame) -> Tensor:
        source_format = frame.format
        range_ = frame.color_range or self._colour.range
        if is_grey(source_format):
            return self._grey(frame, range_)
        if is_shallow(source_format):
            return to_planes(unpacked(frame), self._depth)
        if source_format.name in _SAME_COLOURS[self._target]:
            range_ = PC
            planar = frame
        elif is_rgb(source_format):
            range_ = PC
            planar = self._reformatter.reformat(
                frame, format=self._target, interpolation=EXACT, threads=1
            )
        else:
            matrix = int(frame.colorspace)
            if matrix not in COMPANIONS:
                matrix = self._colour.matrix
            if self._left is not None:
                frame = self._left(frame)
            if self._to_sdr:
                frame.color_trc, frame.color_primaries = (
                    self._colour.transfer,
                    self._colour.primaries,
                )
            planar = self._reformatter.reformat(
                frame,
                format=self._target,
                interpolation=EXACT,
                src_colorspace=_swscale_matrix(matrix),
                src_color_range=range_,
                dst_color_trc=SDR.transfer if self._to_sdr else None,
                dst_color_primaries=SDR.primaries if self._to_sdr else None,
                threads=1,
            )
        green, blue, red = (from_dlpack(plane) for plane in planar.planes[:3])
        rgb = torch.stack((red, green, blue))
        # What comes out of swscale's table of colours is full-range 16-bit RGB.
        white = 0xFFFF if self._to_sdr else white_16(source_format, range_)
        if self._depth == 8 or white == WHITE_16:
            return rgb
        return _rescale(rgb, white, WHITE_16)

    def _grey(self, frame: VideoFrame, range_: int) -> Tensor:
        """swscale takes grey samples for 0 to white whatever their range."""
        bits = bit_depth(frame.format)
        if bits <= 8:  # also black and white
            bits, name = 8, "gray"
        else:  # floating point, too
            bits = min(16, bits)
            name = f"gray{bits}le"
        if frame.format.name != name:  # beside alpha, or with the high byte first
            frame = self._reformatter.reformat(
                frame, format=name, interpolation=EXACT, src_color_range=PC, dst_color_range=PC
            )
        luma = from_dlpack(frame.planes[0]).to(torch.float32)
        if range_ == PC:
            luma /= (1 << bits) - 1
        else:
            luma = luma.sub_(16 << (bits - 8)).div_(219 << (bits - 8))
        return to_planes(luma.expand(3, -1, -1), self._depth)


class FromRgb:
    """(3, H, W) codes to frames for an encoder. One per thread; keeps swscale's tables."""

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._pix_fmt = pix_fmt
        self._format = av.VideoFormat(pix_fmt)
        self._colour = colour
        self._left = _LeftSited()
        self._reformatter = VideoReformatter()
        planar = _PLANAR_YUV.fullmatch(pix_fmt)
        exact = planar and planar[1] == "444" and colour.range != PC  # by swscale itself
        self._deep = f"yuv{planar[1]}p16le" if planar and not exact else None
        # Into YUV swscale takes 65280 for white whatever the range; RGB samples it only shifts.
        self._white = white_16(self._format, PC) if is_rgb(self._format) else WHITE_16

    def __call__(self, rgb: Tensor) -> VideoFrame:
        """A frame in the encoder's pixel format, with the colour's tags; no time set."""
        if rgb.dtype == torch.uint8:
            source = "gbrp"
        else:
            source = "gbrp16le"
            if self._white != WHITE_16:
                rgb = _rescale(rgb, WHITE_16, self._white)
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
                dst_colorspace=_swscale_matrix(self._colour.matrix),
                dst_color_range=self._colour.range,
                threads=1,
            )
            if self._deep:
                frame = _rounded(frame, self._pix_fmt, self._colour.range)
            frame.colorspace = self._colour.matrix
            frame.color_range = self._colour.range
        # ProRes writes these of the frame, whatever the encoder was told.
        frame.color_primaries = self._colour.primaries
        frame.color_trc = self._colour.transfer
        frame.pict_type = 0  # the encoder obeys it, and decides better itself
        return frame


def _swscale_matrix(matrix: int) -> int:
    """swscale knows BT.601 by one number only."""
    return BT470BG if matrix == SMPTE170M else matrix


def _rescale(codes: Tensor, white: int, new_white: int) -> Tensor:
    scaled = codes.to(torch.float32).mul_(new_white / white).round_()
    return scaled.clamp_(0, new_white).to(torch.uint16)


def _rounded(deep: VideoFrame, pix_fmt: str, range_: int) -> VideoFrame:
    """Planar YUV of 16 bits as the nearest codes of fewer.

    Full-range chroma comes out of swscale cut off instead of rounded when it makes fewer itself.
    Computed by numpy, in the calling thread alone: the network needs the other cores.

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


def _samples(plane: VideoPlane, bits: int) -> Samples:
    """A plane's memory, (height, width), without what pads its rows."""
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    memory: Any = plane
    rows: Samples = np.frombuffer(memory, kind).reshape(
        plane.height, plane.line_size // kind.itemsize
    )
    return rows[:, : plane.width]


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
    """Through a symmetric filter from row to row, `_REACH` rows fewer at either end."""
    count = len(rows) - 2 * _REACH
    middle = len(kernel) // 2
    result: Samples = rows[_REACH : _REACH + count] * kernel[middle]
    for distance in range(1, middle + 1):
        above, below = _REACH - distance, _REACH + distance
        pair = rows[above : above + count] + rows[below : below + count]
        pair *= kernel[middle + distance]
        result += pair
    return result
