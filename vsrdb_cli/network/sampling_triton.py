"""Bilinear sampling, as every Triton kernel that warps does it."""

# ruff: noqa: PLR0917 - a kernel takes every stride
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def corner_of(x, y, corner: tl.constexpr, height, width, stride_y, stride_x):  # type: ignore[no-untyped-def]
    """Return the weight of one of the four pixels around (x, y), its offset, and if it is inside.

    A pixel outside must be read as 0: its weight times another pixel's infinity would be a NaN. At
    coordinates that are not finite the weight is a NaN, and so is the result.
    """
    x0 = tl.floor(x)
    y0 = tl.floor(y)
    fx = x - x0
    fy = y - y0
    cx = x0 + corner % 2
    cy = y0 + corner // 2
    # Compared as floats: a place far away or not finite never becomes an address.
    inside = (cx >= 0) & (cx <= width - 1) & (cy >= 0) & (cy <= height - 1)
    weight = (fx if corner % 2 else 1 - fx) * (fy if corner // 2 else 1 - fy)
    offset = tl.where(inside, cy, 0).to(tl.int64) * stride_y
    offset += tl.where(inside, cx, 0).to(tl.int64) * stride_x
    return weight, offset, inside
