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
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network import fused
from vsrdb_cli.network.blocks import (
    FrameConv,
    FrameConvPair,
    FRMABlock,
    feature_extractor,
    leaky_relu,
)
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.degradation import FusedKernels, frames_read
from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.ops import (
    filter_padded,
    filter_upsampling,
    masked_warp,
    pad_for_filter,
)
from vsrdb_cli.network.prepared import forget, is_prepared, prepare, prepared
from vsrdb_cli.network.strips import Strip, joined, strips


@dataclass(frozen=True)
class FrameFeatures:
    """What one frame contributes to every window it is in.

    picture: (B, 3, H, W). degradation, restoration: M + 1 tensors (B, C, H, W) each: F^0..F^M of
    Net^D and Net^R.
    """

    picture: Tensor
    degradation: Sequence[Tensor]
    restoration: Sequence[Tensor]

    def tensors(self) -> list[Tensor]:
        """All of them, picture first."""
        return [self.picture, *self.degradation, *self.restoration]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> FrameFeatures:
        """The features that `tensors()` has taken apart."""
        picture, *features = tensors
        levels = len(features) // 2
        return cls(picture, features[:levels], features[levels:])


@dataclass(frozen=True)
class Restoration:
    """Everything a window gives; training heads are None where the network has none.

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
        """(N, 3, H, W) -> F^{D,0..M}, each (N, C, H, W)."""
        return _refinements(self.feature_extractor(picture), self.FRMA_blocks)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """F^{D,0..M} of a window, each (B*T, C, H, W) -> f^{D,M} and what K^D is made from.

        The latter, (B*T, C, H, W), is the input of K^D's last convolution, `kernels`.
        """
        centre = _centre(features[0], self.length)
        flow_mask, warped = None, None
        for level, block in enumerate(self.FRMA_blocks, start=1):
            flow_mask, warped = block(features[level], centre, flow_mask, warped, None)
        assert flow_mask is not None and warped is not None
        return flow_mask, leaky_relu(self.d_conv.first(_spread(warped, self.length)))

    def kernels(self, hidden: Tensor) -> Tensor:
        """K^D, (B*T, k_d^2, H, W), not normalised."""
        kernels: Tensor = self.d_conv.second(hidden)
        return kernels


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
        """Picture (N, 3, H, W) and its F^{D,M} -> F^{R,0..M}, each (N, C, H, W)."""
        initial = self.feature_extractor(torch.cat((picture, degradation), dim=1))
        return _refinements(initial, self.FRMA_blocks)

    def read_kernels(self, kernel_d: Tensor) -> Tensor:
        """K^D (B*T, k_d^2, H, W) -> its first convolution, (B*T, C, H, W), before its LeakyReLU."""
        return _conv_in_time(kernel_d, cast(nn.Conv3d, self.d_conv[0]), self.length)

    def refine(
        self, features: Sequence[Tensor], flow_mask: Tensor, read_kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """F^{R,0..M}, f^{D,M} and K^D as read, of a window -> f^{R,M} and F_w^{R,M}."""
        centre = _centre(features[0], self.length)
        flow_mask = self.f_conv1(flow_mask.to(read_kernels.dtype)).float()
        hidden = leaky_relu(read_kernels)
        degradation = _conv_in_time(hidden, cast(nn.Conv3d, self.d_conv[2]), self.length)
        warped = None
        for level, block in enumerate(self.FRMA_blocks, start=1):
            flow_mask, warped = block(features[level], centre, flow_mask, warped, degradation)
        assert warped is not None
        return flow_mask, warped

    def image_flow_mask(self, picture: Tensor, flow_mask: Tensor) -> Tensor:
        """Pictures (B*T, 3, H, W) and f^{R,M} -> f^X, (B*T, 3, H, W), float32."""
        flow_mask = flow_mask.to(picture.dtype)
        first_flow_mask = self.f_conv2(flow_mask).float()
        first = fused.masked_warp(picture, first_flow_mask)
        centre = _centre(picture, self.length).repeat_interleave(self.length, dim=0)
        image: Tensor = self.f_conv3(torch.cat((flow_mask, first, centre), dim=1))
        return image.float()

    def kernels(self, warped: Tensor) -> Tensor:
        """F_w^{R,M} (B, C, H, W) -> K^R, (B*T, s^2 k_r^2, H, W), not normalised."""
        kernels: Tensor = self.r_conv(_spread(warped, self.length))
        return kernels

    def filtered(self, picture: Tensor, image_flow_mask: Tensor, warped: Tensor) -> Tensor:
        """Pictures (B*T, 3, H, W), f^X and F_w^{R,M} -> the centre, filtered, (B, 3, 4H, 4W).

        K^R, 1200 numbers a pixel for T = 3, is made and used up strip by strip.
        """
        length, scale, size = self.length, self.scale, self.kernel_size
        parts = strips(picture)
        if len(parts) == 1:
            clip = (_by_clip(picture, length), _by_clip(image_flow_mask, length))
            whole: Tensor = fgdf(*clip, _by_clip(self.kernels(warped), length), scale, size)
            return whole
        hidden = leaky_relu(self.r_conv.first(_spread(warped, length)))
        last = self.r_conv.second
        moved = _unfold(masked_warp(picture.float(), image_flow_mask), length)
        padded = pad_for_filter(moved, size)
        rows = []
        for strip in parts:
            kernel = strip.convolve(strip.outer_of(hidden), last.weight_2d, last.bias)
            around = padded[:, :, strip.start : strip.stop + size - 1]
            rows.append(filter_padded(around, _unfold(kernel, length), scale, size))
        return joined(rows)

    def residual(self, warped: Tensor) -> Tensor:
        """F_w^{R,M} (B, C, H, W) -> high-frequency detail (B, 3, 4H, 4W)."""
        x = leaky_relu(self.res_conv1(warped))
        x = F.pixel_shuffle(leaky_relu(self.upsample.conv1(x)), 2)
        x = x.contiguous(memory_format=torch.channels_last)
        return joined([self._residual_rows(x, strip) for strip in strips(x, scale=2)])

    def _residual_rows(self, x: Tensor, strip: Strip) -> Tensor:
        """The residual's last part for a strip of `x` (at twice the LR size)."""
        conv2, conv3 = self.upsample.conv2, self.upsample.conv3
        # Each step is computed on just the rows the next one reads, with the zeros that a whole
        # picture would have had above its first and below its last row.
        outer, hr = strip.outer, Strip(2 * strip.start, 2 * strip.stop, 2 * strip.height)
        y = leaky_relu(F.pixel_shuffle(_conv_rows(x, conv2, outer.start, outer.stop), 2))
        offset, around = 2 * outer.start, hr.outer
        y = leaky_relu(_conv_rows(y, conv3, around.start - offset, around.stop - offset))
        return _conv_rows(y, self.res_conv2, hr.start - around.start, hr.stop - around.start)


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
        """Make once what is made of weights alone; new ones, another dtype or training undo it."""
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
        """Precision of the convolutions; flows, norms and sums are float32 in any case."""
        return self.restoration_network.res_conv1.weight.dtype

    def encode(self, picture: Tensor) -> FrameFeatures:
        """Features of single frames: `picture` (N, 3, H, W), RGB, 0 to 1."""
        if picture.dim() != 4 or picture.shape[1] != self.config.in_channels:
            raise ShapeError(f"picture is {tuple(picture.shape)}, expected (N, 3, H, W)")
        picture = picture.to(self.dtype).contiguous(memory_format=torch.channels_last)
        degradation = self.degradation_learning_network.encode(picture)
        restoration = self.restoration_network.encode(picture, degradation[-1])
        return FrameFeatures(picture, degradation, restoration)

    def restore(self, window: Sequence[FrameFeatures]) -> Tensor:
        """Features of T frames -> the sharp centre frame, (B, 3, 4H, 4W), float32, unclamped."""
        net_r, length = self.restoration_network, self.config.num_seq
        frames = _joined(window, length)
        flow_mask, hidden = self.degradation_learning_network(frames.degradation)
        flow_mask, warped = net_r.refine(frames.restoration, flow_mask, self._read_kernels(hidden))
        image_flow_mask = net_r.image_flow_mask(frames.picture, flow_mask)
        filtered = net_r.filtered(frames.picture, image_flow_mask, warped)
        return filtered.float() + net_r.residual(warped).float()

    def forward(self, clip: Tensor) -> Tensor:
        """Clip (B, 3, T, H, W), RGB, 0 to 1 -> (B, 3, 4H, 4W), float32, unclamped."""
        return self.restore_clip(clip).output

    def restore_clip(self, clip: Tensor) -> Restoration:
        """The whole forward of a clip (B, 3, T, H, W), with all that lies between."""
        if clip.dim() != 5 or clip.shape[2] != self.config.num_seq:
            raise ShapeError(f"clip is {tuple(clip.shape)}, expected T = {self.config.num_seq}")
        return self.restore_window(self.encode(clip.transpose(1, 2).flatten(0, 1)))

    def restore_window(self, frames: FrameFeatures) -> Restoration:
        """`frames`: features of whole windows, batch index b*T + t."""
        net_d, net_r = self.degradation_learning_network, self.restoration_network
        length = self.config.num_seq
        flow_mask_d, hidden = net_d(frames.degradation)
        kernel_d = net_d.kernels(hidden)
        read_kernels = net_r.read_kernels(kernel_d)
        flow_mask_r, warped = net_r.refine(frames.restoration, flow_mask_d, read_kernels)
        image_flow_mask = net_r.image_flow_mask(frames.picture, flow_mask_r)
        warped_x = _unfold(masked_warp(frames.picture.float(), image_flow_mask), length)
        kernel_r = _unfold(net_r.kernels(warped), length)
        filtered = filter_upsampling(warped_x, kernel_r, net_r.scale, net_r.kernel_size).float()
        residual = net_r.residual(warped).float()
        heads: dict[str, Tensor] = {}
        if self.training_heads:
            heads = {
                "image_flow_mask_y": _unfold(net_d.f_conv(flow_mask_d.to(self.dtype)), length),
                "sharp_d": _unfold(net_d.a_conv(frames.degradation[-1]), length),
                "sharp_r": _unfold(net_r.a_conv(frames.restoration[-1]), length),
            }
        return Restoration(
            filtered + residual,
            warped_x,
            _unfold(kernel_d, length),
            kernel_r,
            flow_mask_d,
            flow_mask_r,
            _unfold(image_flow_mask, length),
            filtered,
            residual,
            **heads,
        )

    def _read_kernels(self, hidden: Tensor) -> Tensor:
        """K^D as Net^R first reads it, from what K^D is made from; see `FusedKernels`."""
        net_d, net_r = self.degradation_learning_network, self.restoration_network
        if not is_prepared(self):
            return net_r.read_kernels(net_d.kernels(hidden))
        fused = prepared(
            self,
            "fused kernels",
            lambda: FusedKernels.of(
                net_d.d_conv.second, cast(nn.Conv3d, net_r.d_conv[0]), self.config.num_seq
            ),
        )
        return fused(hidden)


