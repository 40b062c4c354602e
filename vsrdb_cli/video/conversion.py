"""Exact conversion of frames to RGB and back.

Two things no default does right: the matrix and range are given explicitly both ways, and chroma
is sited at the left, where players of H.264, HEVC and AV1 expect it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import av
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.chroma import rounded
from vsrdb_cli.video.colour import (
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
from vsrdb_cli.video.filters import FilterChain

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

_PLANAR_YUV = re.compile(r"yuvj?(420|422|444)p(10le|12le)?")
# Decoders of these leave a frame's chroma site open, and swscale then takes the centre.
_UNSITED_CODECS = {"vp8", "vp9", "av1", "ffv1", "y4m"}


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
        to_sdr: whether HDR becomes BT.709, mapped to its smaller ranges of colour and light.
    """

    def __init__(
        self, codec: str, colour: Colour, bit_depth_out: int, *, to_sdr: bool = False
    ) -> None:
        self._colour = colour
        self._to_sdr = to_sdr
        self._depth = bit_depth_out
        self._target = "gbrp" if bit_depth_out == 8 else "gbrp16le"
        self._left = _LeftSited() if codec in _UNSITED_CODECS else None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Tensor:
        """(3, H, W), uint8 (white 255) or uint16 (white 65280); the memory is its own."""
        source_format = frame.format
        range_ = frame.color_range or self._colour.range
        if is_grey(source_format):
            return self._grey(frame, range_)
        if is_rgb(source_format):
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
        green, blue, red = (from_dlpack(plane) for plane in planar.planes)
        rgb = torch.stack((red, green, blue))
        # What comes out of swscale's table of colours is full-range 16-bit RGB.
        white = 0xFFFF if self._to_sdr else white_16(source_format, range_)
        if self._depth == 8 or white == WHITE_16:
            return rgb
        return _rescale(rgb, white, WHITE_16)

    def _grey(self, frame: VideoFrame, range_: int) -> Tensor:
        """swscale takes grey samples for 0 to white whatever their range."""
        bits = bit_depth(frame.format)
        name = "gray" if bits == 8 else f"gray{bits}le"
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
                frame = rounded(frame, self._pix_fmt, self._colour.range)
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
