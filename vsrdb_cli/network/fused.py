"""Steps that a GPU takes in one kernel each, where PyTorch has many: warp, gate, channel products.

A step of restoring is launched operator by operator, and what lies between two of them crosses the
memory twice; a GPU waits for both. A CPU, training and an exported graph use `ops` instead, which
these must match; the functions without an underscore choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.network import ops
from vsrdb_cli.network.triton_kernel import Kernel

_LAST = torch.channels_last


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
    length: int,
    top: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """`ops.multi_flow_warp` of `length` frames side by side: (B*T, ...) -> (B, T*C, h, W).

    In one step all rows are warped, in the dtype of `feature`: `top` and `dtype` are for `ops`.
    """
    if warps_at_once(feature):
        warped: Tensor = _multi_flow_warp(feature, flow_mask, length)
        return warped
    warped = ops.multi_flow_warp(feature, flow_mask, top, dtype)
    return warped if length == 1 else ops.side_by_side(warped, length)


def masked_warp(source: Tensor, flow_mask: Tensor) -> Tensor:
    """See `ops.masked_warp`."""
    if warps_at_once(source):
        return multi_flow_warp(source, flow_mask, 1)
    return ops.masked_warp(source, flow_mask)


def gelu_gate(hidden: Tensor) -> Tensor:
    """See `ops.gelu_gate`."""
    return _gelu_gate(hidden) if in_one_kernel(hidden) else ops.gelu_gate(hidden)


def channel_products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """See `ops.channel_products`."""
    products = _channel_products if in_one_kernel(q) else ops.channel_products
    return products(q, k, heads)


@torch.library.custom_op("vsrdb::multi_flow_warp", mutates_args=(), device_types="cuda")
def _multi_flow_warp(feature: Tensor, flow_mask: Tensor, length: int) -> Tensor:
    """W(F, f), see `ops.multi_flow_warp`, of `length` frames side by side.

    Args:
        feature: (B*T, C, H, W).
        flow_mask: (B*T, 3n, H, W), float32.
        length: T.

    Returns:
        (B, T*C, H, W), channel index t*C + c, channels last; dtype of `feature`.
    """
    return warp_kernel(feature, flow_mask, length, out=_laid_side_by_side(feature, length))


@_multi_flow_warp.register_fake
def _(feature: Tensor, flow_mask: Tensor, length: int) -> Tensor:  # noqa: ARG001
    return _laid_side_by_side(feature, length)


@torch.library.custom_op("vsrdb::gelu_gate", mutates_args=(), device_types="cuda")
def _gelu_gate(hidden: Tensor) -> Tensor:
    """gelu(first half of the channels) * second half; (N, 2h, H, W) -> (N, h, H, W), channels
    last."""
    return _gate(hidden.contiguous(memory_format=_LAST), out=_half(hidden))


@_gelu_gate.register_fake
def _(hidden: Tensor) -> Tensor:
    return _half(hidden)


@torch.library.custom_op("vsrdb::channel_products", mutates_args=(), device_types="cuda")
def _channel_products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """See `ops.channel_products`."""
    return _products(q, k, heads, out=_of_heads(q, heads))


@_channel_products.register_fake
def _(q: Tensor, k: Tensor, heads: int) -> Tensor:  # noqa: ARG001
    return _of_heads(q, heads)


def _laid_side_by_side(feature: Tensor, length: int) -> Tensor:
    frames, channels, height, width = feature.shape
    shape = (frames // length, length * channels, height, width)
    return torch.empty(shape, dtype=feature.dtype, device=feature.device, memory_format=_LAST)


def _half(hidden: Tensor) -> Tensor:
    batch, channels, height, width = hidden.shape
    shape = (batch, channels // 2, height, width)
    return torch.empty(shape, dtype=hidden.dtype, device=hidden.device, memory_format=_LAST)


def _of_heads(q: Tensor, heads: int) -> Tensor:
    of_head = q.shape[1] // heads
    return q.new_empty((q.shape[0], heads, of_head + 2, of_head), dtype=torch.float32)


def _launch(name: str) -> Callable[..., None]:
    """The launch of a kernel of `fused_triton`, which is imported when it is wanted."""

    def launch(*operands: Any) -> None:
        from vsrdb_cli.network import fused_triton

        getattr(fused_triton, name)(*operands)

    return launch


def _warp_reference(feature: Tensor, flow_mask: Tensor, length: int) -> Tensor:
    return ops.side_by_side(ops.multi_flow_warp(feature, flow_mask), length)


warp_kernel = Kernel("warping features", _launch("multi_flow_warp"), _warp_reference, compared=True)
_gate = Kernel("the feed-forward's gate", _launch("gelu_gate"), ops.gelu_gate, compared=True)


def attention_kernel(launch: Callable[..., None]) -> Kernel:
    """Create the kernel of `ops.channel_products`; squares, which dwarf products, are apart."""
    return Kernel(
        "attention",
        launch,
        ops.channel_products,
        compared=True,
        parts=lambda result: [result[:, :, :-2], result[:, :, -2:]],
    )


_products = attention_kernel(_launch("channel_products"))
