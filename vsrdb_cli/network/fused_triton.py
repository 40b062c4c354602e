"""The Triton kernels behind `fused`; arithmetic is in float32 whatever the tensors' precision.

Tests run the same source in Triton's interpreter on the CPU and compile it for every architecture
from sm_75 to sm_120.
"""

# ruff: noqa: N803, PLR0917 - a kernel takes every stride, and constants in capitals
from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vsrdb_cli.network.sampling_triton import corner_of

# Neighbouring pixels of one row that one program warps.
PIXELS = 32
# Numbers of a sum that one program makes; pixels and channels of a depthwise convolution.
NUMBERS = 1024
DEPTHWISE_PIXELS, DEPTHWISE_CHANNELS = 16, 64
# Pixels that one program multiplies at once, and that it sums up in all.
BLOCK, SPAN = 64, 512
# Columns of a mixing matrix that one program makes.
OUTPUTS = 32
WARPS = 4


@triton.jit  # type: ignore[untyped-decorator]
def warp_kernel(  # type: ignore[no-untyped-def]
    feature, flow_mask, out,
    length, height, width,
    feature_n, feature_c, feature_y, feature_x,
    flow_n, flow_c, flow_y, flow_x,
    out_b, out_c, out_y, out_x,
    GROUPS: tl.constexpr, OF_GROUP: tl.constexpr, WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Compute PIXELS neighbours of row y of frame n, all WIDTH channels of it.

    CHANNELS >= OF_GROUP; the rest of WIDTH after the groups is set to 0.
    """
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, CHANNELS)
    valid = (x < width)[:, None] & (channel < OF_GROUP)[None, :]
    flow = flow_mask + n * flow_n + y.to(tl.int64) * flow_y + x.to(tl.int64) * flow_x
    target = out + n // length * out_b + n % length * WIDTH * out_c
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
    for first in tl.static_range(GROUPS * OF_GROUP, WIDTH, CHANNELS):
        rest = (first + channel)[None, :]
        inside = (x < width)[:, None] & (rest < WIDTH)
        tl.store(target + rest * out_c, tl.zeros((PIXELS, CHANNELS), tl.float32), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def depthwise_kernel(  # type: ignore[no-untyped-def]
    x, weight, bias, out,
    height, width, channels, blocks,
    BIASED: tl.constexpr, GATED: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Compute PIXELS neighbours of row y, CHANNELS of the `channels` of `out`.

    Channels last. Gated, `x` has twice the channels: gelu(first half) * second half.
    """
    n = (tl.program_id(2) // blocks).to(tl.int64)
    y = tl.program_id(1)
    column = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(2) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    inputs = channels * 2 if GATED else channels
    first = tl.zeros((PIXELS, CHANNELS), tl.float32)
    second = tl.zeros_like(first)
    for tap in tl.static_range(9):
        tap_y = y + tap // 3 - 1
        tap_x = column + tap % 3 - 1
        inside = (tap_y >= 0) & (tap_y < height) & (tap_x >= 0) & (tap_x < width)
        valid = inside[:, None] & known[None, :]
        pixel = (n * height + tap_y) * width + tap_x
        place = x + pixel[:, None] * inputs + channel[None, :]
        own = weight + channel * 9 + tap
        read = tl.load(place, mask=valid, other=0.0).to(tl.float32)
        first += read * tl.load(own, mask=known, other=0.0).to(tl.float32)[None, :]
        if GATED:
            read = tl.load(place + channels, mask=valid, other=0.0).to(tl.float32)
            factor = tl.load(own + channels * 9, mask=known, other=0.0).to(tl.float32)
            second += read * factor[None, :]
    if BIASED:
        first += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
        if GATED:
            own = bias + channels + channel
            second += tl.load(own, mask=known, other=0.0).to(tl.float32)[None, :]
    if GATED:
        first = first * 0.5 * (1 + tl.erf(first * 0.7071067811865476)) * second
    pixel = (n * height + y) * width + column
    target = out + pixel[:, None] * channels + channel[None, :]
    tl.store(target, first, mask=(column < width)[:, None] & known[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def sum_kernel(  # type: ignore[no-untyped-def]
    a, b, c, d, bias, out, copy,
    numbers, a_x, b_x, c_x, d_x, copy_x,
    COUNT: tl.constexpr, BIASED: tl.constexpr, LEAKY: tl.constexpr, COPIED: tl.constexpr,
    CHANNELS: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """Add up NUMBERS of the first COUNT of a to d; `..._x` is the stride between pixels."""
    index = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    valid = index < numbers
    pixel = index // CHANNELS
    channel = index % CHANNELS
    total = tl.load(a + pixel * a_x + channel, mask=valid, other=0.0).to(tl.float32)
    if COUNT > 1:
        total += tl.load(b + pixel * b_x + channel, mask=valid, other=0.0).to(tl.float32)
    if COUNT > 2:
        total += tl.load(c + pixel * c_x + channel, mask=valid, other=0.0).to(tl.float32)
    if COUNT > 3:
        total += tl.load(d + pixel * d_x + channel, mask=valid, other=0.0).to(tl.float32)
    if BIASED:
        total += tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)
    if LEAKY:
        total = tl.where(total >= 0, total, total * 0.2)
    tl.store(out + index, total, mask=valid)
    if COPIED:
        tl.store(copy + pixel * copy_x + channel, total, mask=valid)


@triton.jit  # type: ignore[untyped-decorator]
def products_kernel(  # type: ignore[no-untyped-def]
    q, k, out,
    pixels, width, spans,
    q_b, q_c, q_y, q_x,
    k_b, k_c, k_y, k_x,
    OF_HEAD: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Sum q^T k of one head over SPAN pixels, and then the squares of q and of k.

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


@triton.jit  # type: ignore[untyped-decorator]
def mixing_kernel(  # type: ignore[no-untyped-def]
    products, temperature, absent, projection, out, outputs,
    OF_HEAD: tl.constexpr, CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """Compute one head's rows of `out` (B, heads OF_HEAD, `outputs`), OUTPUTS of each.

    All operands contiguous.
    """
    head = tl.program_id(0)
    own = tl.program_id(1) * tl.num_programs(0) + head
    channel = tl.arange(0, CHANNELS)
    known = channel < OF_HEAD
    place = products + own * (OF_HEAD + 2) * OF_HEAD + channel
    both = known[:, None] & known[None, :]
    dots = tl.load(place[None, :] + channel[:, None] * OF_HEAD, mask=both, other=0.0)
    q_squares = tl.load(place + OF_HEAD * OF_HEAD, mask=known, other=0.0)
    k_squares = tl.load(place + (OF_HEAD + 1) * OF_HEAD, mask=known, other=0.0)
    # Not tl.maximum, which would drop a NaN.
    q_length = tl.where(q_squares < 1e-24, 1e-12, tl.sqrt(q_squares))
    k_length = tl.where(k_squares < 1e-24, 1e-12, tl.sqrt(k_squares))
    logits = dots / (q_length[:, None] * k_length[None, :]) * tl.load(temperature + head)
    logits += tl.load(absent + channel, mask=known, other=float("-inf"))[None, :]
    weights = tl.exp(logits - tl.max(logits, axis=1)[:, None])
    weights /= tl.sum(weights, axis=1)[:, None]
    output = tl.program_id(2) * OUTPUTS + tl.arange(0, OUTPUTS)
    valid = known[:, None] & (output < outputs)[None, :]
    row = (head * OF_HEAD + channel)[:, None] * outputs + output[None, :]
    projected = tl.load(projection + row, mask=valid, other=0.0)
    mixing = tl.dot(tl.trans(weights), projected, input_precision="ieee")
    row = (own * OF_HEAD + channel)[:, None] * outputs + output[None, :]
    tl.store(out + row, mixing, mask=valid)


def multi_flow_warp(
    feature: Tensor, flow_mask: Tensor, groups: Sequence[int], length: int, out: Tensor
) -> None:
    """Fill `out` (N / length, length C, H, W); the rest as `fused.multi_flow_warp` takes it."""
    frames, channels, height, width = feature.shape
    count, size = groups
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
            GROUPS=count,
            OF_GROUP=size,
            WIDTH=channels,
            CHANNELS=triton.next_power_of_2(size),
            PIXELS=PIXELS,
            num_warps=WARPS,
        )


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, gated: bool, out: Tensor) -> None:
    """Fill `out` from `x`, both contiguous, channels last; see `fused.depthwise`."""
    batch, channels, height, width = out.shape
    blocks = triton.cdiv(channels, DEPTHWISE_CHANNELS)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        depthwise_kernel[triton.cdiv(width, DEPTHWISE_PIXELS), height, batch * blocks](
            x,
            weight,
            weight if bias is None else bias,
            out,
            height,
            width,
            channels,
            blocks,
            BIASED=bias is not None,
            GATED=gated,
            CHANNELS=DEPTHWISE_CHANNELS,
            PIXELS=DEPTHWISE_PIXELS,
            num_warps=WARPS,
        )


def sum_up(
    parts: Sequence[Tensor], bias: Tensor | None, leaky: bool, copy: Tensor | None, out: Tensor
) -> None:
    """Fill `out`, contiguous, channels last, and `copy`; see `fused.sum_up`."""
    four = [*parts, *[parts[0]] * (4 - len(parts))]
    held = out if copy is None else copy
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        sum_kernel[(triton.cdiv(out.numel(), NUMBERS),)](
            *four,
            out if bias is None else bias,
            out,
            held,
            out.numel(),
            *(pixel_stride(part) for part in four),
            pixel_stride(held),
            COUNT=len(parts),
            BIASED=bias is not None,
            LEAKY=leaky,
            COPIED=copy is not None,
            CHANNELS=out.shape[1],
            NUMBERS=NUMBERS,
            num_warps=WARPS,
        )


def pixel_stride(x: Tensor) -> int:
    """Return the stride from one pixel to the next of a tensor, or some channels of one.

    Raises:
        ValueError: they are not channels last.
    """
    batch, _, height, width = x.shape
    sizes, strides = (width, height, batch), (x.stride(3), x.stride(2), x.stride(0))
    step = next((stride for size, stride in zip(sizes, strides, strict=True) if size > 1), 1)
    # Of an axis of one the stride says nothing; the steps before it are then whole rows.
    rows = 1
    for size, stride in zip(sizes, strides, strict=True):
        if size > 1 and stride != step * rows:
            raise ValueError(f"{tuple(x.shape)} with strides {x.stride()} is not channels last")
        rows *= size
    return step


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


def channel_mixing(
    products: Tensor, temperature: Tensor, absent: Tensor, projection: Tensor, out: Tensor
) -> None:
    """Fill `out` (B, heads c, C); the rest as `ops.channel_mixing` takes it, contiguous."""
    batch, heads, _, of_head = products.shape
    outputs = projection.shape[2]
    with torch.cuda.device_of(products):  # type: ignore[no-untyped-call]
        mixing_kernel[heads, batch, triton.cdiv(outputs, OUTPUTS)](
            products,
            temperature,
            absent,
            projection,
            out,
            outputs,
            OF_HEAD=of_head,
            CHANNELS=max(triton.next_power_of_2(of_head), 16),
            OUTPUTS=OUTPUTS,
            num_warps=WARPS,
        )
