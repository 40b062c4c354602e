"""The Triton kernels behind `fused`; arithmetic is in float32 whatever the tensors' precision.

Tests run the same source in Triton's interpreter on the CPU and compile it for every architecture
from sm_75 to sm_120.
"""

# ruff: noqa: N803, PLR0917 - a kernel takes every stride, and constants in capitals
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vsrdb_cli.network.sampling_triton import corner_of

# Neighbouring pixels of one row that one program warps.
PIXELS = 32
# Numbers of a gate that one program makes.
NUMBERS = 1024
# Pixels that one program multiplies at once, and that it sums up in all.
BLOCK, SPAN = 64, 2048
WARPS = 4


@triton.jit  # type: ignore[untyped-decorator]
def warp_kernel(  # type: ignore[no-untyped-def]
    feature, flow_mask, out,
    length, height, width,
    feature_n, feature_c, feature_y, feature_x,
    flow_n, flow_c, flow_y, flow_x,
    out_b, out_c, out_y, out_x,
    GROUPS: tl.constexpr, OF_GROUP: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """One program: PIXELS neighbours of row y of frame n, all channels; CHANNELS >= OF_GROUP."""
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, CHANNELS)
    valid = (x < width)[:, None] & (channel < OF_GROUP)[None, :]
    flow = flow_mask + n * flow_n + y.to(tl.int64) * flow_y + x.to(tl.int64) * flow_x
    target = out + n // length * out_b + n % length * (GROUPS * OF_GROUP) * out_c
    target += y.to(tl.int64) * out_y + x.to(tl.int64)[:, None] * out_x
    for group in range(GROUPS):
        g = tl.cast(group, tl.int64)
        own = flow + 3 * g * flow_c
        from_x = x + tl.load(own, mask=x < width, other=0.0).to(tl.float32)
        from_y = y + tl.load(own + flow_c, mask=x < width, other=0.0).to(tl.float32)
        logit = tl.load(own + 2 * flow_c, mask=x < width, other=0.0).to(tl.float32)
        channels = (g * OF_GROUP + channel)[None, :]
        source = feature + n * feature_n + channels * feature_c
        warped = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for corner in tl.static_range(4):
            weight, place, inside = corner_of(
                from_x, from_y, corner, height, width, feature_y, feature_x
            )
            read = tl.load(source + place[:, None], mask=valid & inside[:, None], other=0.0)
            warped += weight[:, None] * read.to(tl.float32)
        warped *= (1 / (1 + tl.exp(-logit)))[:, None]
        tl.store(target + channels * out_c, warped, mask=valid)


@triton.jit  # type: ignore[untyped-decorator]
def gate_kernel(  # type: ignore[no-untyped-def]
    hidden, out, numbers, channels, NUMBERS: tl.constexpr
):
    """One program: NUMBERS of gelu(first half) * second half, all channels of a pixel together."""
    index = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    valid = index < numbers
    place = hidden + index // channels * channels + index
    gate = tl.load(place, mask=valid, other=0.0).to(tl.float32)
    value = tl.load(place + channels, mask=valid, other=0.0).to(tl.float32)
    gelu = gate * 0.5 * (1 + tl.erf(gate * 0.7071067811865476))
    tl.store(out + index, gelu * value, mask=valid)


@triton.jit  # type: ignore[untyped-decorator]
def products_kernel(  # type: ignore[no-untyped-def]
    q, k, out,
    pixels, width, spans,
    q_b, q_c, q_y, q_x,
    k_b, k_c, k_y, k_x,
    OF_HEAD: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """One program: q^T k of one head over SPAN pixels, then the squares of q and of k, summed.

    `out` (B, spans, heads, OF_HEAD + 2, OF_HEAD), contiguous.
    """
    span = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    channel = tl.arange(0, CHANNELS)
    channels = head * OF_HEAD + channel
    products = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    q_squares = tl.zeros((CHANNELS,), tl.float32)
    k_squares = tl.zeros_like(q_squares)
    for step in range(SPAN // BLOCK):
        pixel = span * SPAN + step * BLOCK + tl.arange(0, BLOCK)
        y = (pixel // width).to(tl.int64)
        x = (pixel % width).to(tl.int64)
        valid = (pixel < pixels)[:, None] & (channel < OF_HEAD)[None, :]
        place = b * q_b + (y * q_y + x * q_x)[:, None] + channels[None, :] * q_c
        queries = tl.load(q + place, mask=valid, other=0.0)
        place = b * k_b + (y * k_y + x * k_x)[:, None] + channels[None, :] * k_c
        keys = tl.load(k + place, mask=valid, other=0.0)
        products += tl.dot(tl.trans(queries), keys, input_precision="ieee")
        q_squares += tl.sum(queries.to(tl.float32) * queries.to(tl.float32), axis=0)
        k_squares += tl.sum(keys.to(tl.float32) * keys.to(tl.float32), axis=0)
    heads = tl.num_programs(1)
    target = out + ((b * spans + span) * heads + head) * (OF_HEAD + 2) * OF_HEAD + channel
    inside = channel < OF_HEAD
    rows = target[None, :] + channel[:, None] * OF_HEAD
    tl.store(rows, products, mask=inside[:, None] & inside[None, :])
    tl.store(target + OF_HEAD * OF_HEAD, q_squares, mask=inside)
    tl.store(target + (OF_HEAD + 1) * OF_HEAD, k_squares, mask=inside)


def multi_flow_warp(feature: Tensor, flow_mask: Tensor, length: int, out: Tensor) -> None:
    """Fill `out` (N / length, length C, H, W); the rest as `fused.multi_flow_warp` takes it."""
    frames, channels, height, width = feature.shape
    groups = flow_mask.shape[1] // 3
    # Triton launches on the current device, wherever its operands are.
    with torch.cuda.device_of(feature):  # type: ignore[no-untyped-call]
        warp_kernel[triton.cdiv(width, PIXELS), height, frames](
            feature,
            flow_mask,
            out,
            length,
            height,
            width,
            *feature.stride(),
            *flow_mask.stride(),
            *out.stride(),
            GROUPS=groups,
            OF_GROUP=channels // groups,
            CHANNELS=triton.next_power_of_2(channels // groups),
            PIXELS=PIXELS,
            num_warps=WARPS,
        )


def gelu_gate(hidden: Tensor, out: Tensor) -> None:
    """Fill `out` (N, h, H, W) from `hidden` (N, 2h, H, W), both channels last."""
    with torch.cuda.device_of(hidden):  # type: ignore[no-untyped-call]
        gate_kernel[(triton.cdiv(out.numel(), NUMBERS),)](
            hidden, out, out.numel(), out.shape[1], NUMBERS=NUMBERS, num_warps=WARPS
        )


def channel_products(q: Tensor, k: Tensor, heads: int, out: Tensor) -> None:
    """Fill `out` (B, heads, c + 2, c) from q and k (B, heads c, H, W), any strides."""
    batch, channels, height, width = q.shape
    of_head, spans = channels // heads, triton.cdiv(height * width, SPAN)
    # Sums of parts, added in one order: atomic additions would give other digits every time.
    parts = q.new_empty((batch, spans, *out.shape[1:]), dtype=torch.float32)
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
        products_kernel[spans, heads, batch](
            q,
            k,
            parts,
            height * width,
            width,
            spans,
            *q.stride(),
            *k.stride(),
            OF_HEAD=of_head,
            CHANNELS=max(triton.next_power_of_2(of_head), 16),
            BLOCK=BLOCK,
            SPAN=SPAN,
            num_warps=WARPS,
        )
    torch.sum(parts, dim=1, out=out)
