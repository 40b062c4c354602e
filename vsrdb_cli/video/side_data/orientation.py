"""The display matrix: how players rotate and mirror a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from av.sidedata.sidedata import Type

from vsrdb_cli.video.side_data.attachments import side_data

if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from torch import Tensor

ONE = 1 << 16
_UPRIGHT = (ONE, 0, 0, ONE)
# The last column's unit is 1/2**30.
_LAST = 1 << 30

Orientation = tuple[int, int, int, int]


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """Return the part of a frame's display matrix that turns and mirrors; None if neither.

    The translation is ignored: it is in pixels, and players shift the picture into view.
    """
    data = side_data(frame).get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = np.frombuffer(data, np.int32)
    a, b, c, d = (_snapped(int(matrix[i])) for i in (0, 1, 3, 4))
    return None if (a, b, c, d) == _UPRIGHT else (a, b, c, d)


def _snapped(value: int) -> int:
    """Return a matrix entry, exact where it is only a little off 0 or 1."""
    return next((exact for exact in (-ONE, 0, ONE) if abs(value - exact) < ONE // 100), value)


def is_right_angled(orientation: Orientation) -> bool:
    """Return whether it is one of the eight turns and mirrorings by right angles."""
    a, b, c, d = orientation
    straight = (abs(a), abs(d), b, c) == (ONE, ONE, 0, 0)
    return straight or (a, d, abs(b), abs(c)) == (0, 0, ONE, ONE)


def set_orientation(stream: VideoStream, orientation: Orientation) -> None:
    """Set the display matrix of an output's video, before its header is written."""
    a, b, c, d = orientation
    stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, _LAST))


def upright(rgb: Tensor, orientation: Orientation | None) -> Tensor:
    """Turn (3, H, W) codes as players show them; other than right angles are left as they are."""
    if orientation is None or not is_right_angled(orientation):
        return rgb
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    a, b, c, d = orientation
    if a == 0:
        rgb = rgb.transpose(1, 2)
        # Now the first matrix row belongs to what was y.
        a, d = c, b
    flipped = [axis for axis, sign in ((2, a), (1, d)) if sign < 0]
    return torch.flip(rgb, flipped).contiguous() if flipped else rgb.contiguous()


def upright_ratio(ratio: Fraction | None, orientation: Orientation | None) -> Fraction | None:
    """Return a pixel's width over its height in what `upright` returns."""
    lies = upright_size(0, 1, orientation) == (1, 0)
    return 1 / ratio if ratio is not None and lies else ratio


def upright_size(height: int, width: int, orientation: Orientation | None) -> tuple[int, int]:
    """Return height and width of what `upright` returns."""
    lies = orientation is not None and is_right_angled(orientation) and orientation[0] == 0
    return (width, height) if lies else (height, width)
