"""Convert decoded frames exactly to RGB.

Two things no default does right: the matrix and range are given explicitly, and chroma is sited at
the left, where players of H.264, HEVC and AV1 expect it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter
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
    to_planes,
    white_16,
)
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, is_grey, is_rgb, is_shallow, unpacked

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

Crop = tuple[int, int, int, int]
NO_CROP = (0, 0, 0, 0)
# Decoders of these leave a frame's chroma site open, and swscale then takes the centre.
_UNSITED_CODECS = {"vp8", "vp9", "av1", "ffv1", "y4m"}

# Formats with the samples wanted; swscale loses the last row when it only drops 16-bit alpha.
_SAME_COLOURS = {"gbrp": ("gbrp", "gbrap"), "gbrp16le": ("gbrp16le", "gbrap16le")}


class LeftSited:
    """Marks frames' chroma as sited at the left; the samples are untouched."""

    def __init__(self) -> None:
        self._chain = FilterChain(("setparams", "chroma_location=left"))

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        (sited,) = self._chain.push(frame)
        return sited


class ToRgb:
    """Converts decoded frames to (3, H, W) codes. One per thread; keeps swscale's tables.

    Args:
        codec: FFmpeg's name of it.
        colour: for frames without tags.
        bit_depth_out: 8 or 16.
        crop: lines and columns to cut off at the top, bottom, left and right.
        to_sdr: whether to convert HDR to BT.709, mapped to its smaller ranges of colour and light.
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
        self._left = LeftSited() if codec in _UNSITED_CODECS else None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Tensor:
        """Return (3, H, W), uint8 (white 255) or uint16 (white 65280), in its own memory.

        Raises:
            VideoError: the frame's pixel format is not supported.
            MemoryError: there is not enough memory.
        """
        top, bottom, left, right = self._crop
        try:
            rgb = self._converted(frame)
        except FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(
                f"the pixel format {frame.format.name} is not supported",
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
                src_colorspace=swscale_matrix(matrix),
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
        return rescaled(rgb, white, WHITE_16)

    def _grey(self, frame: VideoFrame, range_: int) -> Tensor:
        """Convert grey samples, which swscale takes for 0 to white whatever their range."""
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


def swscale_matrix(matrix: int) -> int:
    """Return the number of a matrix as swscale knows it: it has one for BT.601."""
    return BT470BG if matrix == SMPTE170M else matrix


def rescaled(codes: Tensor, white: int, new_white: int) -> Tensor:
    scaled = codes.to(torch.float32).mul_(new_white / white).round_()
    return scaled.clamp_(0, new_white).to(torch.uint16)
