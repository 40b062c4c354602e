"""Net^R: the sharp HR centre frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.network import fused
from vsrdb_cli.network.blocks import (
    FrameConvPair,
    FRMABlock,
    feature_extractor,
    refinements,
)
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.degradation_features import convolve_in_time
from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.layout import (
    by_clip,
    centres,
    frames_read,
    join,
    laid_out,
    spread,
    unfold,
    weights_in_time,
)
from vsrdb_cli.network.ops import filter_padded, leaky_relu, masked_warp, pad_for_filter
from vsrdb_cli.network.prepared import prepared
from vsrdb_cli.network.strips import Strip, joined_rows, strips


class ResidualUpsampling(nn.Module):
    """Holds the weights of the two pixel-shuffle steps; `RestorationNetwork` computes with them."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels * 4, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(channels, channels * 4, 3, padding=1, bias=bias)
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)


class RestorationNetwork(nn.Module):
    """Net^R: the sharp HR centre frame, from the frames and their degradation kernels."""

    a_conv: FrameConvPair

    def __init__(self, config: FMANetConfig, *, training_heads: bool) -> None:
        super().__init__()
        channels, bias = config.dim, config.bias
        flows = 3 * config.num_flow
        self.length, self.scale = config.num_seq, config.scale
        self.kernel_size = config.us_kernel_size
        self.feature_extractor = feature_extractor(config.in_channels + channels, config)
        self.FRMA_blocks = nn.ModuleList(
            FRMABlock(config, has_flow=True, has_warped=i > 0, degradation_aware=True)
            for i in range(config.num_FRMA)
        )
        self.f_conv1 = FrameConvPair(flows, flows, flows, bias=bias)
        self.d_conv = nn.Sequential(
            nn.Conv3d(config.ds_kernel_size**2, channels, 3, padding=1, bias=bias),
            nn.LeakyReLU(0.2),
            nn.Conv3d(channels, channels, 3, padding=1, bias=bias),
        )
        self.res_conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.res_conv2 = nn.Conv2d(channels, 3, 3, padding=1, bias=bias)
        self.upsample = ResidualUpsampling(channels, bias=bias)
        self.r_conv = FrameConvPair(
            channels // self.length, channels, (self.scale * self.kernel_size) ** 2, bias=bias
        )
        self.f_conv2 = FrameConvPair(flows, flows, 3, bias=bias)
        self.f_conv3 = FrameConvPair(flows + 6, flows, 3, bias=bias)
        if training_heads:
            self.a_conv = FrameConvPair(channels, channels, 3, bias=bias)

    def encode(self, picture: Tensor, degradation: Tensor) -> tuple[Tensor, ...]:
        """Encode a picture (N, 3, H, W) and its F^{D,M} into F^{R,0..M}, each (N, C, H, W)."""
        initial = self.feature_extractor(torch.cat((picture, degradation), dim=1))
        return refinements(initial, self.FRMA_blocks)

    def read_kernels(self, kernel_d: Tensor) -> Tensor:
        """Convolve K^D, (B*T, k_d^2, H, W), into (B*T, C, H, W), before the LeakyReLU."""
        return conv_in_time(kernel_d, cast(nn.Conv3d, self.d_conv[0]), self.length)

    def refine(
        self, features: Sequence[Tensor], flow_mask: Tensor, read_kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute f^{R,M} and F_w^{R,M} of a window from F^{R,0..M}, f^{D,M} and K^D as read."""
        centre = centres(features[0], self.length)
        flow_mask = self.f_conv1(flow_mask.to(read_kernels.dtype)).float()
        hidden = leaky_relu(read_kernels)
        degradation = conv_in_time(hidden, cast(nn.Conv3d, self.d_conv[2]), self.length)
        warped = None
        for level, block in enumerate(self.FRMA_blocks, start=1):
            flow_mask, warped = block(features[level], centre, flow_mask, warped, degradation)
        assert warped is not None
        return flow_mask, warped

    def image_flow_mask(self, picture: Tensor, flow_mask: Tensor) -> Tensor:
        """Compute f^X, (B*T, 3, H, W), float32, from pictures (B*T, 3, H, W) and f^{R,M}."""
        flow_mask = flow_mask.to(picture.dtype)
        first_flow_mask = self.f_conv2(flow_mask)[:, :3].float()
        first = fused.masked_warp(picture, first_flow_mask)
        centre = join([centres(picture, self.length)] * self.length)
        image: Tensor = self.f_conv3(torch.cat((flow_mask, first, centre), dim=1))
        return image[:, :3].float()

    def kernels(self, warped: Tensor) -> Tensor:
        """Compute K^R, (B*T, s^2 k_r^2, H, W), not normalised, from F_w^{R,M}, (B, C, H, W)."""
        kernels: Tensor = self.r_conv(spread(warped, self.length))
        return kernels

    def filtered(self, picture: Tensor, image_flow_mask: Tensor, warped: Tensor) -> Tensor:
        """Filter pictures (B*T, 3, H, W) by f^X and F_w^{R,M} into the centre, (B, 3, 4H, 4W).

        K^R, 1200 numbers a pixel for T = 3, is computed and used strip by strip.
        """
        length, scale, size = self.length, self.scale, self.kernel_size
        parts = strips(picture)
        if len(parts) == 1:
            clip = (by_clip(picture, length), by_clip(image_flow_mask, length))
            whole: Tensor = fgdf(*clip, by_clip(self.kernels(warped), length), scale, size)
            return whole
        hidden = leaky_relu(self.r_conv.first(spread(warped, length)))
        last = self.r_conv.second
        moved = unfold(masked_warp(picture.float(), image_flow_mask), length)
        padded = pad_for_filter(moved, size)
        rows = []
        for strip in parts:
            kernel = strip.convolve(strip.outer_of(hidden), last.weight_2d, last.bias)
            around = padded[:, :, strip.start : strip.stop + size - 1]
            rows.append(filter_padded(around, unfold(kernel, length), scale, size))
        return joined_rows(rows)

    def residual(self, warped: Tensor) -> Tensor:
        """Compute high-frequency detail, (B, 3, 4H, 4W), from F_w^{R,M}, (B, C, H, W)."""
        x = leaky_relu(self.res_conv1(warped))
        x = fused.leaky_shuffle(self.upsample.conv1(x))
        rows = [self._residual_rows(x, strip) for strip in strips(x, scale=2)]
        return joined_rows(rows)[:, :3]

    def _residual_rows(self, x: Tensor, strip: Strip) -> Tensor:
        """Compute the last part of the residual for a strip of `x` (at twice the LR size)."""
        conv2, conv3 = self.upsample.conv2, self.upsample.conv3
        # Each step is computed on just the rows the next one reads, with the zeros that a whole
        # picture would have had above its first and below its last row.
        outer, hr = strip.outer, Strip(2 * strip.start, 2 * strip.stop, 2 * strip.height)
        y = fused.leaky_shuffle(_conv_rows(x, conv2, outer.start, outer.stop))
        offset, around = 2 * outer.start, hr.outer
        y = leaky_relu(_conv_rows(y, conv3, around.start - offset, around.stop - offset))
        return _conv_rows(y, self.res_conv2, hr.start - around.start, hr.stop - around.start)


def conv_in_time(frames: Tensor, conv: nn.Conv3d, length: int) -> Tensor:
    """Convolve (B*T, C, H, W) by 3x3x3, with zero padding in time too."""
    if fused.in_one_kernel(frames):
        weights = prepared(
            conv, "side by side", lambda: weights_in_time(conv.weight.unbind(2), length)
        )
        biases = None if conv.bias is None else [conv.bias] * length
        return convolve_in_time(frames, weights, biases, padding=1)
    pictures = by_clip(frames, length).unbind(1)
    weights = prepared(conv, "by tap", lambda: [laid_out(tap) for tap in conv.weight.unbind(2)])
    outputs = []
    for t in range(length):
        parts = [
            F.conv2d(
                pictures[source],
                weights[dt],
                conv.bias if dt == 1 else None,
                padding=1,
            )
            for source, dt in frames_read(t, length)
        ]
        outputs.append(sum(parts[1:], start=parts[0]))
    return join(outputs)


def _conv_rows(x: Tensor, conv: nn.Conv2d, start: int, stop: int) -> Tensor:
    """Convolve rows start..stop of `x` by 3x3; rows outside `x` are zeros."""
    strip = Strip(start, stop, x.shape[2])
    return strip.convolve(strip.outer_of(x), conv.weight, conv.bias)
