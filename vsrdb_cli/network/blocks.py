"""The pieces FMA-Net is made of, with the released checkpoints' parameter names.

Weights keep the released shapes (a "conv 1x3x3" is stored as a 3-D convolution), but every
convolution that never mixes frames is computed in 2-D over B*T pictures, channels last.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.network import fused, ops
from vsrdb_cli.network.attention import MultiAttentionBlock, pointwise, queries
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.layout import by_clip, frames_of, laid_out, widened
from vsrdb_cli.network.ops import leaky_relu
from vsrdb_cli.network.prepared import prepared
from vsrdb_cli.network.strips import joined_rows, strips


class FrameConv(nn.Conv3d):
    """Convolution 1 x k x k: stored in 3-D, computed in 2-D on (N, C, H, W), zero padding."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, *, bias: bool) -> None:
        half = kernel_size // 2
        super().__init__(
            inputs, outputs, (1, kernel_size, kernel_size), padding=(0, half, half), bias=bias
        )

    @property
    def weight_2d(self) -> Tensor:
        """(outputs, inputs, k, k)."""
        return self.weight[:, :, 0]

    def forward(self, x: Tensor) -> Tensor:
        x = widened(x, self.weight.shape[1])
        return F.conv2d(x, self.weight_2d, self.bias, padding=self.kernel_size[1] // 2)


class LeakyReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x)


