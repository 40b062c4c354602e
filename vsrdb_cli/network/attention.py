"""Attention between channels and gated feed-forward, from Restormer, as FMA-Net uses them.

All of it is local but for one small matrix of products of channels, so it runs strip by strip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vsrdb_cli.network import fused, ops
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.ops import float32_island
from vsrdb_cli.network.prepared import prepared
from vsrdb_cli.network.strips import Strip, joined_rows, strips


class LayerNormWeights(nn.Module):
    """Weight and, of kind "WithBias", bias of one LayerNorm."""

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if kind == "WithBias" else None


class LayerNorm(nn.Module):
    """Over the channels of each pixel, statistics in float32, eps 1e-5; (N, C, H, W)."""

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.body = LayerNormWeights(channels, kind)
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.body.weight, self.body.bias, self.eps)


def pointwise(inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def depthwise(channels: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)


class TransposedAttention(nn.Module):
    """Restormer's MDTA with a foreign query: attention between channels, over the whole picture."""

    def __init__(self, config: FMANetConfig) -> None:
        super().__init__()
        channels, bias = config.dim, config.bias
        self.heads, self.of_head = config.num_heads, channels // config.num_heads
        self.temperature = nn.Parameter(torch.ones(self.heads, 1, 1))
        self.q = pointwise(channels, channels, bias=bias)
        self.q_dwconv = depthwise(channels, bias=bias)
        self.kv_conv = pointwise(channels, channels * 2, bias=bias)
        self.kv_dwconv = depthwise(channels * 2, bias=bias)
        self.project_out = pointwise(channels, channels, bias=bias)

    def forward(self, x: Tensor, norm: LayerNorm, query: Tensor) -> Tensor:
        """Add attention to `x`, (B, C, H, W); keys and values come from norm(x), queries from
        `query`."""
        parts = strips(x)
        values, products = [], []
        for strip in parts:
            q = _depthwise(strip, self.q(strip.outer_of(query)), self.q_dwconv)
            k_v = _depthwise(strip, self.kv_conv(norm(strip.outer_of(x))), self.kv_dwconv)
            k, v = k_v.chunk(2, dim=1)
            values.append(v)
            products.append(ops.channel_products(q, k, self.heads))
        mixing = self._mixing(_sum(products), x)
        mixed = []
        for strip, v in zip(parts, values, strict=True):
            own, v_pixels = _pixels(strip.of(x)), _pixels(v)
            y = own + v_pixels @ mixing
            if self.project_out.bias is not None:
                y = y + self.project_out.bias
            mixed.append(torch.unflatten(y, 1, v.shape[2:]).permute(0, 3, 1, 2))
        return joined_rows(mixed)

    def in_kernels(
        self, queries: Tensor, x: Tensor, k_v: Tensor, following: fused.Following | None
    ) -> list[Tensor]:
        """Compute `forward` from the queries, one of `queries`, and k_v = kv_conv(norm(x)).

        Then compute the layer that is `following`.
        """
        values, products = fused.attention_products(
            queries,
            k_v,
            (self.q_dwconv.weight, self.q_dwconv.bias),
            (self.kv_dwconv.weight, self.kv_dwconv.bias),
            self.heads,
        )
        mixing = self._mixing(products, x).transpose(1, 2)
        return fused.pointwise([values], mixing, self.project_out.bias, plus=x, following=following)

    def _mixing(self, products: Tensor, x: Tensor) -> Tensor:
        """Compute how `x` mixes its channels, and projects them, from `ops.channel_products`."""
        with float32_island(x):
            weights = prepared(self, "float32 weights", self._float32_weights)
            return fused.channel_mixing(products, *weights, x.dtype)

    def _float32_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return temperature, `absent` and projection, as `ops.channel_mixing` takes them."""
        projection = self.project_out.weight[:, :, 0, 0].float().transpose(0, 1)
        projection = torch.unflatten(projection, 0, (self.heads, -1))
        absent = projection.new_zeros(projection.shape[1])
        absent[self.of_head :] = -torch.inf
        return self.temperature.float(), absent, projection.contiguous()


class GatedFeedForward(nn.Module):
    """Restormer's GDFN."""

    def __init__(self, config: FMANetConfig) -> None:
        super().__init__()
        hidden = config.ffn_hidden
        self.project_in = pointwise(config.dim, hidden * 2, bias=config.bias)
        self.dwconv = depthwise(hidden * 2, bias=config.bias)
        self.project_out = pointwise(hidden, config.dim, bias=config.bias)

    def forward(self, x: Tensor, norm: LayerNorm) -> Tensor:
        """Add the network's output for norm(x) to `x`, (B, C, H, W)."""
        parts = []
        for strip in strips(x):
            hidden = self.project_in(norm(strip.outer_of(x)))
            gated = ops.gelu_gate(_depthwise(strip, hidden, self.dwconv))
            parts.append(strip.of(x) + self.project_out(gated))
        return joined_rows(parts)

    def in_kernels(
        self, x: Tensor, hidden: Tensor, following: fused.Following | None
    ) -> list[Tensor]:
        """Compute `forward` from project_in(norm(x)), then the layer that is `following`."""
        return fused.gated(
            hidden,
            self.dwconv.weight,
            self.dwconv.bias,
            self.project_out.weight,
            self.project_out.bias,
            plus=x,
            following=following,
        )