def _refinements(initial: Tensor, blocks: nn.ModuleList) -> tuple[Tensor, ...]:
    """F^0 -> F^0..F^M: each block's RDB refines the per-frame features of the one before."""
    features = [initial]
    for block in blocks:
        features.append(cast(FRMABlock, block).rdb(features[-1]))
    return tuple(features)


def _joined(window: Sequence[FrameFeatures], length: int) -> FrameFeatures:
    """Features of T frames (B each) as one, with batch index b*T + t."""
    if len(window) != length:
        raise ShapeError(f"a window of {len(window)} frames, expected {length}")

    return FrameFeatures(
        _join([frame.picture for frame in window]),
        _JoinedLevels([frame.degradation for frame in window]),
        _JoinedLevels([frame.restoration for frame in window]),
    )


class _JoinedLevels(Sequence[Tensor]):
    """F^0..F^M of a window, each joined only when it is asked for.

    All of them side by side would double the memory that the frames' features take.
    """

    def __init__(self, frames: Sequence[Sequence[Tensor]]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames[0])

    def __getitem__(self, level: Any) -> Any:
        return _join([features[level] for features in self._frames])


def _join(tensors: Sequence[Tensor]) -> Tensor:
    """T tensors (B, C, H, W) -> (B*T, C, H, W)."""
    if tensors[0].shape[0] == 1:
        return torch.cat(list(tensors))
    return torch.stack(list(tensors), dim=1).flatten(0, 1)


