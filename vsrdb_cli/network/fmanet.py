"""FMA-Net: joint video super-resolution and deblurring (CVPR 2024).

The network is cut where its data flow allows: features of a frame depend on that frame alone, so
`encode` runs once per frame and `restore` once per window of T frames. The same numbers as the
whole forward, 28 % less arithmetic for the paper's model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.degradation_features import FusedDegradationConv
from vsrdb_cli.network.degradation_network import DegradationNetwork
from vsrdb_cli.network.features import FrameFeatures, window_of
from vsrdb_cli.network.layout import unfold
from vsrdb_cli.network.ops import filter_upsampling, masked_warp
from vsrdb_cli.network.prepared import forget, is_prepared, prepare, prepared
from vsrdb_cli.network.restoration_network import RestorationNetwork


@dataclass(frozen=True)
class Restoration:
    """All results of a window; training heads are None if the network has none.

    output: (B, 3, 4H, 4W), unclamped. warped_x: (B, 3, T, H, W), X'. kernel_d:
    (B, k_d^2, T, H, W), K^D before normalisation. kernel_r: (B, s^2 k_r^2, T, H, W), K^R likewise.
    flow_mask_d, flow_mask_r: (B*T, 3n, H, W), f^{D,M} and f^{R,M}. image_flow_mask_x,
    image_flow_mask_y: (B, 3, T, H, W). filtered, residual: (B, 3, 4H, 4W), whose sum is the output.
    sharp_d, sharp_r: (B, 3, T, H, W).
    """

    output: Tensor
    warped_x: Tensor
    kernel_d: Tensor
    kernel_r: Tensor
    flow_mask_d: Tensor
    flow_mask_r: Tensor
    image_flow_mask_x: Tensor
    filtered: Tensor
    residual: Tensor
    image_flow_mask_y: Tensor | None = None
    sharp_d: Tensor | None = None
    sharp_r: Tensor | None = None


class FMANet(nn.Module):
    """The whole network.

    Args:
        config: hyper-parameters.
        training_heads: with the heads only training reads (anchors and f^Y).
    """

    def __init__(self, config: FMANetConfig, *, training_heads: bool = False) -> None:
        super().__init__()
        self.config = config
        self.training_heads = training_heads
        self.degradation_learning_network = DegradationNetwork(
            config, training_heads=training_heads
        )
        self.restoration_network = RestorationNetwork(config, training_heads=training_heads)

    def prepare(self) -> FMANet:
        """Precompute what depends on weights only; new weights, dtypes or training undo it."""
        prepare(self.eval().requires_grad_(False))
        return self

    def train(self, mode: bool = True) -> FMANet:
        if mode:
            forget(self)
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        forget(self)
        return super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        forget(self)
        return super().load_state_dict(*arguments, **options)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the convolutions; flows, norms and sums are always float32."""
        return self.restoration_network.res_conv1.weight.dtype

    def encode(self, picture: Tensor) -> FrameFeatures:
        """Encode single frames (N, 3, H, W), RGB, 0 to 1."""
        if picture.dim() != 4 or picture.shape[1] != self.config.in_channels:
            raise ShapeError(f"picture is {tuple(picture.shape)}, expected (N, 3, H, W)")
        picture = picture.to(self.dtype, memory_format=torch.channels_last)
        degradation = self.degradation_learning_network.encode(picture)
        restoration = self.restoration_network.encode(picture, degradation[-1])
        return FrameFeatures(picture, degradation, restoration)

    def restore(self, window: Sequence[FrameFeatures]) -> Tensor:
        """Restore the centre of T frames: (B, 3, 4H, 4W), float32, unclamped."""
        return self.restore_joined(window_of(window, self.config.num_seq))

    def restore_joined(self, frames: FrameFeatures) -> Tensor:
        """Restore as `restore` does, from the features of windows with batch index b*T + t."""
        net_r = self.restoration_network
        flow_mask, hidden = self.degradation_learning_network(frames.degradation)
        flow_mask, warped = net_r.refine(frames.restoration, flow_mask, self._read_kernels(hidden))
        image_flow_mask = net_r.image_flow_mask(frames.picture, flow_mask)
        filtered = net_r.filtered(frames.picture, image_flow_mask, warped)
        return filtered.float() + net_r.residual(warped).float()

    def forward(self, clip: Tensor) -> Tensor:
        """Restore clips (B, 3, T, H, W), RGB, 0 to 1, as (B, 3, 4H, 4W), float32, unclamped."""
        return self.restore_clip(clip).output

    def restore_clip(self, clip: Tensor) -> Restoration:
        """Restore clips (B, 3, T, H, W) and keep all intermediate results."""
        if clip.dim() != 5 or clip.shape[2] != self.config.num_seq:
            raise ShapeError(f"clip is {tuple(clip.shape)}, expected T = {self.config.num_seq}")
        return self.restore_window(self.encode(clip.transpose(1, 2).flatten(0, 1)))

    def restore_window(self, frames: FrameFeatures) -> Restoration:
        """Restore windows from the features of `frames`, with batch index b*T + t."""
        net_d, net_r = self.degradation_learning_network, self.restoration_network
        length = self.config.num_seq
        flow_mask_d, hidden = net_d(frames.degradation)
        kernel_d = net_d.kernels(hidden)
        read_kernels = net_r.read_kernels(kernel_d)
        flow_mask_r, warped = net_r.refine(frames.restoration, flow_mask_d, read_kernels)
        image_flow_mask = net_r.image_flow_mask(frames.picture, flow_mask_r)
        warped_x = unfold(masked_warp(frames.picture.float(), image_flow_mask), length)
        kernel_r = unfold(net_r.kernels(warped), length)
        filtered = filter_upsampling(warped_x, kernel_r, net_r.scale, net_r.kernel_size).float()
        residual = net_r.residual(warped).float()
        heads: dict[str, Tensor] = {}
        if self.training_heads:
            heads = {
                "image_flow_mask_y": unfold(net_d.f_conv(flow_mask_d.to(self.dtype)), length),
                "sharp_d": unfold(net_d.a_conv(frames.degradation[-1]), length),
                "sharp_r": unfold(net_r.a_conv(frames.restoration[-1]), length),
            }
        return Restoration(
            filtered + residual,
            warped_x,
            unfold(kernel_d, length),
            kernel_r,
            flow_mask_d,
            flow_mask_r,
            unfold(image_flow_mask, length),
            filtered,
            residual,
            **heads,
        )

    def _read_kernels(self, hidden: Tensor) -> Tensor:
        """Read K^D by Net^R's first convolution, without making it; see `FusedDegradationConv`."""
        net_d, net_r = self.degradation_learning_network, self.restoration_network
        if not is_prepared(self):
            return net_r.read_kernels(net_d.kernels(hidden))
        degradation_conv = prepared(
            self,
            "past K^D",
            lambda: FusedDegradationConv.of(
                net_d.d_conv.second, cast(nn.Conv3d, net_r.d_conv[0]), self.config.num_seq
            ),
        )
        return degradation_conv(hidden)