class FrameConvPair(nn.Sequential):
    """conv 1x3x3 -> LeakyReLU -> conv 1x3x3, with the names 0 and 2."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, bias: bool) -> None:
        super().__init__(
            FrameConv(inputs, hidden, bias=bias),
            LeakyReLU(),
            FrameConv(hidden, outputs, bias=bias),
        )

    @property
    def first(self) -> FrameConv:
        return cast(FrameConv, self[0])

    @property
    def second(self) -> FrameConv:
        return cast(FrameConv, self[2])

    def forward(self, x: Tensor) -> Tensor:
        hidden = leaky_relu(self.first(x))
        output: Tensor = self.second(hidden)
        return output


class DenseLayer(nn.Module):
    """Holds the weights of one layer of an RDB; `ResidualDenseBlock` computes with them."""

    def __init__(self, inputs: int, growth: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = FrameConv(inputs, growth, bias=bias)


class ResidualDenseBlock(nn.Module):
    """RDB: L dense layers, a 1x1 convolution (always biased), plus the input; (N, C, H, W)."""

    def __init__(self, config: FMANetConfig) -> None:
        super().__init__()
        growth = config.growth_rate
        self.layer = nn.Sequential(
            *(
                DenseLayer(config.dim + i * growth, growth, bias=config.bias)
                for i in range(config.num_dense_layer)
            )
        )
        inputs = config.dim + config.num_dense_layer * growth
        self.conv = FrameConv(inputs, config.dim, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        if fused.in_one_kernel(x):
            return self.in_kernels(x)
        weights, bias = prepared(self, "by input", self._by_input)
        pieces = [x]
        pending = F.conv2d(x, weights[0], bias, padding=1)
        for weight in weights[1:]:
            # Split, not sliced: a slice's gradient is as large as the whole, mostly zeros.
            growth = weight.shape[1]
            own, later = torch.split(pending, [growth, pending.shape[1] - growth], dim=1)
            pieces.append(leaky_relu(own.contiguous(memory_format=_LAST)))
            pending = later + F.conv2d(pieces[-1], weight, padding=1)
        pieces.append(leaky_relu(pending))
        detail: Tensor = self.conv(torch.cat(pieces, dim=1))
        return x + detail

    def in_kernels(self, x: Tensor) -> Tensor:
        """Compute the same, without a concatenation and with one kernel after each convolution."""
        weights, bias = prepared(self, "by input", self._by_input)
        growth = weights[-1].shape[0]
        pieces, convolved = [x], list[Tensor]()
        for index, weight in enumerate(weights):
            convolved.append(F.conv2d(pieces[-1], weight, padding=1))
            start = index * growth
            # Each holds what it gives to this layer and to all later ones.
            shares = [one[:, start - len(weights) * growth :][:, :growth] for one in convolved]
            own = None if bias is None else bias[start : start + growth]
            pieces.append(fused.sum_up(shares, own, leaky=True))
        (y,) = fused.pointwise(pieces, self.conv.weight_2d, self.conv.bias, plus=x)
        return y

    def _by_input(self) -> tuple[list[Tensor], Tensor | None]:
        """Return the layers' weights grouped by input instead of by output, and all their biases.

        What the input, or a layer, gives to all later layers is one convolution. The arithmetic is
        the same, but a few wide convolutions replace many with 18 outputs (which waste most of a
        16-wide vector unit) and nothing is concatenated first.
        """
        layers = [cast(DenseLayer, layer).conv for layer in self.layer]
        starts = [layer.weight.shape[1] for layer in layers]
        weights = [
            laid_out(torch.cat([layer.weight_2d[:, start:stop] for layer in layers[index:]]))
            for index, (start, stop) in enumerate(itertools.pairwise([0, *starts]))
        ]
        biases = [layer.bias for layer in layers if layer.bias is not None]
        return weights, torch.cat(biases) if biases else None


class ResidualInResidualDenseBlock(nn.Module):
    """RRDB: R RDBs in a chain, all outputs fused, plus the input; (N, C, H, W)."""

    def __init__(self, config: FMANetConfig) -> None:
        super().__init__()
        self.RDBs = nn.ModuleList(ResidualDenseBlock(config) for _ in range(config.num_RDB))
        self.conv = nn.Sequential(
            FrameConv(config.dim * config.num_RDB, config.dim, 1, bias=config.bias),
            FrameConv(config.dim, config.dim, bias=config.bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        fusion, last = cast(FrameConv, self.conv[0]), cast(FrameConv, self.conv[1])
        if fused.in_one_kernel(x):
            outputs = list(itertools.accumulate(self.RDBs, lambda y, rdb: rdb(y), initial=x))[1:]
            (total,) = fused.pointwise(outputs, fusion.weight_2d, fusion.bias)
            return fused.sum_up([x, F.conv2d(total, last.weight_2d, padding=1)], last.bias)
        # The 1x1 fusion is summed up RDB by RDB: the concatenation (R * C channels) is never held.
        first, *weights = prepared(self, "by RDB", self._by_rdb)
        y = self.RDBs[0](x)
        total = F.conv2d(y, first, fusion.bias)
        for rdb, weight in zip(itertools.islice(self.RDBs, 1, None), weights, strict=True):
            y = rdb(y)
            total = total + F.conv2d(y, weight)
        detail: Tensor = last(total)
        return x + detail

    def _by_rdb(self) -> list[Tensor]:
        """Split the weights of the fusion by the RDB whose outputs they read."""
        fusion = cast(FrameConv, self.conv[0])
        return [laid_out(weight) for weight in fusion.weight_2d.chunk(len(self.RDBs), dim=1)]


def feature_extractor(inputs: int, config: FMANetConfig) -> nn.Sequential:
    """Create conv 1x3x3, LeakyReLU and RRDB: they compute F^0, the initial features of a frame."""
    return nn.Sequential(
        FrameConv(inputs, config.dim, bias=config.bias),
        LeakyReLU(),
        ResidualInResidualDenseBlock(config),
    )


class FRMABlock(nn.Module):
    """Iterative feature refinement with multi-attention, one step.

    Args:
        has_flow: a flow-mask comes in (all but the first block of Net^D).
        has_warped: a warped feature comes in (all but the first block of either net).
        degradation_aware: Net^R's blocks, which also attend to the degradation kernels.

    Source: FMA-Net (CVPR 2024), Sec. 3.2.
    """

    def __init__(
        self, config: FMANetConfig, *, has_flow: bool, has_warped: bool, degradation_aware: bool
    ) -> None:
        super().__init__()
        channels, length = config.dim, config.num_seq
        flows = 3 * config.num_flow
        self.length = length
        self.groups = config.num_flow, channels // config.num_flow
        self.rdb = ResidualDenseBlock(config)
        if degradation_aware:
            self.rdb_KD = ResidualDenseBlock(config)
            self.conv_KD = pointwise(channels * length, channels, bias=config.bias)
        self.conv_Fw = pointwise(channels * (length + has_warped), channels, bias=config.bias)
        self.conv_f = FrameConvPair(channels * 2 + flows * has_flow, flows, flows, bias=config.bias)
        self.multi_attn_block = nn.ModuleList(
            MultiAttentionBlock(config, degradation_aware=degradation_aware)
            for _ in range(config.num_transformer_block)
        )

    def forward(
        self,
        feature: Tensor,
        centre: Tensor,
        flow_mask: Tensor | None,
        warped: Tensor | None,
        degradation: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Refine flow-mask and warped feature with this block's per-frame features.

        Args:
            feature: (B*T, C, H, W), this block's RDB applied to the frames' features.
            centre: (B, C, H, W), F^0 of the centre frame.
            flow_mask: (B*T, 3n, H, W), float32, or None in the first block of Net^D.
            warped: (B, C, H, W), or None in a first block.
            degradation: (B*T, C, H, W), the kernels' shared features, or None in Net^D.

        Returns:
            The refined flow-mask (B*T, 3n, H, W), float32, and warped feature (B, C, H, W).
        """
        if fused.in_one_kernel(feature):
            return self._in_kernels(feature, centre, flow_mask, warped, degradation)
        planes = feature
        if not fused.warps_at_once(feature):
            # Sampling reads planes in float32; every strip of both warps reads all of them.
            planes = feature.contiguous().float()
        flow_mask = self.refine_flow(feature, planes, centre, flow_mask)
        warped = self._align(planes, flow_mask, warped, feature.dtype)
        if degradation is not None:
            own = ops.side_by_side(self.rdb_KD(degradation), self.length)
            degradation = F.conv2d(own, self._conv_kd(), self.conv_KD.bias)
        for block in self.multi_attn_block:
            warped = block(warped, centre, degradation)
        return flow_mask, warped

    def _in_kernels(
        self,
        feature: Tensor,
        centre: Tensor,
        flow_mask: Tensor | None,
        warped: Tensor | None,
        degradation: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Compute `forward` in as few kernels as there are."""
        first, second = self.conv_f.first, self.conv_f.second
        of_centre, of_frame = self._conv_f(centre.shape[1])
        own = feature
        if flow_mask is not None:
            own = fused.flows_and_warped(feature, flow_mask, self.groups)
        shares = [
            F.conv2d(one, weight, padding=1)
            for one, weight in ((own, of_frame), (centre, of_centre))
        ]
        hidden = fused.sum_up(shares, first.bias, leaky=True)
        delta: Tensor = second(hidden)
        flow_mask = delta.float() if flow_mask is None else flow_mask + delta
        blocks = [cast(MultiAttentionBlock, block) for block in self.multi_attn_block]
        centre_queries = queries(centre, [block.co_attn for block in blocks])
        kd_queries: Sequence[Tensor | None] = [None] * len(blocks)
        if degradation is not None:
            frames = frames_of(self.rdb_KD(degradation), self.length)
            (of_kd,) = fused.pointwise(frames, self._conv_kd(), self.conv_KD.bias)
            kd_queries = queries(of_kd, [block.da_attn for block in blocks])
        steps = [
            step
            for block, one, other in zip(blocks, centre_queries, kd_queries, strict=True)
            for step in block.in_kernels(one, other)
        ]
        moved = fused.multi_flow_warp(feature, flow_mask, self.groups, self.length)
        parts = [moved] if warped is None else [warped, moved]
        weight = prepared(self, "conv_Fw", lambda: torch.cat(self._conv_fw(warped), dim=1))
        first_step, *later = [step.first for step in steps]
        warped, given = fused.pointwise(parts, weight, self.conv_Fw.bias, following=first_step)
        for step, following in zip(steps, later, strict=False):
            warped, given = step.rest(warped, given, following)
        (warped,) = steps[-1].rest(warped, given, None)
        return flow_mask, warped

    def refine_flow(
        self, feature: Tensor, planes: Tensor, centre: Tensor, flow_mask: Tensor | None
    ) -> Tensor:
        first = self.conv_f.first
        of_centre, of_frame = self._conv_f(centre.shape[1])
        # The centre's share is the same for all T frames: convolved once.
        shared = F.conv2d(centre, of_centre, first.bias, padding=1)
        rows = []
        for strip in strips(feature):
            own = strip.outer_of(feature)
            if flow_mask is not None:
                flows = strip.outer_of(flow_mask)
                moved = fused.multi_flow_warp(
                    planes, flows, self.groups, 1, top=strip.outer_top, dtype=feature.dtype
                )
                own = torch.cat((flows.to(feature.dtype), moved), dim=1)
            clip = by_clip(strip.convolve(own, of_frame, None), self.length)
            rows.append(leaky_relu((clip + strip.of(shared).unsqueeze(1)).flatten(0, 1)))
        delta: Tensor = self.conv_f.second(joined_rows(rows)).float()
        return delta if flow_mask is None else flow_mask + delta

    def _align(
        self, planes: Tensor, flow_mask: Tensor, warped: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Join the frames' features, warped along their flows, with the warped feature so far."""
        bias = self.conv_Fw.bias
        own, by_frame = prepared(self, "conv_Fw by input", lambda: self._conv_fw(warped))
        rows = []
        for strip in strips(planes):
            flows = strip.of(flow_mask)
            moved = fused.multi_flow_warp(
                planes, flows, self.groups, self.length, top=strip.top, dtype=dtype
            )
            row = F.conv2d(moved, by_frame, bias)
            rows.append(row if warped is None else row + F.conv2d(strip.of(warped), own))
        return joined_rows(rows)

    def _conv_f(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return the weights of the flow's first convolution, of the centre and of each frame."""
        weight = self.conv_f.first.weight_2d
        return prepared(self, "conv_f by input", lambda: _split(weight, channels))

    def _conv_fw(self, warped: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weights of conv_Fw, of the feature warped so far and of the frames."""
        own, frames = _split(self.conv_Fw.weight, 0 if warped is None else warped.shape[1])
        return own, self._time_major(frames)

    def _conv_kd(self) -> Tensor:
        weight = self.conv_KD.weight
        return prepared(self, "conv_KD by frame", lambda: self._time_major(weight))

    def _time_major(self, weight: Tensor) -> Tensor:
        """Reorder a 1x1 weight's inputs from the released c*T + t to t*C + c."""
        outputs = weight.shape[0]
        by_frame = weight.reshape(outputs, -1, self.length).transpose(1, 2)
        return laid_out(by_frame.reshape(outputs, -1, 1, 1))


def _split(weight: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Split weights into those of the first `channels` inputs and those of the others."""
    return laid_out(weight[:, :channels]), laid_out(weight[:, channels:])


def refinements(initial: Tensor, blocks: nn.ModuleList) -> tuple[Tensor, ...]:
    """Compute F^0..F^M from F^0: each block's RDB refines the per-frame features before it."""
    features = [initial]
    for block in blocks:
        features.append(cast(FRMABlock, block).rdb(features[-1]))
    return tuple(features)


_LAST = torch.channels_last