def _centre(frames: Tensor, length: int) -> Tensor:
    """(B*T, C, H, W) -> the centre frames, (B, C, H, W)."""
    return frames[length // 2 :: length]


def _spread(warped: Tensor, length: int) -> Tensor:
    """F_w (B, C, H, W), channel index c*T + t -> (B*T, C/T, H, W)."""
    spread = warped.reshape(warped.shape[0], -1, length, *warped.shape[2:])
    return spread.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _unfold(frames: Tensor, length: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H, W)."""
    return _by_clip(frames, length).transpose(1, 2)


def _by_clip(frames: Tensor, length: int) -> Tensor:
    """(B*T, C, H, W) -> (B, T, C, H, W), without a copy."""
    return frames.reshape(-1, length, *frames.shape[1:])


def _conv_in_time(frames: Tensor, conv: nn.Conv3d, length: int) -> Tensor:
    """conv 3x3x3, zero padding in time too, on (B*T, C, H, W)."""
    pictures = _by_clip(frames, length).unbind(1)
    outputs = []
    for t in range(length):
        parts = [
            F.conv2d(
                pictures[source],
                conv.weight[:, :, dt],
                conv.bias if dt == 1 else None,
                padding=1,
            )
            for source, dt in frames_read(t, length)
        ]
        outputs.append(sum(parts[1:], start=parts[0]))
    return _join(outputs)


def _conv_rows(x: Tensor, conv: nn.Conv2d, start: int, stop: int) -> Tensor:
    """conv 3x3 for rows start..stop of `x`; rows outside `x` are zeros."""
    strip = Strip(start, stop, x.shape[2])
    return strip.convolve(strip.outer_of(x), conv.weight, conv.bias)


__all__ = ["FMANet", "FMANetConfig", "FrameConv", "FrameFeatures", "Restoration"]
