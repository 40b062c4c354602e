"""The colour matrix, range, primaries and transfer of a video.

Codes are those of ITU-T H.273: matrix 1 = BT.709, 5 and 6 = BT.601, 9 = BT.2020; 2 = unspecified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from av.video.reformatter import ColorRange

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, is_grey, is_rgb

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from torch import Tensor

WHITE_8 = 255
WHITE_16 = 65280  # swscale's 16-bit RGB is 8-bit RGB shifted: 255 << 8
_ROWS = 64

RGB, BT709, UNSPECIFIED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL = 0, 1, 2, 4, 5, 6, 7, 9
BT2020_CL = 10
PQ, HLG = 16, 18
TV, PC = int(ColorRange.MPEG), int(ColorRange.JPEG)

_LIMITED_UNLESS_SAID = ("h264", "hevc", "vvc", "av1")
# The primaries and transfer that go with a matrix, for files that name only the matrix.
COMPANIONS = {
    BT709: (1, 1),
    FCC: (4, 4),
    BT470BG: (5, 6),
    SMPTE170M: (6, 6),
    SMPTE240M: (7, 7),
    BT2020_NCL: (9, 14),
}


@dataclass(frozen=True, slots=True)
class Colour:
    """How the samples of a video stand for colours; H.273 codes, all specified."""

    matrix: int
    """From YUV to RGB."""
    range: int
    """1 = tv (16 to 235), 2 = pc (0 to 255)."""
    primaries: int
    """Of red, green and blue."""
    transfer: int
    """From light to signal."""

    @property
    def hdr(self) -> bool:
        """True if the signal is PQ or HLG, on which the network was not trained."""
        return self.transfer in (PQ, HLG)

    @property
    def hdr_name(self) -> str:
        """The usual name of the HDR transfer."""
        return "PQ" if self.transfer == PQ else "HLG"


SDR = Colour(BT709, TV, *COMPANIONS[BT709])


def colour_of(
    *, matrix: int, range_: int, primaries: int, transfer: int, rgb: bool, height: int, width: int
) -> Colour:
    """Fill in what a video does not specify: old small video is BT.601, anything else BT.709.

    RGB sources are written as BT.709 in tv range, which every player understands.
    """
    if rgb:
        primaries_709, transfer_709 = COMPANIONS[BT709]
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
    if matrix == BT2020_CL or matrix not in COMPANIONS:
        # The filter does not guess what the video leaves unspecified.
        guesses = {"iprimaries": primaries, "itrc": transfer}
        given = "".join(f":{k}=bt709" for k, v in guesses.items() if v in (0, UNSPECIFIED))
        raise VideoError(
            f"the video's colour matrix (H.273 code {matrix}) is not supported",
            hint=f"convert it to BT.709 first: ffmpeg -i IN -vf colorspace=bt709{given} OUT",
        )
    usual_primaries, usual_transfer = COMPANIONS[matrix]
    return Colour(
        matrix,
        PC if range_ == PC else TV,
        usual_primaries if primaries in (0, UNSPECIFIED) else primaries,
        usual_transfer if transfer in (0, UNSPECIFIED) else transfer,
    )


def range_of(said: int, pixel_format: VideoFormat, codec: str) -> int:
    """Return the range of samples as specified, or the customary one.

    Unspecified grey is full range, as in FFmpeg, except for codecs with a tag whose absence means
    limited range.
    """
    untagged = said not in (TV, PC)
    if untagged and is_grey(pixel_format) and codec not in _LIMITED_UNLESS_SAID:
        return PC
    return said


def grey_assumed(range_: int) -> str:
    """Describe in one line which range is assumed for grey samples."""
    codes = "0 for black and the highest code" if range_ == PC else "16 (of 255) for black and 235"
    return f"the file does not specify its grey range: {codes} for white is assumed, as players do"


def white_16(pixel_format: VideoFormat, range_: int) -> int:
    """Return where swscale has white in the 16-bit RGB it makes of a format.

    Full-range samples are only shifted up, so their white has ones below it or zeros.
    """
    if is_rgb(pixel_format) or range_ == PC:
        bits = min(16, bit_depth(pixel_format))
        return ((1 << bits) - 1) << (16 - bits)
    return WHITE_16


def to_float(rgb: Tensor) -> Tensor:
    """Convert codes to float32, 0 to 1: uint8 with white at 255, uint16 with white at 65280."""
    white = WHITE_8 if rgb.dtype == torch.uint8 else WHITE_16
    return rgb.to(torch.float32).div_(white)


def to_planes(rgb: Tensor, depth: int) -> Tensor:
    """Convert float RGB, 0 to 1, to the codes of a `Frame`: uint8 for depth 8, else uint16.

    Values outside are clamped; halves round to even.
    """
    white, kind = (WHITE_8, np.uint8) if depth == 8 else (WHITE_16, np.uint16)
    values = rgb.to(torch.float32).numpy(force=True)
    codes = np.empty(values.shape, kind)
    # In strips that fit into a core's own cache; numpy starts no threads.
    for begin in range(0, values.shape[1], _ROWS):
        part = values[:, begin : begin + _ROWS] * np.float32(white)
        codes[:, begin : begin + _ROWS] = np.rint(part.clip(0, white, out=part), out=part)
    return torch.from_numpy(codes)
