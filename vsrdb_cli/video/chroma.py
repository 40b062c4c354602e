"""YUV of 16 bits to the codes of an encoder, with chroma that gives back what it was made of.

Enlarged chroma that is halved again by swscale's bicubic filters comes out softer than it was. How
much softer is known, so it is undone on the halved samples: a picture that nothing is done to then
leaves with the samples it came with, and what players make of any other is nearer to its RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import av
import torch
import torch.nn.functional as F
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.colour import PC, bit_depth

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

# A symmetric filter's middle and one side: the inverse, within 3 %, of enlarging and halving by
# the cubic filter with a = -0.6; where a sample lies on the first of its two pixels, and between.
_UNDO_LEFT = (1.2700, -0.2107, 0.1019, -0.0262)
_UNDO_MIDDLE = (1.2986, -0.2333, 0.1135, -0.0295)
# Padding knows no unsigned numbers of 16 bits.
_SIGNED = {torch.uint8: torch.int8, torch.uint16: torch.int16}
_WIDTH, _HEIGHT = 2, 1  # the axes of (planes, height, width)


def rounded(deep: VideoFrame, pix_fmt: str, range_: int) -> VideoFrame:
    """Planar YUV of 16 bits as the nearest codes of fewer.

    Full-range chroma comes out of swscale cut off instead of rounded when it makes fewer itself.

    Args:
        deep: in "yuv420p16le" or the like, chroma at the left, made by swscale.
        pix_fmt: of the same subsampling.
        range_: of the colour.
    """
    bits = bit_depth(av.VideoFormat(pix_fmt))
    top, kind = (1 << bits) - 1, torch.uint8 if bits == 8 else torch.uint16
    # From 16 bits full range counts to 65535, the other ends in zeros.
    scale = top / 0xFFFF if range_ == PC else 1 / (1 << (16 - bits))
    luma, *chroma = (from_dlpack(plane) for plane in deep.planes)
    planes = torch.stack([plane.to(torch.float32) for plane in chroma]).sub_(1 << 15).mul_(scale)
    if planes.shape[_WIDTH] < luma.shape[1]:
        planes = _filtered(planes, _UNDO_LEFT, _WIDTH)
    if planes.shape[_HEIGHT] < luma.shape[0]:
        planes = _filtered(planes, _UNDO_MIDDLE, _HEIGHT)
    codes = planes.add_(1 << (bits - 1)).round_().clamp_(0, top).to(kind)
    bright = luma.to(torch.float32).mul_(scale).round_().clamp_(0, top).to(kind)
    return _frame((bright, *codes), pix_fmt)


def _frame(planes: Sequence[Tensor], pix_fmt: str) -> VideoFrame:
    height, width = planes[0].shape
    if height % 2 == width % 2 == 0:
        return av.VideoFrame.from_dlpack(tuple(planes), format=pix_fmt)
    # PyAV shares no planes of odd sizes: they are copied.
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, codes in zip(frame.planes, planes, strict=True):
        row = target.line_size // codes.itemsize
        padded = F.pad(codes.view(_SIGNED[codes.dtype]), (0, row - codes.shape[1]))
        target.update(padded.numpy().tobytes())
    return frame


def _filtered(planes: Tensor, half: Sequence[float], axis: int) -> Tensor:
    """Through a symmetric filter along an axis; what lies outside is as at the edge."""
    size, reach = planes.shape[axis], len(half) - 1
    wide = planes.index_select(axis, torch.arange(-reach, size + reach).clamp_(0, size - 1))
    result = wide.narrow(axis, reach, size) * half[0]
    for distance in range(1, reach + 1):
        for place in (reach - distance, reach + distance):
            result.add_(wide.narrow(axis, place, size), alpha=half[distance])
    return result
