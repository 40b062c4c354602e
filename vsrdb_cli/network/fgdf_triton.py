"""`vsrdb::fgdf` on CUDA: warp, mask, kernel normalisation, filtering and pixel layout in one pass.

The kernels, s^2 k^2 numbers a pixel and frame, are all that is large: each is read once, where the
convolution left it (channels last or planar), and no warped frame is ever stored. Arithmetic is in
float32 whatever the tensors' precision. Tests run the same source in Triton's interpreter on the
CPU and compile it for every architecture from sm_75 to sm_120.
"""

# ruff: noqa: N803, PLR0917 - a kernel takes every stride, and constants in capitals
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vsrdb_cli.network.sampling_triton import corner_of

# Neighbouring pixels of one row that one program restores, each with its s^2 sub-pixels.
PIXELS = 32
WARPS = 4


@triton.jit
def _sample(frame, x, y, height, width, stride_c, stride_y, stride_x):  # type: ignore[no-untyped-def]
    """Read red, green and blue of one frame at (x, y): bilinear, zeros outside."""
    red = tl.zeros_like(x)
    green = tl.zeros_like(x)
    blue = tl.zeros_like(x)
    for corner in tl.static_range(4):
        weight, offset, inside = corner_of(x, y, corner, height, width, stride_y, stride_x)
        place = frame + offset
        r = tl.load(place, mask=inside, other=0.0)
        g = tl.load(place + stride_c, mask=inside, other=0.0)
        b = tl.load(place + stride_c + stride_c, mask=inside, other=0.0)
        red += weight * r.to(tl.float32)
        green += weight * g.to(tl.float32)
        blue += weight * b.to(tl.float32)
    return red, green, blue


@triton.jit  # type: ignore[untyped-decorator]
def fgdf_kernel(  # type: ignore[no-untyped-def]
    frames, flow_mask, kernel, out,
    length, height, width,
    frames_b, frames_t, frames_c, frames_y, frames_x,
    flow_b, flow_t, flow_c, flow_y, flow_x,
    kernel_b, kernel_t, kernel_c, kernel_y, kernel_x,
    out_b, out_c, out_y, out_x,
    SCALE: tl.constexpr, KSIZE: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Compute PIXELS neighbours of row y of picture b, all sub-pixels, three colours."""
    taps: tl.constexpr = KSIZE * KSIZE
    b = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    subpixel = tl.arange(0, SCALE * SCALE)
    valid = (x < width)[:, None] & (subpixel >= 0)[None, :]

    kernel_offset = (subpixel * taps).to(tl.int64)[None, :] * kernel_c
    kernel_offset += x.to(tl.int64)[:, None] * kernel_x
    red = tl.zeros((PIXELS, SCALE * SCALE), tl.float32)
    green = tl.zeros_like(red)
    blue = tl.zeros_like(red)
    weight_sum = tl.zeros_like(red)
    red_sum = tl.zeros((PIXELS,), tl.float32)
    green_sum = tl.zeros_like(red_sum)
    blue_sum = tl.zeros_like(red_sum)

    for frame in range(length):
        # From 2.7 megapixels on, offsets of frames and taps exceed 32 bits.
        t = tl.cast(frame, tl.int64)
        flow = flow_mask + b * flow_b + t * flow_t
        plane = frames + b * frames_b + t * frames_t
        row = kernel + b * kernel_b + t * kernel_t + y.to(tl.int64) * kernel_y + kernel_offset
        for tap in range(taps):
            # X' is read at the neighbours, the border repeated.
            tap_y = tl.minimum(tl.maximum(y + tap // KSIZE - KSIZE // 2, 0), height - 1)
            tap_x = tl.minimum(tl.maximum(x + tap % KSIZE - KSIZE // 2, 0), width - 1)
            place = flow + tap_y.to(tl.int64) * flow_y + tap_x.to(tl.int64) * flow_x
            from_x = tap_x + tl.load(place).to(tl.float32)
            from_y = tap_y + tl.load(place + flow_c).to(tl.float32)
            mask = 1 / (1 + tl.exp(-tl.load(place + flow_c + flow_c).to(tl.float32)))
            r, g, bl = _sample(plane, from_x, from_y, height, width, frames_c, frames_y, frames_x)
            r *= mask
            g *= mask
            bl *= mask
            weight = tl.load(row + tl.cast(tap, tl.int64) * kernel_c, mask=valid, other=0.0).to(
                tl.float32
            )
            red += weight * r[:, None]
            green += weight * g[:, None]
            blue += weight * bl[:, None]
            weight_sum += weight
            red_sum += r
            green_sum += g
            blue_sum += bl

    # sum((K - mean(K) + 1/N) X') = sum(K X') + (1 - sum(K)) / N * sum(X'), N = T k^2.
    rest = (1 - weight_sum) / (length * taps)
    red += rest * red_sum[:, None]
    green += rest * green_sum[:, None]
    blue += rest * blue_sum[:, None]

    row_hr = y.to(tl.int64) * SCALE + (subpixel // SCALE)[None, :]
    column_hr = x.to(tl.int64)[:, None] * SCALE + (subpixel % SCALE)[None, :]
    target = out + b * out_b + row_hr * out_y + column_hr * out_x
    tl.store(target, red, mask=valid)
    tl.store(target + out_c, green, mask=valid)
    tl.store(target + out_c + out_c, blue, mask=valid)


def launch(
    frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int, out: Tensor
) -> None:
    """Fill `out`, (B, 3, s H, s W); the rest as `vsrdb::fgdf` takes it, any strides."""
    batch, length, channels, height, width = frames.shape
    if channels != 3 or scale & (scale - 1):
        raise ValueError(f"{channels} channels at scale {scale}; written for 3, scale 2^n")
    grid = (triton.cdiv(width, PIXELS), height, batch)
    # Triton launches on the current device, wherever its operands are.
    with torch.cuda.device_of(kernel):  # type: ignore[no-untyped-call]
        fgdf_kernel[grid](
            frames,
            flow_mask,
            kernel,
            out,
            length,
            height,
            width,
            *frames.stride(),
            *flow_mask.stride(),
            *kernel.stride(),
            *out.stride(),
            SCALE=scale,
            KSIZE=ksize,
            PIXELS=PIXELS,
            num_warps=WARPS,
        )