@dataclass(frozen=True)
class Step:
    """An attention or a feed-forward in kernels: its norm with the convolution after, the rest."""

    first: fused.Following
    rest: Callable[[Tensor, Tensor, fused.Following | None], list[Tensor]]
    """Called with x, what `first` gives of it, and what follows."""


class MultiAttentionBlock(nn.Module):
    """Centre-oriented attention and, in Net^R, degradation-aware attention, each with a GDFN."""

    def __init__(self, config: FMANetConfig, *, degradation_aware: bool) -> None:
        super().__init__()
        self.norm1 = LayerNorm(config.dim, config.LayerNorm_type)
        self.co_attn = TransposedAttention(config)
        self.norm2 = LayerNorm(config.dim, config.LayerNorm_type)
        self.ffn1 = GatedFeedForward(config)
        if degradation_aware:
            self.norm3 = LayerNorm(config.dim, config.LayerNorm_type)
            self.da_attn = TransposedAttention(config)
            self.norm4 = LayerNorm(config.dim, config.LayerNorm_type)
            self.ffn2 = GatedFeedForward(config)

    def forward(self, warped: Tensor, centre: Tensor, degradation: Tensor | None) -> Tensor:
        warped = self.co_attn(warped, self.norm1, centre)
        warped = self.ffn1(warped, self.norm2)
        if degradation is not None:
            warped = self.da_attn(warped, self.norm3, degradation)
            warped = self.ffn2(warped, self.norm4)
        return warped

    def in_kernels(self, of_centre: Tensor, of_degradation: Tensor | None) -> list[Step]:
        """List the steps of `forward`, with these `queries`."""

        def attention(layer: TransposedAttention, norm: LayerNorm, queries: Tensor) -> Step:
            return Step(_following(norm, layer.kv_conv), partial(layer.in_kernels, queries))

        def feed_forward(layer: GatedFeedForward, norm: LayerNorm) -> Step:
            return Step(_following(norm, layer.project_in), layer.in_kernels)

        steps = [
            attention(self.co_attn, self.norm1, of_centre),
            feed_forward(self.ffn1, self.norm2),
        ]
        if of_degradation is not None:
            steps += [
                attention(self.da_attn, self.norm3, of_degradation),
                feed_forward(self.ffn2, self.norm4),
            ]
        return steps


def queries(source: Tensor, layers: Sequence[TransposedAttention]) -> Sequence[Tensor]:
    """Make the queries of several attentions from (B, C, H, W) in one kernel, (B, C, H, W) each."""

    def joined() -> tuple[Tensor, Tensor | None]:
        biases = [layer.q.bias for layer in layers if layer.q.bias is not None]
        weight = torch.cat([layer.q.weight for layer in layers])
        return weight, torch.cat(biases) if biases else None

    (made,) = fused.pointwise([source], *prepared(layers[0], "queries", joined))
    return made.chunk(len(layers), dim=1)


def _following(norm: LayerNorm, conv: nn.Conv2d) -> fused.Following:
    return fused.Following(norm.body.weight, norm.body.bias, norm.eps, conv.weight, conv.bias)


def _depthwise(strip: Strip, outer: Tensor, conv: nn.Conv2d) -> Tensor:
    return strip.convolve(outer, conv.weight, conv.bias, groups=conv.weight.shape[0])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(dim=0)


def _pixels(x: Tensor) -> Tensor:
    """Reshape (B, C, H, W) to (B, H*W, C), without a copy where channels are last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)
