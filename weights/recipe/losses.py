"""The paper's losses (Eq. 8 and 9), with the renderer's true flow in RAFT's place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from recipe.pool import Batch
from torch import Tensor

from vsrdb_cli.network.fmanet import FMANet, Restoration
from vsrdb_cli.network.ops import flow_guided_downsampling


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms beside the restored picture's; a term of weight 0 is not computed.

    anchor: sharp LR frames from the features of both nets (lambda 3 and 5).
    flow: f^Y and f^X against the true flow, in LR pixels (lambda 2, there for f^Y alone).
    warp: the masked, warped X against its centre (lambda 4).
    degradation: the LR centre synthesised from sharp HR frames by K^D (the first term of Eq. 8).
    """

    anchor: float = 0.1
    flow: float = 1e-4
    warp: float = 0.1
    degradation: float = 0.1


@dataclass(frozen=True)
class Motion:
    """What stage 1 learns.

    flows: of every FRMA block of Net^D, (B*T, n, 2, H, W). flow_y: f^Y's, (B*T, 2, H, W).
    Both in LR pixels.
    """

    flows: list[Tensor]
    flow_y: Tensor


def motion_of_clip(network: FMANet, clip: Tensor) -> Motion:
    """The flows of Net^D and nothing else, on a clip (B, 3, T, H, W)."""
    net_d, length = network.degradation_learning_network, network.config.num_seq
    pictures = clip.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    features = net_d.encode(pictures)
    centre = features[0][length // 2 :: length]
    flow_mask, flows = None, []
    for feature, block in zip(features[1:], net_d.FRMA_blocks, strict=True):
        # A flow is refined from the one before and from features of single frames: the warped
        # feature, its attention and all that follows need not be computed.
        flow_mask = block._refine_flow(feature, feature.contiguous(), centre, flow_mask)
        flows.append(flow_mask.unflatten(1, (-1, 3))[:, :, :2])
    return Motion(flows, net_d.f_conv(flow_mask)[:, :2])


def motion_loss(found: Motion, batch: Batch) -> dict[str, Tensor]:
    """End-point errors in LR pixels; the blocks' count half, as what f^Y is made from."""
    length = batch.clip.shape[2]
    neighbours = [t for t in range(length) if t != length // 2]
    truth = batch.flow.transpose(1, 2)  # (B, 2, 2, H, W): frame, then (dx, dy)
    blocks = [
        end_point_error(f.unflatten(0, (-1, length))[:, neighbours], truth[:, :, None])
        for f in found.flows
    ]
    flow_y = end_point_error(found.flow_y.unflatten(0, (-1, length))[:, neighbours], truth)
    flow_blocks = torch.stack(blocks).sum()
    return {"flow_blocks": flow_blocks, "flow_y": flow_y, "total": flow_blocks / 2 + flow_y}


def end_point_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Mean length of the difference, in pixels; (dx, dy) stand third from the end."""
    return ((flow - truth).square().sum(dim=-3) + 1e-6).sqrt().mean()


def total_loss(
    found: Restoration, batch: Batch, weights: LossWeights
) -> dict[str, Tensor]:
    """Loss terms by name; "total" is their weighted sum (Eq. 9)."""
    clip, sharp_hr = batch.clip, batch.sharp_hr
    length, scale = clip.shape[2], sharp_hr.shape[-1] // clip.shape[-1]
    centre = length // 2
    terms: dict[str, tuple[float, Tensor]] = {}
    if isinstance(found, Restoration):
        terms["restored"] = (1.0, F.l1_loss(found.output, sharp_hr[:, :, centre]))
    if weights.anchor:
        sharp = _downscale(sharp_hr, scale)
        terms["anchor_d"] = (weights.anchor, F.l1_loss(found.sharp_d.float(), sharp))
        if isinstance(found, Restoration):
            terms["anchor_r"] = (weights.anchor, F.l1_loss(found.sharp_r.float(), sharp))
    if weights.flow:
        neighbours = [t for t in range(length) if t != centre]
        flow_y = found.image_flow_mask_y[:, :2, neighbours].float()
        terms["flow_y"] = (weights.flow, F.l1_loss(flow_y, batch.flow))
        if isinstance(found, Restoration):
            flow_x = found.image_flow_mask_x[:, :2, neighbours]
            terms["flow_x"] = (weights.flow, F.l1_loss(flow_x, batch.flow))
    if weights.warp and isinstance(found, Restoration):
        target = clip[:, :, centre, None].expand_as(clip)
        terms["warp"] = (weights.warp, F.l1_loss(found.warped_x, target))
    if weights.degradation:
        synthesised, _, _ = flow_guided_downsampling(
            sharp_hr, found.image_flow_mask_y.float(), found.kernel_d.float(), scale
        )
        weight = weights.degradation if isinstance(found, Restoration) else 1.0
        terms["degradation"] = (weight, F.l1_loss(synthesised, clip[:, :, centre]))
    losses = {name: loss for name, (_, loss) in terms.items()}
    losses["total"] = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
    return losses


def _downscale(clip_hr: Tensor, scale: int) -> Tensor:
    """Bicubic down with antialiasing, (B, C, T, sH, sW) -> (B, C, T, H, W)."""
    frames = clip_hr.transpose(1, 2).flatten(0, 1)
    small = F.interpolate(
        frames, scale_factor=1 / scale, mode="bicubic", antialias=True, align_corners=False
    )
    return small.unflatten(0, (clip_hr.shape[0], -1)).transpose(1, 2)
