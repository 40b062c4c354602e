"""Take steps in one kernel each on a GPU, where PyTorch has many.

A step of restoring is launched operator by operator, and what lies between two of them crosses the
memory twice; a GPU waits for both. A CPU, training and an exported graph use `ops` instead, which
these must match; the functions without an underscore choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.network import ops
from vsrdb_cli.network.triton_kernel import Kernel

_LAST = torch.channels_last

# How many tensors one kernel sums up.
SUMMED = 4


def in_one_kernel(operand: Tensor) -> bool:
    """Return whether the kernels below are used: for inference on a GPU."""
    return (
        operand.device.type in {"cuda", "meta"}
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def warps_at_once(operand: Tensor) -> bool:
    """Return whether warping is one step: a kernel, or a node of an exported graph."""
    return in_one_kernel(operand) or torch.compiler.is_exporting()


def multi_flow_warp(
    feature: Tensor,
    flow_mask: Tensor,
    groups: tuple[int, int],
    length: int,
    *,
    top: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Warp (B*T, ...) and put `length` frames side by side: (B, T*C, h, W).

    A kernel warps all rows, in the dtype of `feature`; `top` and `dtype` are for
    `ops.multi_flow_warp`.
    """
    if warps_at_once(feature):
        warped: Tensor = _multi_flow_warp(feature, flow_mask, groups, length)
        return warped
    warped = ops.multi_flow_warp(feature, flow_mask, groups, top, dtype)
    return warped if length == 1 else ops.side_by_side(warped, length)


def masked_warp(source: Tensor, flow_mask: Tensor) -> Tensor:
    """Warp and mask; see `ops.masked_warp`."""
    if warps_at_once(source):
        return multi_flow_warp(source, flow_mask, (1, source.shape[1]), 1)
    return ops.masked_warp(source, flow_mask)


def pixel_shuffle(x: Tensor) -> Tensor:
    """Shuffle (N, 4C, H, W) into (N, C, 2H, 2W), channels last; see `F.pixel_shuffle`."""
    if not in_one_kernel(x):
        return F.pixel_shuffle(x, 2).contiguous(memory_format=_LAST)
    apart = torch.unflatten(x.permute(0, 2, 3, 1), 3, (-1, 2, 2))
    rows = apart.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)
    return rows.permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, *, gated: bool = False) -> Tensor:
    """Convolve each channel, see `ops.depthwise`; only if `in_one_kernel` is true."""
    convolved: Tensor = _depthwise(x, weight, bias, gated)
    return convolved


def sum_up(
    parts: Sequence[Tensor],
    bias: Tensor | None = None,
    *,
    leaky: bool = False,
    copy: Tensor | None = None,
) -> Tensor:
    """Add up tensors; see `ops.sum_up`."""
    if len(parts) == 1 and bias is None and not leaky and copy is None:
        return parts[0]
    if not in_one_kernel(parts[0]):
        return ops.sum_up(parts, bias, leaky, copy)
    while len(parts) > SUMMED:
        parts = [sum_up(parts[:SUMMED]), *parts[SUMMED:]]
    total: Tensor = _sum_up(list(parts), bias, leaky, copy)
    return total


def channel_products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Multiply channels by channels; see `ops.channel_products`."""
    products = _channel_products if in_one_kernel(q) else ops.channel_products
    return products(q, k, heads)


def channel_mixing(
    products: Tensor,
    temperature: Tensor,
    absent: Tensor,
    projection: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """Compute the weights that mix channels, in `dtype`; see `ops.channel_mixing`."""
    operands = products, temperature, absent, projection
    if not in_one_kernel(products):
        return ops.channel_mixing(*operands).to(dtype)
    mixing: Tensor = _channel_mixing(*operands, dtype)
    return mixing


@torch.library.custom_op("vsrdb::multi_flow_warp", mutates_args=())
def _multi_flow_warp(
    feature: Tensor, flow_mask: Tensor, groups: Sequence[int], length: int
) -> Tensor:
    """Warp features, W(F, f), and put `length` frames side by side; see `ops.multi_flow_warp`.

    Args:
        feature: (B*T, C, H, W).
        flow_mask: (B*T, at least 3n, H, W), float32.
        groups: n, and the channels of each.
        length: T.

    Returns:
        (B, T*C, H, W), channel index t*C + c, channels last; dtype of `feature`.
    """
    return warp_kernel(feature, flow_mask, groups, length, out=_laid_side_by_side(feature, length))


@_multi_flow_warp.register_fake
def _(
    feature: Tensor,
    flow_mask: Tensor,  # noqa: ARG001
    groups: Sequence[int],  # noqa: ARG001
    length: int,
) -> Tensor:
    return _laid_side_by_side(feature, length)


@torch.library.custom_op("vsrdb::depthwise", mutates_args=())
def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, gated: bool) -> Tensor:
    """Convolve each channel; see `ops.depthwise`."""
    x = x.contiguous(memory_format=_LAST)
    return depthwise_kernel(x, weight.contiguous(), bias, gated, out=_convolved(x, gated))


@_depthwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, gated: bool) -> Tensor:  # noqa: ARG001
    return _convolved(x, gated)


@torch.library.custom_op("vsrdb::sum_up", mutates_args=("copy",))
def _sum_up(parts: list[Tensor], bias: Tensor | None, leaky: bool, copy: Tensor | None) -> Tensor:
    """Add up at most SUMMED tensors; see `ops.sum_up`."""
    return sum_kernel(parts, bias, leaky, copy, out=_like(parts[0]))


@_sum_up.register_fake
def _(
    parts: list[Tensor],
    bias: Tensor | None,  # noqa: ARG001
    leaky: bool,  # noqa: ARG001
    copy: Tensor | None,  # noqa: ARG001
) -> Tensor:
    return _like(parts[0])


@torch.library.custom_op("vsrdb::channel_products", mutates_args=())
def _channel_products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Multiply channels by channels; see `ops.channel_products`."""
    return products_kernel(q, k, heads, out=_of_heads(q, heads))


