"""Estimate how each pixel of the centre frame was blurred: Net^D."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vsrdb_cli.network.blocks import (
    FrameConvPair,
    FRMABlock,
    feature_extractor,
    refinements,
)
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.layout import centres, spread
from vsrdb_cli.network.ops import leaky_relu


class DegradationNetwork(nn.Module):
    """Net^D: motion-aware degradation kernels of the centre frame."""

    f_conv: FrameConvPair
    a_conv: FrameConvPair

    def __init__(self, config: FMANetConfig, *, training_heads: bool) -> None:
        super().__init__()
        channels, bias = config.dim, config.bias
        self.length = config.num_seq
        self.feature_extractor = feature_extractor(config.in_channels, config)
        self.FRMA_blocks = nn.ModuleList(
            FRMABlock(config, has_flow=i > 0, has_warped=i > 0, degradation_aware=False)
            for i in range(config.num_FRMA)
        )
        self.d_conv = FrameConvPair(
            channels // self.length, channels, config.ds_kernel_size**2, bias=bias
        )
        if training_heads:
            flows = 3 * config.num_flow
            self.f_conv = FrameConvPair(flows, flows, 3, bias=bias)
            self.a_conv = FrameConvPair(channels, channels, 3, bias=bias)

    def encode(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Encode (N, 3, H, W) into F^{D,0..M}, each (N, C, H, W)."""
        return refinements(self.feature_extractor(picture), self.FRMA_blocks)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Turn F^{D,0..M} of a window, each (B*T, C, H, W), into f^{D,M} and the input of K^D.

        The latter, (B*T, C, H, W), is the input of K^D's last convolution, `kernels`.
        """
        centre = centres(features[0], self.length)
        flow_mask, warped = None, None
        for level, block in enumerate(self.FRMA_blocks, start=1):
            flow_mask, warped = block(features[level], centre, flow_mask, warped, None)
        assert flow_mask is not None and warped is not None
        return flow_mask, leaky_relu(self.d_conv.first(spread(warped, self.length)))

    def kernels(self, hidden: Tensor) -> Tensor:
        """Compute K^D, (B*T, k_d^2, H, W), not normalised."""
        kernels: Tensor = self.d_conv.second(hidden)
        return kernels
