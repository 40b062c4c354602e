"""Colour: which matrix and range a video has, and exact conversion to RGB and back.

Two things no default does right: the matrix and range are given explicitly both ways, and chroma
is sited at the left, where players of H.264, HEVC and AV1 expect it.
Codes are those of ITU-T H.273: matrix 1 = BT.709, 5 and 6 = BT.601, 9 = BT.2020; 2 = not said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import torch
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.filters import FilterChain

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from torch import Tensor

WHITE_8 = 255
WHITE_16 = 65280  # swscale's 16-bit RGB is 8-bit RGB shifted: 255 << 8

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

RGB, BT709, UNSPECIFIED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL = 0, 1, 2, 4, 5, 6, 7, 9
BT2020_CL = 10
PQ, HLG = 16, 18
TV, PC = int(ColorRange.MPEG), int(ColorRange.JPEG)

# The primaries and transfer that go with a matrix, for files that name only the matrix.
_COMPANIONS = {
    BT709: (1, 1),
    FCC: (4, 4),
    BT470BG: (5, 6),
    SMPTE170M: (6, 6),
    SMPTE240M: (7, 7),
    BT2020_NCL: (9, 14),
}
_GRAY = ("gray", "ya8", "ya16")
_PLANAR_YUV = re.compile(r"yuvj?(420|422|444)p(10le|12le)?")
# Decoders of these leave a frame's chroma site open, and swscale then takes the centre.
_UNSITED_CODECS = {"vp8", "vp9", "av1", "ffv1", "y4m"}


@dataclass(frozen=True, slots=True)
class Colour:
    """How the samples of a video stand for colours; H.273 codes, none of them open.

    Attributes:
        matrix: from YUV to RGB.
        range: 1 = tv (16 to 235), 2 = pc (0 to 255).
        primaries: what red, green and blue are.
        transfer: from light to signal.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int

    @property
    def hdr(self) -> bool:
        """Whether the signal is PQ or HLG, which the network has never seen."""
        return self.transfer in (PQ, HLG)


SDR = Colour(BT709, TV, *_COMPANIONS[BT709])


def colour_of(
    *, matrix: int, range_: int, primaries: int, transfer: int, rgb: bool, height: int, width: int
) -> Colour:
    """Fill what a video leaves open: old small video is BT.601, anything else BT.709.

    RGB sources are written as BT.709 in tv range, which every player understands.
    """
    if rgb:
        primaries_709, transfer_709 = _COMPANIONS[BT709]
        return Colour(
            BT709,
            TV,
            primaries_709 if primaries == UNSPECIFIED or not primaries else primaries,
            transfer_709 if transfer in (0, UNSPECIFIED, 13) else transfer,
        )
    if matrix in (UNSPECIFIED, RGB):
        if width < 1280 and height <= 576:
            matrix = BT470BG if height in (576, 288) else SMPTE170M
        else:
            matrix = BT709
    if matrix == BT2020_CL or matrix not in _COMPANIONS:
        raise VideoError(
            f"the colour matrix of the video is number {matrix} of H.273, which cannot be read",
            hint="convert it to BT.709 first, for example with: ffmpeg -i IN -vf colorspace=bt709",
        )
    usual_primaries, usual_transfer = _COMPANIONS[matrix]
    return Colour(
        matrix,
        PC if range_ == PC else TV,
        usual_primaries if primaries in (0, UNSPECIFIED) else primaries,
        usual_transfer if transfer in (0, UNSPECIFIED) else transfer,
    )


def is_rgb(pixel_format: VideoFormat) -> bool:
    """Whether samples are R, G and B already; palettes are."""
    return pixel_format.is_rgb or pixel_format.has_palette


def bit_depth(pixel_format: VideoFormat) -> int:
    """Bits of the deepest colour channel."""
    if pixel_format.has_palette:
        return 8
    return max(component.bits for component in pixel_format.components)


def white_16(pixel_format: VideoFormat, range_: int) -> int:
    """Where swscale has white in 16-bit RGB it makes of a format.

    Full-range samples are only shifted up, so their white has ones below it or zeros.
    """
    if is_rgb(pixel_format) or range_ == PC:
        bits = min(16, bit_depth(pixel_format))
        return ((1 << bits) - 1) << (16 - bits)
    return WHITE_16


def to_float(rgb: Tensor) -> Tensor:
    """Codes to float32, 0 to 1: uint8 with white at 255, uint16 with white at 65280."""
    white = WHITE_8 if rgb.dtype == torch.uint8 else WHITE_16
    return rgb.to(torch.float32).div_(white)


def to_planes(rgb: Tensor, depth: int) -> Tensor:
    """Float RGB, 0 to 1, to the codes of a `Frame`: uint8 for a depth of 8, else uint16.

    Values outside are clamped; halves round to even.
    """
    white, dtype = (WHITE_8, torch.uint8) if depth == 8 else (WHITE_16, torch.uint16)
    codes = rgb.to(torch.float32).clamp(0, 1).mul_(white).round_()
    return codes.to(dtype)


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
        if source_format.name.startswith(_GRAY):
            return self._grey(frame, range_)
        if is_rgb(source_format):
            range_ = PC
            planar = self._reformatter.reformat(
                frame, format=self._target, interpolation=EXACT, threads=1
            )
        else:
            matrix = int(frame.colorspace)
            if matrix not in _COMPANIONS:
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
        # Full-range chroma comes out of swscale cut off instead of rounded, which is half a code
        # too little at 8 bits: it is taken at 16 and rounded here.
        planar = _PLANAR_YUV.fullmatch(pix_fmt)
        self._deep = f"yuv{planar[1]}p16le" if planar and colour.range == PC else None
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
                frame = _rounded(frame, self._pix_fmt, bit_depth(self._format))
            frame.colorspace = self._colour.matrix
            frame.color_range = self._colour.range
        # ProRes writes these of the frame, whatever the encoder was told.
        frame.color_primaries = self._colour.primaries
        frame.color_trc = self._colour.transfer
        frame.pict_type = 0  # the encoder obeys it, and decides better itself
        return frame


def _rounded(deep: VideoFrame, pix_fmt: str, bits: int) -> VideoFrame:
    """Full-range YUV of 16 bits as the nearest codes of fewer."""
    top = (1 << bits) - 1
    kind = torch.uint8 if bits == 8 else torch.uint16
    planes = [from_dlpack(plane).to(torch.float32) for plane in deep.planes]
    for plane, middle in zip(planes, (0, 1, 1), strict=True):
        plane.sub_(middle << 15).mul_(top / 0xFFFF).add_(middle << (bits - 1)).round_()
    codes = tuple(plane.clamp_(0, top).to(kind) for plane in planes)
    return av.VideoFrame.from_dlpack(codes, format=pix_fmt)


def _swscale_matrix(matrix: int) -> int:
    """swscale knows BT.601 by one number only."""
    return BT470BG if matrix == SMPTE170M else matrix


def _rescale(codes: Tensor, white: int, new_white: int) -> Tensor:
    scaled = codes.to(torch.float32).mul_(new_white / white).round_()
    return scaled.clamp_(0, new_white).to(torch.uint16)
