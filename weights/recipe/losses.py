"""Compute the paper's losses, with the renderer's true flow in place of RAFT's.

The paper's first stage (Net^D alone, Eq. 8) is replaced by a cheaper one that learns motion and
nothing else; the second is the paper's (Eq. 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from recipe.pool import Batch
from torch import Tensor, nn

from vsrdb_cli.backends.precision import cpu_computes_bfloat16
from vsrdb_cli.network.blocks import FRMABlock
from vsrdb_cli.network.fmanet import FMANet, Restoration
from vsrdb_cli.network.layout import centres
from vsrdb_cli.network.ops import flow_guided_downsampling

Subject = Literal["motion", "everything"]

NOISE = 1 / 255  # errors below it count for little: flat windows have no more to give


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; a term of weight 0 is not computed, except `restored`, for the log."""

    restored: float = 1.0
    """Mean absolute error of the restored picture."""
    psnr: float = 0.0
    """Minus its PSNR in dB, window by window; 0.006 pulls about as strongly as an absolute error of
    weight 1."""
    anchor: float = 0.1
    """Sharp LR frames from the features of both networks (lambda 3 and 5)."""
    flow: float = 0.01
    """End-point error of f^Y and f^X, in LR pixels (lambda 2, which is for f^Y only)."""
    warp: float = 0.1
    """The masked, warped X against its centre (lambda 4)."""
    degradation: float = 0.1
    """The LR centre synthesised from sharp HR frames by K^D (the first term of Eq. 8), of one
    window of the batch: it costs a tenth of a step and counts little."""


class Objective(nn.Module):
    """A network and its losses as one module, a batch in, loss terms out.

    One module, so that it can be compiled and its gradients averaged over processes as a whole.
    """

    def __init__(self, network: FMANet, weights: LossWeights) -> None:
        super().__init__()
        self.network, self.weights = network, weights

    def forward(self, batch: Batch, learns: Subject) -> dict[str, Tensor]:
        """Return the loss terms by name, scalars; "total" is their weighted sum."""
        device = batch.clip.device
        low = device.type == "cuda" or cpu_computes_bfloat16()
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            if learns == "everything":
                found: Restoration | NetDFlows = self.network.restore_clip(batch.clip)
            else:
                found = net_d_flows(self.network, batch.clip)
        if isinstance(found, Restoration):
            return total_loss(found, batch, self.weights)
        return flow_loss(found, batch)


def total_loss(found: Restoration, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """Compute the loss terms of the whole network, Eq. 9."""
    clip, sharp_hr = batch.clip, batch.sharp_hr
    length, scale = clip.shape[2], sharp_hr.shape[-1] // clip.shape[-1]
    centre = length // 2
    assert found.sharp_d is not None
    assert found.sharp_r is not None
    assert found.image_flow_mask_y is not None
    truth = sharp_hr[:, :, centre]
    terms = {"restored": (weights.restored, F.l1_loss(found.output, truth))}
    if weights.psnr:
        squares = (found.output - truth).square().mean(dim=(1, 2, 3))
        terms["psnr"] = (weights.psnr, 10 * torch.log10(squares + NOISE**2).mean())
    if weights.anchor:
        sharp = _downscale(sharp_hr, scale)
        terms["anchor_d"] = (weights.anchor, F.l1_loss(found.sharp_d.float(), sharp))
        terms["anchor_r"] = (weights.anchor, F.l1_loss(found.sharp_r.float(), sharp))
    if weights.flow:
        for name, flow_mask in (("y", found.image_flow_mask_y), ("x", found.image_flow_mask_x)):
            flow = of_neighbours(flow_mask.float()[:, :2], dim=2)
            terms[f"flow_{name}"] = (weights.flow, end_point_error(flow, batch.flow, dim=1))
    if weights.warp:
        target = clip[:, :, centre, None].expand_as(clip)
        terms["warp"] = (weights.warp, F.l1_loss(found.warped_x, target))
    if weights.degradation:
        one = slice(0, 1)
        synthesised, _, _ = flow_guided_downsampling(
            sharp_hr[one],
            found.image_flow_mask_y[one].float(),
            found.kernel_d[one].float(),
            scale,
        )
        loss = F.l1_loss(synthesised, clip[one, :, centre])
        terms["degradation"] = (weights.degradation, loss)
    losses = {name: loss for name, (_, loss) in terms.items()}
    losses["total"] = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
    return losses


@dataclass(frozen=True)
class NetDFlows:
    """Flows of Net^D, (dx, dy) in LR pixels."""

    blocks: list[Tensor]
    """Of every FRMA block, (B, T, n, 2, H, W) each."""
    image: Tensor
    """Of f^Y, (B, T, 2, H, W)."""


def net_d_flows(network: FMANet, clip: Tensor) -> NetDFlows:
    """Compute only the flows of Net^D on a clip (B, 3, T, H, W)."""
    net_d, length = network.degradation_learning_network, network.config.num_seq
    pictures = clip.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    features = net_d.encode(pictures)
    centre = centres(features[0], length)
    flow_mask, blocks = None, []
    for feature, block in zip(features[1:], net_d.FRMA_blocks, strict=True):
        # A flow depends on the previous one and on features of single frames: the warped
        # feature, its attention and K^D, most of the work, are not needed.
        refine = cast(FRMABlock, block).refine_flow
        flow_mask = refine(feature, feature.contiguous(), centre, flow_mask)
        by_clip = flow_mask.float().unflatten(1, (-1, 3)).unflatten(0, (-1, length))
        blocks.append(by_clip[:, :, :, :2])
    assert flow_mask is not None
    return NetDFlows(blocks, net_d.f_conv(flow_mask)[:, :2].float().unflatten(0, (-1, length)))


def flow_loss(found: NetDFlows, batch: Batch) -> dict[str, Tensor]:
    """Compute end-point errors; those of the blocks, from which f^Y is made, count half."""
    truth = batch.flow.transpose(1, 2)  # (B, 2, 2, H, W): frame, then (dx, dy)
    flows = [of_neighbours(flow, dim=1) for flow in found.blocks]
    blocks = torch.stack([end_point_error(flow, truth[:, :, None], dim=3) for flow in flows]).sum()
    image = end_point_error(of_neighbours(found.image, dim=1), truth, dim=2)
    return {"flow_blocks": blocks, "flow_y": image, "total": blocks / 2 + image}


def end_point_error(flow: Tensor, truth: Tensor, dim: int) -> Tensor:
    """Return the mean length of the difference of flows in pixels; (dx, dy) are at `dim`."""
    # The root's slope is infinite at zero.
    return ((flow - truth).square().sum(dim) + 1e-12).sqrt().mean()


def of_neighbours(frames: Tensor, dim: int) -> Tensor:
    """Return all frames of a clip, which are at `dim`, except the centre: those with a flow."""
    # Indexing by a list would copy it from the host, which a CUDA graph cannot contain.
    before, _, after = frames.split([frames.shape[dim] // 2, 1, frames.shape[dim] // 2], dim)
    return torch.cat([before, after], dim)


def _downscale(clip_hr: Tensor, scale: int) -> Tensor:
    """Downscale (B, C, T, sH, sW) to (B, C, T, H, W), bicubic with antialiasing."""
    frames = clip_hr.transpose(1, 2).flatten(0, 1)
    small = F.interpolate(
        frames, scale_factor=1 / scale, mode="bicubic", antialias=True, align_corners=False
    )
    return small.unflatten(0, (clip_hr.shape[0], -1)).transpose(1, 2)