@_channel_products.register_fake
def _(q: Tensor, k: Tensor, heads: int) -> Tensor:  # noqa: ARG001
    return _of_heads(q, heads)


@torch.library.custom_op("vsrdb::channel_mixing", mutates_args=())
def _channel_mixing(
    products: Tensor,
    temperature: Tensor,
    absent: Tensor,
    projection: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """Compute the weights that mix channels; see `ops.channel_mixing`."""
    operands = products, temperature, absent, projection
    mixing = mixing_kernel(*operands, out=_mixed(products, projection, dtype))
    return mixing.to(dtype)


@_channel_mixing.register_fake
def _(
    products: Tensor,
    temperature: Tensor,  # noqa: ARG001
    absent: Tensor,  # noqa: ARG001
    projection: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    return _mixed(products, projection, dtype)


def _mixed(products: Tensor, projection: Tensor, dtype: torch.dtype) -> Tensor:
    batch, heads, _, of_head = products.shape
    return products.new_empty((batch, heads * of_head, projection.shape[2]), dtype=dtype)


def _laid_side_by_side(feature: Tensor, length: int) -> Tensor:
    frames, channels, height, width = feature.shape
    shape = (frames // length, length * channels, height, width)
    return torch.empty(shape, dtype=feature.dtype, device=feature.device, memory_format=_LAST)


def _convolved(x: Tensor, gated: bool) -> Tensor:
    batch, channels, height, width = x.shape
    shape = (batch, channels // 2 if gated else channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_LAST)


def _like(part: Tensor) -> Tensor:
    return torch.empty(part.shape, dtype=part.dtype, device=part.device, memory_format=_LAST)


def _of_heads(q: Tensor, heads: int) -> Tensor:
    of_head = q.shape[1] // heads
    return q.new_empty((q.shape[0], heads, of_head + 2, of_head), dtype=torch.float32)


def _launch(name: str) -> Callable[..., None]:
    """Return the launch of a kernel of `fused_triton`, which is imported at the first launch."""

    def launch(*operands: Any) -> None:
        from vsrdb_cli.network import fused_triton

        getattr(fused_triton, name)(*operands)

    return launch


def _warp_reference(
    feature: Tensor, flow_mask: Tensor, groups: tuple[int, int], length: int
) -> Tensor:
    return ops.side_by_side(ops.multi_flow_warp(feature, flow_mask, groups), length)


warp_kernel = Kernel("warping features", _launch("multi_flow_warp"), _warp_reference, compared=True)
depthwise_kernel = Kernel(
    "convolving each channel", _launch("depthwise"), ops.depthwise, compared=True
)
sum_kernel = Kernel(
    "summing up",
    _launch("sum_up"),
    ops.sum_up,
    compared=True,
    also_filled=lambda parts, bias, leaky, copy: [] if copy is None else [copy],  # noqa: ARG005
)


def attention_kernel(launch: Callable[..., None]) -> Kernel:
    """Create the kernel of `ops.channel_products`; squares, which dwarf products, are apart."""
    return Kernel(
        "attention",
        launch,
        ops.channel_products,
        compared=True,
        parts=lambda result: [result[:, :, :-2], result[:, :, -2:]],
    )


products_kernel = attention_kernel(_launch("channel_products"))
mixing_kernel = Kernel(
    "attention's weights", _launch("channel_mixing"), ops.channel_mixing, compared=True
)
KERNELS = warp_kernel, depthwise_kernel, sum_kernel, products_kernel, mixing_kernel
