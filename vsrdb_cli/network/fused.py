"""Take steps in one kernel each on a GPU, where PyTorch has many.

A step of restoring is launched operator by operator, and what lies between two of them crosses the
memory twice; a GPU waits for both. A CPU, training and an exported graph use `ops` instead, which
these must match; the functions without an underscore choose.
"""

# ruff: noqa: PLR0917 - an operator and its reference take what the kernel takes

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.network import ops
from vsrdb_cli.network.custom_operator import custom_operator
from vsrdb_cli.network.triton_kernel import Kernel

_LAST = torch.channels_last

# Pixels whose products one program of attention sums up.
SPAN = 512


def in_one_kernel(operand: Tensor) -> bool:
    """Return whether the kernels below are used: for inference on a GPU."""
    return (
        operand.device.type in {"cuda", "meta"}
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def multiplies(operand: Tensor) -> bool:
    """Return whether Triton multiplies matrices of this kind by tensor cores.

    Elsewhere its products take many times as long as PyTorch's.
    """
    if operand.device.type == "cuda" and torch.cuda.get_device_capability(operand.device) < (8, 0):
        return False
    return operand.dtype != torch.float32 or operand.device.type == "cpu"  # interpreted


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


def flows_and_warped(feature: Tensor, flow_mask: Tensor, groups: tuple[int, int]) -> Tensor:
    """Put the flows, rounded, before the warped features, (N, F + C, H, W).

    See `ops.multi_flow_warp`; only if `in_one_kernel` is true.
    """
    beside: Tensor = _flows_and_warped(feature, flow_mask, groups)
    return beside


def leaky_shuffle(x: Tensor) -> Tensor:
    """Apply LeakyReLU and shuffle (N, 4C, H, W) into (N, C, 2H, 2W), channels last.

    `x` may change. See `F.pixel_shuffle`.
    """
    if not in_one_kernel(x):
        return F.pixel_shuffle(ops.leaky_relu(x), 2).contiguous(memory_format=_LAST)
    apart = torch.unflatten(x.permute(0, 2, 3, 1), 3, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3)
    rows = torch.empty(apart.shape, dtype=x.dtype, device=x.device)
    torch.ops.aten.leaky_relu.out(apart, 0.2, out=rows)
    return rows.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def sum_up(parts: Sequence[Tensor], bias: Tensor | None = None, *, leaky: bool = False) -> Tensor:
    """Add up tensors, see `ops.sum_up`; only if `in_one_kernel` is true."""
    total: Tensor = _sum_up(list(parts), bias, leaky)
    return total


@dataclass(frozen=True)
class Following:
    """A LayerNorm and the convolution 1x1 after it, of what a step before them gives.

    norm_weight, norm_bias, eps: as `ops.layer_norm` takes them. weight: (O, C, 1, 1). bias: (O,).
    """

    norm_weight: Tensor
    norm_bias: Tensor | None
    eps: float
    weight: Tensor
    bias: Tensor | None

    def tensors(self) -> list[Tensor | None]:
        return [self.norm_weight, self.norm_bias, self.weight, self.bias]


def pointwise(
    parts: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    plus: Tensor | None = None,
    following: Following | None = None,
) -> list[Tensor]:
    """Convolve 1x1, see `ops.pointwise`, and return what a layer that is `following` gives too.

    Only if `in_one_kernel` is true. Nothing is concatenated: each part is read where it is.
    """
    made: list[Tensor] = _pointwise(list(parts), weight, bias, plus, *_operands(following))
    return made


def gated(
    x: Tensor,
    taps: Tensor,
    taps_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    *,
    plus: Tensor,
    following: Following | None = None,
) -> list[Tensor]:
    """Convolve each channel, apply `ops.gelu_gate`, then do as `pointwise`, without storing it."""
    made: list[Tensor] = _gated(x, taps, taps_bias, weight, bias, plus, *_operands(following))
    return made


def _operands(following: Following | None) -> tuple[list[Tensor | None], float]:
    return ([], 0.0) if following is None else (following.tensors(), following.eps)


def attention_products(
    q: Tensor,
    k_v: Tensor,
    q_conv: tuple[Tensor, Tensor | None],
    k_v_conv: tuple[Tensor, Tensor | None],
    heads: int,
) -> tuple[Tensor, Tensor]:
    """Convolve queries, and keys beside values, each channel by itself, by weight and bias.

    Only if `in_one_kernel` is true.

    Returns:
        The values, (B, C, H, W), and `ops.channel_products`.
    """
    (q_taps, q_bias), (k_v_taps, k_v_bias) = q_conv, k_v_conv
    values, parts = _attention_products(q, k_v, q_taps, k_v_taps, q_bias, k_v_bias, heads)
    # Sums of parts, added in one order: atomic additions would give other digits every time.
    return values, parts.sum(dim=1)


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


@custom_operator(
    "multi_flow_warp",
    lambda feature, _flow_mask, _groups, length: _laid_side_by_side(feature, length),
)
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


@custom_operator(
    "flows_and_warped", lambda feature, flow_mask, _groups: _beside(feature, flow_mask)
)
def _flows_and_warped(feature: Tensor, flow_mask: Tensor, groups: Sequence[int]) -> Tensor:
    """Warp features beside the flows; see `flows_and_warped`."""
    out = _beside(feature, flow_mask)
    return flows_kernel(feature, flow_mask, groups, 1, out=out)


@custom_operator("sum_up", lambda parts, _bias, _leaky: _empty(parts[0]))
def _sum_up(parts: list[Tensor], bias: Tensor | None, leaky: bool) -> Tensor:
    """Add up tensors; see `ops.sum_up`."""
    return sum_kernel(parts, bias, leaky, out=_empty(parts[0]))


@custom_operator(
    "pointwise",
    lambda parts, weight, _bias, _plus, following, _eps: _made(parts[0], weight, following),
)
def _pointwise(
    parts: list[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    plus: Tensor | None,
    following: Sequence[Tensor | None],
    eps: float,
) -> list[Tensor]:
    """Convolve 1x1; see `pointwise`."""
    out, *then = _made(parts[0], weight, following)
    operands = parts, weight, bias, _laid(plus), list(following), eps, then[0] if then else None
    if not multiplies(out):
        return [pointwise_reference(*operands), *then]
    return [pointwise_kernel(*operands, out=out), *then]


@custom_operator(
    "gated",
    lambda x, _taps, _taps_bias, weight, _bias, _plus, following, _eps: _made(x, weight, following),
)
def _gated(
    x: Tensor,
    taps: Tensor,
    taps_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    plus: Tensor | None,
    following: Sequence[Tensor | None],
    eps: float,
) -> list[Tensor]:
    """Convolve, gate and convolve 1x1; see `gated`."""
    out, *then = _made(x, weight, following)
    inner = _laid(x), taps.contiguous(), taps_bias
    ending = weight, bias, _laid(plus), list(following), eps, then[0] if then else None
    if multiplies(x):
        return [gated_kernel(*inner, *ending, out=out), *then]
    gate = gate_kernel(*inner, out=_empty(x, x.shape[1] // 2))
    return [pointwise_reference([gate], *ending), *then]


@custom_operator(
    "attention_products",
    lambda q, _k_v, _q_taps, _k_v_taps, _q_bias, _k_v_bias, heads: values_and_parts(q, heads),
)
def _attention_products(
    q: Tensor,
    k_v: Tensor,
    q_taps: Tensor,
    k_v_taps: Tensor,
    q_bias: Tensor | None,
    k_v_bias: Tensor | None,
    heads: int,
) -> tuple[Tensor, Tensor]:
    """Return the values, and sums of `ops.channel_products` over some pixels each.

    The latter are (B, spans, heads, C / heads + 2, C / heads), float32.
    """
    values, parts = values_and_parts(q, heads)
    operands = q, _laid(k_v), q_taps.contiguous(), k_v_taps.contiguous(), q_bias, k_v_bias
    return values, products_kernel(*operands, heads, values, out=parts)


@custom_operator(
    "channel_mixing",
    lambda products, _temperature, _absent, projection, dtype: _mixed(products, projection, dtype),
)
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


def _mixed(products: Tensor, projection: Tensor, dtype: torch.dtype) -> Tensor:
    batch, heads, _, of_head = products.shape
    return products.new_empty((batch, heads * of_head, projection.shape[2]), dtype=dtype)


def _laid_side_by_side(feature: Tensor, length: int) -> Tensor:
    return _empty(feature, length * feature.shape[1], feature.shape[0] // length)


def _beside(feature: Tensor, flow_mask: Tensor) -> Tensor:
    return _empty(feature, flow_mask.shape[1] + feature.shape[1])


def _made(like: Tensor, weight: Tensor, following: Sequence[Tensor | None]) -> list[Tensor]:
    """Return room for what a convolution gives, and the layer that follows, if any."""
    convolutions = [weight.shape[-2] if weight.dim() == 3 else weight.shape[0]]
    if following:
        _, _, next_weight, _ = following
        assert next_weight is not None
        convolutions.append(next_weight.shape[0])
    return [_empty(like, channels) for channels in convolutions]


def values_and_parts(q: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = q.shape
    of_head, spans = channels // heads, -(-height * width // SPAN)
    shape = (batch, spans, heads, of_head + 2, of_head)
    return _empty(q), q.new_empty(shape, dtype=torch.float32)


def _empty(like: Tensor, channels: int | None = None, batch: int | None = None) -> Tensor:
    """Return room for pictures as large as those of `like`, channels last."""
    shape = batch or like.shape[0], channels or like.shape[1], *like.shape[2:]
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=_LAST)


def _laid(x: Any) -> Any:
    return x if x is None else x.contiguous(memory_format=_LAST)


def _launch(name: str) -> Callable[..., None]:
    """Return the launch of a kernel of `fused_triton`, which is imported at the first launch."""

    def launch(*operands: Any) -> None:
        from vsrdb_cli.network import fused_triton

        getattr(fused_triton, name)(*operands)

    return launch


def warp_reference(
    feature: Tensor, flow_mask: Tensor, groups: tuple[int, int], length: int
) -> Tensor:
    return ops.side_by_side(ops.multi_flow_warp(feature, flow_mask, groups), length)


def flows_reference(
    feature: Tensor, flow_mask: Tensor, groups: tuple[int, int], length: int
) -> Tensor:
    warped = warp_reference(feature, flow_mask, groups, length)
    return torch.cat((flow_mask.to(feature.dtype), warped), dim=1)


def pointwise_reference(
    parts: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    plus: Tensor | None,
    following: Sequence[Tensor | None],
    eps: float,
    then: Tensor | None,
) -> Tensor:
    y = ops.pointwise(parts, weight, bias, plus)
    if then is not None:
        norm_weight, norm_bias, next_weight, next_bias = following
        assert norm_weight is not None and next_weight is not None
        normal = ops.layer_norm(y, norm_weight, norm_bias, eps)
        then.copy_(F.conv2d(normal, next_weight, next_bias))
    return y


def gate_reference(x: Tensor, taps: Tensor, taps_bias: Tensor | None) -> Tensor:
    return ops.gelu_gate(ops.depthwise(x, taps, taps_bias))


def gated_reference(
    x: Tensor, taps: Tensor, taps_bias: Tensor | None, weight: Tensor, *operands: Any
) -> Tensor:
    return pointwise_reference([gate_reference(x, taps, taps_bias)], weight, *operands)


def products_reference(
    q: Tensor,
    k_v: Tensor,
    q_taps: Tensor,
    k_v_taps: Tensor,
    q_bias: Tensor | None,
    k_v_bias: Tensor | None,
    heads: int,
    values: Tensor,
) -> Tensor:
    k, v = ops.depthwise(k_v, k_v_taps, k_v_bias).chunk(2, dim=1)
    values.copy_(v)
    return ops.channel_products(ops.depthwise(q, q_taps, q_bias), k, heads).unsqueeze(1)


def _last_operand(*operands: Any) -> Sequence[Tensor]:
    return [] if operands[-1] is None else [operands[-1]]


def attention_kernel(launch: Callable[..., None]) -> Kernel:
    """Create the kernel of attention's products; squares, which dwarf products, are apart."""

    def parts(result: Tensor) -> Sequence[Tensor]:
        total = result.sum(dim=1)
        return [total[:, :, :-2], total[:, :, -2:]]

    return Kernel(
        "attention",
        launch,
        products_reference,
        compared=True,
        parts=parts,
        also_filled=_last_operand,
    )


warp_kernel = Kernel("warping features", _launch("multi_flow_warp"), warp_reference, compared=True)
flows_kernel = Kernel(
    "warping features", _launch("multi_flow_warp"), flows_reference, compared=True
)
sum_kernel = Kernel("summing up", _launch("sum_up"), ops.sum_up, compared=True)
pointwise_kernel = Kernel(
    "convolving pixels",
    _launch("pointwise"),
    pointwise_reference,
    compared=True,
    also_filled=_last_operand,
)
gate_kernel = Kernel("a feed-forward's gate", _launch("gate_alone"), gate_reference, compared=True)
gated_kernel = Kernel(
    "a feed-forward's gate",
    _launch("gated"),
    gated_reference,
    compared=True,
    also_filled=_last_operand,
)
products_kernel = attention_kernel(_launch("attention_products"))
mixing_kernel = Kernel(
    "attention's weights", _launch("channel_mixing"), ops.channel_mixing, compared=True
)
KERNELS = (
    warp_kernel,
    flows_kernel,
    sum_kernel,
    pointwise_kernel,
    gate_kernel,
    gated_kernel,
    products_kernel,
    mixing_kernel,
)
