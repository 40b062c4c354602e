"""Attention between channels and gated feed-forward, from Restormer, as FMA-Net uses them.

All of it is local but for one small matrix of products of channels, so it runs strip by strip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
        pixels = x.permute(0, 2, 3, 1)
        weight: Tensor = self.body.weight
        bias: Tensor | None = self.body.bias
        if bias is not None:
            # PyTorch's kernel sums in float32 whatever it reads, and rounds once. Casts would move
            # three times the bytes; a graph needs them, since other runtimes promise nothing.
            if torch.is_grad_enabled() or torch.compiler.is_compiling():
                pixels, weight, bias = pixels.float(), weight.float(), bias.float()
            y = F.layer_norm(pixels, weight.shape, weight, bias, eps=self.eps)
        else:
            pixels, weight = pixels.float(), weight.float()
            variance = pixels.var(dim=-1, keepdim=True, correction=0)
            y = pixels * torch.rsqrt(variance + self.eps) * weight
        return y.to(x.dtype).permute(0, 3, 1, 2)


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
            products.append(fused.channel_products(q, k, self.heads))
        with float32_island(x):
            weights = prepared(self, "float32 weights", self._float32_weights)
            mixing = fused.channel_mixing(_sum(products), *weights, x.dtype)
        mixed = []
        for strip, v in zip(parts, values, strict=True):
            own, v_pixels = _pixels(strip.of(x)), _pixels(v)
            # One product and sum on a GPU; a CPU has a slower product for it.
            y = (
                torch.baddbmm(own, v_pixels, mixing)
                if fused.in_one_kernel(x)
                else own + v_pixels @ mixing
            )
            if self.project_out.bias is not None:
                y = y + self.project_out.bias
            mixed.append(torch.unflatten(y, 1, v.shape[2:]).permute(0, 3, 1, 2))
        return joined_rows(mixed)

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
            gated = _depthwise(strip, hidden, self.dwconv, gated=True)
            parts.append(strip.of(x) + self.project_out(gated))
        return joined_rows(parts)


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


def _depthwise(strip: Strip, outer: Tensor, conv: nn.Conv2d, *, gated: bool = False) -> Tensor:
    if fused.in_one_kernel(outer):
        return fused.depthwise(outer, conv.weight, conv.bias, gated=gated)
    convolved = strip.convolve(outer, conv.weight, conv.bias, groups=conv.weight.shape[0])
    return ops.gelu_gate(convolved) if gated else convolved


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(dim=0)


def _pixels(x: Tensor) -> Tensor:
    """Reshape (B, C, H, W) to (B, H*W, C), without a copy where channels are last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)
