"""The Triton kernels behind `fused`; arithmetic is in float32 whatever the tensors' precision.

Tests run the same source in Triton's interpreter on the CPU and compile it for every architecture
from sm_75 to sm_120.
"""

# ruff: noqa: N803, PLR0917 - a kernel takes every stride, and constants in capitals
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vsrdb_cli.network.fused import SPAN
from vsrdb_cli.network.sampling_triton import corner_of

# Neighbouring pixels of one row that one program warps.
PIXELS = 32
# Numbers of a sum that one program makes.
NUMBERS = 1024
# Pixels and channels of a feed-forward's gate alone.
GATE_PIXELS, GATE_CHANNELS = 16, 64
# Of a convolution 1x1: inputs multiplied at once (of taps convolved before it), outputs of one
# program, and of a layer after it.
INPUTS, GATED_INPUTS, MOST_OUTPUTS, NEXT_OUTPUTS = 32, 16, 128, 64
# Pixels whose products are made at once.
BLOCK = 64
# Columns of a mixing matrix that one program makes.
OUTPUTS = 32
WARPS = 4
# What nine taps read is too much to be held ahead of the products it goes to.
STAGES_OF_TAPS = 1


@triton.jit  # type: ignore[untyped-decorator]
def warp_kernel(  # type: ignore[no-untyped-def]
    feature, flow_mask, out,
    length, height, width,
    feature_n, feature_c, feature_y, feature_x,
    flow_n, flow_c, flow_y, flow_x,
    out_b, out_c, out_y, out_x,
    GROUPS: tl.constexpr, OF_GROUP: tl.constexpr, WIDTH: tl.constexpr, BEFORE: tl.constexpr,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Compute PIXELS neighbours of row y of frame n, all WIDTH channels of it.

    CHANNELS >= OF_GROUP; the rest of WIDTH after the groups is set to 0. The first BEFORE channels
    of `flow_mask` are copied before them.
    """
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, CHANNELS)
    valid = (x < width)[:, None] & (channel < OF_GROUP)[None, :]
    flow = flow_mask + n * flow_n + y.to(tl.int64) * flow_y + x.to(tl.int64) * flow_x
    target = out + n // length * out_b + n % length * (BEFORE + WIDTH) * out_c
    target += y.to(tl.int64) * out_y + x.to(tl.int64)[:, None] * out_x
    for first in tl.static_range(0, BEFORE, CHANNELS):
        copied = (first + channel)[None, :]
        known = (x < width)[:, None] & (copied < BEFORE)
        flows = tl.load(flow[:, None] + copied * flow_c, mask=known, other=0.0)
        tl.store(target + copied * out_c, flows, mask=known)
    target += BEFORE * out_c
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
def sum_kernel(  # type: ignore[no-untyped-def]
    parts, bias, out, numbers, pixels,
    STEPS: tl.constexpr, FRAMES: tl.constexpr, LEAKY: tl.constexpr,
    CHANNELS: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """Add up NUMBERS of the sum.

    Of each part: STEPS from pixel to pixel, and to how many FRAMES of `out` one picture is added.
    """
    index = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    valid = index < numbers
    pixel = index // CHANNELS
    channel = index % CHANNELS
    total = tl.zeros((NUMBERS,), tl.float32)
    for i in tl.static_range(len(parts)):
        place = pixel
        if FRAMES[i] > 1:
            place = pixel // (pixels * FRAMES[i]) * pixels + pixel % pixels
        read = tl.load(parts[i] + place * STEPS[i] + channel, mask=valid, other=0.0)
        total += read.to(tl.float32)
    if bias is not None:
        total += tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)
    if LEAKY:
        total = tl.where(total >= 0, total, total * 0.2)
    tl.store(out + index, total, mask=valid)


@triton.jit  # type: ignore[untyped-decorator]
def convolve_each(  # type: ignore[no-untyped-def]
    x, taps, bias, place, row, column, channel, known, height, width,
    STEP: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Convolve each channel by itself, 3x3; return (PIXELS, CHANNELS), float32.

    `place` counts the pixels of all pictures, which are STEP numbers apart.
    """
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for tap in tl.static_range(9):
        tap_y = row + tap // 3 - 1
        tap_x = column + tap % 3 - 1
        inside = (tap_y >= 0) & (tap_y < height) & (tap_x >= 0) & (tap_x < width)
        pixel = place + (tap // 3 - 1) * width + tap % 3 - 1
        valid = inside[:, None] & known[None, :]
        read = tl.load(x + pixel[:, None] * STEP + channel[None, :], mask=valid, other=0.0)
        factor = tl.load(taps + channel * 9 + tap, mask=known, other=0.0)
        total += read.to(tl.float32) * factor.to(tl.float32)[None, :]
    if bias is not None:
        total += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    return total


@triton.jit  # type: ignore[untyped-decorator]
def finish(  # type: ignore[no-untyped-def]
    total, bias, plus, following, then, out, place, valid, output,
    OUTPUTS: tl.constexpr, EPS: tl.constexpr, NEXT: tl.constexpr, NEXT_BLOCK: tl.constexpr,
):  # fmt: skip
    """Store `total` (pixels, `output`) of OUTPUTS channels, plus `bias` and `plus`.

    With a `following` layer `output` are all channels: they are normalised and convolved to NEXT
    channels, which go to `then`.
    """
    known = output < OUTPUTS
    both = valid[:, None] & known[None, :]
    own = place[:, None] * OUTPUTS + output[None, :]
    if bias is not None:
        total += tl.load(bias + output, mask=known, other=0.0).to(tl.float32)[None, :]
    if plus is not None:
        total += tl.load(plus + own, mask=both, other=0.0).to(tl.float32)
    rounded = total.to(out.dtype.element_ty)
    tl.store(out + own, rounded, mask=both)
    if following is not None:
        norm_weight, norm_bias, weight, next_bias = following
        x = tl.where(known[None, :], rounded.to(tl.float32), 0.0)
        mean = tl.sum(x, axis=1) / OUTPUTS
        centred = tl.where(known[None, :], x - mean[:, None], 0.0)
        deviation = tl.sqrt(tl.sum(centred * centred, axis=1) / OUTPUTS + EPS)
        factor = tl.load(norm_weight + output, mask=known, other=0.0).to(tl.float32)
        if norm_bias is None:
            x = x / deviation[:, None] * factor[None, :]
        else:
            x = centred / deviation[:, None] * factor[None, :]
            x += tl.load(norm_bias + output, mask=known, other=0.0).to(tl.float32)[None, :]
        normal = x.to(out.dtype.element_ty)
        for start in range(0, NEXT, NEXT_BLOCK):
            later = start + tl.arange(0, NEXT_BLOCK)
            wanted = later < NEXT
            read = wanted[None, :] & known[:, None]
            row = later[None, :] * OUTPUTS + output[:, None]
            weights = tl.load(weight + row, mask=read, other=0.0)
            result = tl.dot(normal, weights, input_precision="ieee")
            if next_bias is not None:
                added = tl.load(next_bias + later, mask=wanted, other=0.0)
                result += added.to(tl.float32)[None, :]
            target = then + place[:, None] * NEXT + later[None, :]
            tl.store(target, result, mask=valid[:, None] & wanted[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def pointwise_kernel(  # type: ignore[no-untyped-def]
    parts, weight, bias, plus, following, then, out, pixels, blocks, weight_n,
    WIDTHS: tl.constexpr, STEPS: tl.constexpr, FRAMES: tl.constexpr,
    WEIGHT_IN: tl.constexpr, WEIGHT_OUT: tl.constexpr,
    OUTPUTS: tl.constexpr, EPS: tl.constexpr, NEXT: tl.constexpr,
    PIXELS: tl.constexpr, INPUTS: tl.constexpr, BLOCK: tl.constexpr, NEXT_BLOCK: tl.constexpr,
):  # fmt: skip
    """Convolve PIXELS of picture n to one of the `blocks` of BLOCK outputs; see `finish`.

    Of each part: WIDTHS channels, STEPS from pixel to pixel, FRAMES from picture to picture. INPUTS
    are multiplied at once.
    """
    n = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) // blocks * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    valid = pixel < pixels
    total = tl.zeros((PIXELS, BLOCK), tl.float32)
    own = weight + n * weight_n + output[None, :] * WEIGHT_OUT
    for i in tl.static_range(len(parts)):
        place = n * FRAMES[i] * pixels + pixel
        for start in range(0, WIDTHS[i], INPUTS):
            channel = start + tl.arange(0, INPUTS)
            known = channel < WIDTHS[i]
            source = parts[i] + place[:, None] * STEPS[i] + channel[None, :]
            x = tl.load(source, mask=valid[:, None] & known[None, :], other=0.0)
            read = known[:, None] & (output < OUTPUTS)[None, :]
            weights = tl.load(own + channel[:, None] * WEIGHT_IN, mask=read, other=0.0)
            total = tl.dot(x, weights, total, input_precision="ieee")
        own += WIDTHS[i] * WEIGHT_IN
    place = n * pixels + pixel
    finish(
        total, bias, plus, following, then, out, place, valid, output,
        OUTPUTS, EPS, NEXT, NEXT_BLOCK,
    )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def gate(  # type: ignore[no-untyped-def]
    x, taps, bias, place, row, column, channel, known, height, width,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return gelu(first half) * second half of `x`, of twice CHANNELS, each convolved by itself."""
    first = convolve_each(
        x, taps, bias, place, row, column, channel, known,
        height, width, 2 * CHANNELS, PIXELS, BLOCK,
    )  # fmt: skip
    second = convolve_each(
        x, taps, bias, place, row, column, CHANNELS + channel, known,
        height, width, 2 * CHANNELS, PIXELS, BLOCK,
    )  # fmt: skip
    return first * 0.5 * (1 + tl.erf(first * 0.7071067811865476)) * second


@triton.jit  # type: ignore[untyped-decorator]
def gate_kernel(  # type: ignore[no-untyped-def]
    x, taps, bias, out, height, width, blocks,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute `gate` for PIXELS of picture n and one of the `blocks` of BLOCK channels."""
    n = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) // blocks * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    known = channel < CHANNELS
    place = n * height * width + pixel
    made = gate(
        x, taps, bias, place, pixel // width, pixel % width, channel, known,
        height, width, CHANNELS, PIXELS, BLOCK,
    )  # fmt: skip
    target = out + place[:, None] * CHANNELS + channel[None, :]
    tl.store(target, made, mask=(pixel < height * width)[:, None] & known[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def gated_kernel(  # type: ignore[no-untyped-def]
    x, taps, taps_bias, weight, bias, plus, following, then, out, height, width, blocks,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, EPS: tl.constexpr, NEXT: tl.constexpr,
    PIXELS: tl.constexpr, INPUTS: tl.constexpr, BLOCK: tl.constexpr, NEXT_BLOCK: tl.constexpr,
):  # fmt: skip
    """Do as `pointwise_kernel`, with the `gate` of `x` as input."""
    n = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) // blocks * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    valid = pixel < height * width
    place = n * height * width + pixel
    row = pixel // width
    column = pixel % width
    total = tl.zeros((PIXELS, BLOCK), tl.float32)
    for start in range(0, CHANNELS, INPUTS):
        channel = start + tl.arange(0, INPUTS)
        known = channel < CHANNELS
        gated = gate(
            x, taps, taps_bias, place, row, column, channel, known,
            height, width, CHANNELS, PIXELS, INPUTS,
        )  # fmt: skip
        read = known[:, None] & (output < OUTPUTS)[None, :]
        row_of = output[None, :] * CHANNELS + channel[:, None]
        weights = tl.load(weight + row_of, mask=read, other=0.0)
        total = tl.dot(gated.to(weights.dtype), weights, total, input_precision="ieee")
    finish(
        total, bias, plus, following, then, out, place, valid, output,
        OUTPUTS, EPS, NEXT, NEXT_BLOCK,
    )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def products_kernel(  # type: ignore[no-untyped-def]
    q, k_v, q_taps, k_v_taps, q_bias, k_v_bias, values, out, height, width, spans,
    Q_STEP: tl.constexpr, ALL: tl.constexpr, OF_HEAD: tl.constexpr,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Sum q^T k of one head over SPAN pixels, and then the squares of q and of k.

    Queries, keys and values are convolved first, each channel by itself; the values are stored.
    ALL: channels of all heads. Q_STEP: from pixel to pixel of `q`.
    `out` (B, spans, heads, OF_HEAD + 2, OF_HEAD), contiguous.
    """
    span = tl.program_id(0)
    head = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    own = tl.arange(0, CHANNELS)
    inside = own < OF_HEAD
    channel = head * OF_HEAD + own
    products = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    q_squares = tl.zeros((CHANNELS,), tl.float32)
    k_squares = tl.zeros_like(q_squares)
    for step in range(SPAN // BLOCK):
        pixel = span * SPAN + step * BLOCK + tl.arange(0, BLOCK)
        place = b * height * width + pixel
        row = pixel // width
        column = pixel % width
        valid = (pixel < height * width)[:, None] & inside[None, :]
        queries = convolve_each(
            q, q_taps, q_bias, place, row, column, channel, inside,
            height, width, Q_STEP, BLOCK, CHANNELS,
        )  # fmt: skip
        keys = convolve_each(
            k_v, k_v_taps, k_v_bias, place, row, column, channel, inside,
            height, width, 2 * ALL, BLOCK, CHANNELS,
        )  # fmt: skip
        value = convolve_each(
            k_v, k_v_taps, k_v_bias, place, row, column, ALL + channel, inside,
            height, width, 2 * ALL, BLOCK, CHANNELS,
        )  # fmt: skip
        stored = values + place[:, None] * ALL + channel[None, :]
        tl.store(stored, value.to(values.dtype.element_ty), mask=valid)
        queries = tl.where(valid, queries, 0.0).to(values.dtype.element_ty)
        keys = tl.where(valid, keys, 0.0).to(values.dtype.element_ty)
        products += tl.dot(tl.trans(queries), keys, input_precision="ieee")
        q_squares += tl.sum(queries.to(tl.float32) * queries.to(tl.float32), axis=0)
        k_squares += tl.sum(keys.to(tl.float32) * keys.to(tl.float32), axis=0)
    heads = tl.num_programs(1)
    target = out + ((b * spans + span) * heads + head) * (OF_HEAD + 2) * OF_HEAD + own
    rows = target[None, :] + own[:, None] * OF_HEAD
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
    """Fill `out` (N / length, length (F + C), H, W); see `fused.multi_flow_warp`.

    F: as many of the flows' channels as `out` has room for.
    """
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
            BEFORE=out.shape[1] // length - channels,
            CHANNELS=triton.next_power_of_2(size),
            PIXELS=PIXELS,
            num_warps=WARPS,
        )


def sum_up(parts: Sequence[Tensor], bias: Tensor | None, leaky: bool, out: Tensor) -> None:
    """Fill `out`, contiguous, channels last; see `ops.sum_up`."""
    batch, channels, height, width = out.shape
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        sum_kernel[(triton.cdiv(out.numel(), NUMBERS),)](
            tuple(parts),
            bias,
            out,
            out.numel(),
            height * width,
            STEPS=tuple(pixel_stride(part) for part in parts),
            FRAMES=tuple(batch // part.shape[0] for part in parts),
            LEAKY=leaky,
            CHANNELS=channels,
            NUMBERS=NUMBERS,
            num_warps=WARPS,
        )


def pointwise(
    parts: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    plus: Tensor | None,
    following: Sequence[Tensor | None],
    eps: float,
    then: Tensor | None,
    out: Tensor,
) -> None:
    """Fill `out` and `then`, contiguous, channels last, as `plus`; see `fused.pointwise`."""
    batch, _, height, width = out.shape
    strides = [picture_strides(part) for part in parts]
    blocks, sizes = _sizes(out, then, eps)
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        pointwise_kernel[triton.cdiv(height * width, sizes["PIXELS"]) * blocks, batch](
            tuple(parts),
            weight,
            bias,
            plus,
            tuple(following) or None,
            then,
            out,
            height * width,
            blocks,
            weight.stride(0) if weight.dim() == 3 else 0,
            WIDTHS=tuple(part.shape[1] for part in parts),
            STEPS=tuple(step for step, _ in strides),
            FRAMES=tuple(frames for _, frames in strides),
            WEIGHT_OUT=weight.stride(1 if weight.dim() == 3 else 0),
            WEIGHT_IN=weight.stride(2 if weight.dim() == 3 else 1),
            INPUTS=INPUTS,
            num_stages=2,
            **sizes,
        )


def gate_alone(x: Tensor, taps: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Fill `out`, contiguous, channels last, as `x`; see `fused.gated`."""
    batch, channels, height, width = out.shape
    blocks = triton.cdiv(channels, GATE_CHANNELS)
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        gate_kernel[triton.cdiv(height * width, GATE_PIXELS) * blocks, batch](
            x,
            taps,
            bias,
            out,
            height,
            width,
            blocks,
            CHANNELS=channels,
            PIXELS=GATE_PIXELS,
            BLOCK=GATE_CHANNELS,
            num_warps=WARPS,
        )


def gated(
    x: Tensor,
    taps: Tensor,
    taps_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    plus: Tensor | None,
    following: Sequence[Tensor | None],
    eps: float,
    then: Tensor | None,
    out: Tensor,
) -> None:
    """Fill `out` and `then`, contiguous, channels last, as `x` and `plus`; see `fused.gated`."""
    batch, _, height, width = out.shape
    blocks, sizes = _sizes(out, then, eps)
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        gated_kernel[triton.cdiv(height * width, sizes["PIXELS"]) * blocks, batch](
            x,
            taps,
            taps_bias,
            weight,
            bias,
            plus,
            tuple(following) or None,
            then,
            out,
            height,
            width,
            blocks,
            CHANNELS=x.shape[1] // 2,
            INPUTS=GATED_INPUTS,
            num_stages=STAGES_OF_TAPS,
            **sizes,
        )


def _sizes(out: Tensor, then: Tensor | None, eps: float) -> tuple[int, dict[str, Any]]:
    """Return the number of blocks of outputs, and what a kernel with `finish` is compiled for."""
    outputs = out.shape[1]
    block = max(triton.next_power_of_2(outputs), 16)
    if then is None:
        block = min(block, MOST_OUTPUTS)
    # What one program holds is limited by its numbers' bytes.
    pixels = 256 // out.element_size()
    return triton.cdiv(outputs, block), {
        "OUTPUTS": outputs,
        "EPS": eps,
        "NEXT": 0 if then is None else then.shape[1],
        "PIXELS": pixels,
        "BLOCK": block,
        "NEXT_BLOCK": NEXT_OUTPUTS,
        "num_warps": pixels // 16,
    }


def pixel_stride(x: Tensor) -> int:
    """Return the stride from one pixel to the next of a tensor, or some channels of one.

    Raises:
        ValueError: they are not channels last.
    """
    step, frames = picture_strides(x)
    if frames != 1:
        raise _not_channels_last(x)
    return step


def picture_strides(x: Tensor) -> tuple[int, int]:
    """Return the stride from one pixel to the next, and that between pictures in whole pictures.

    Raises:
        ValueError: the pixels are not channels last.
    """
    batch, channels, height, width = x.shape
    if channels > 1 and x.stride(1) != 1:
        raise _not_channels_last(x)
    # Of an axis of one the stride says nothing.
    step = x.stride(3) if width > 1 else x.stride(2) if height > 1 else x.stride(0)
    between = x.stride(0) if batch > 1 else step * height * width
    frames, rest = divmod(between, max(step * height * width, 1))
    if rest or (height > 1 and width > 1 and x.stride(2) != step * width):
        raise _not_channels_last(x)
    return step, frames


def _not_channels_last(x: Tensor) -> ValueError:
    return ValueError(f"{tuple(x.shape)} with strides {x.stride()} is not channels last")


def attention_products(
    q: Tensor,
    k_v: Tensor,
    q_taps: Tensor,
    k_v_taps: Tensor,
    q_bias: Tensor | None,
    k_v_bias: Tensor | None,
    heads: int,
    values: Tensor,
    out: Tensor,
) -> None:
    """Fill `out` (B, spans, heads, c + 2, c) and `values`; see `fused.attention_products`."""
    batch, channels, height, width = values.shape
    of_head = channels // heads
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
        products_kernel[out.shape[1], heads, batch](
            q,
            k_v,
            q_taps,
            k_v_taps,
            q_bias,
            k_v_bias,
            values,
            out,
            height,
            width,
            out.shape[1],
            Q_STEP=pixel_stride(q),
            ALL=channels,
            OF_HEAD=of_head,
            CHANNELS=max(triton.next_power_of_2(of_head), 16),
            BLOCK=BLOCK,
            SPAN=SPAN,
            num_warps=WARPS,
            num_stages=STAGES_OF_TAPS,
        )


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
