"""FMA-Net transcribed plainly: 3-D convolutions, the whole forward per window, nothing reused.

Slow and obvious; the judge of the real one for configurations without golden numbers, and the
baseline of its speed. Kept apart from `vsrdb_cli` on purpose: it shares no code with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class PlainFMANet:
    """Callable: clip (B, 3, T, H, W) -> (B, 3, 4H, 4W), from a state dict and its config."""

    def __init__(self, state: dict[str, Tensor], config) -> None:
        self.state, self.config = state, config

    def __call__(self, clip: Tensor) -> Tensor:
        c = self.config
        batch, _, length, height, width = clip.shape
        centre = length // 2
        d, r = "degradation_learning_network.", "restoration_network."

        feature = self.extractor(d, clip)
        first, flow, warped = feature[:, :, centre], None, None
        for i in range(c.num_FRMA):
            name = f"{d}FRMA_blocks.{i}."
            feature, flow, warped = self.frma(name, feature, first, flow, warped, None)
        spread = warped.reshape(batch, c.dim // length, length, height, width)
        kernel_d = self.pair(f"{d}d_conv", spread)

        feature = self.extractor(r, torch.cat((clip, feature), dim=1))
        first, warped = feature[:, :, centre], None
        flow = self.pair(f"{r}f_conv1", flow)
        kd = self.conv3d(f"{r}d_conv.0", kernel_d, 1)
        kd = self.conv3d(f"{r}d_conv.2", F.leaky_relu(kd, 0.2), 1)
        for i in range(c.num_FRMA):
            name = f"{r}FRMA_blocks.{i}."
            feature, flow, warped = self.frma(name, feature, first, flow, warped, kd)

        residual = F.leaky_relu(self.conv2d(f"{r}res_conv1", warped), 0.2)
        for step in (1, 2):
            residual = F.leaky_relu(self.conv2d(f"{r}upsample.conv{step}", residual), 0.2)
            residual = F.pixel_shuffle(residual, 2)
        residual = F.leaky_relu(self.conv2d(f"{r}upsample.conv3", residual), 0.2)
        residual = self.conv2d(f"{r}res_conv2", residual)

        spread = warped.reshape(batch, c.dim // length, length, height, width)
        kernel = self.pair(f"{r}r_conv", spread)
        f1 = self.pair(f"{r}f_conv2", flow)
        x1 = self.warp_frames(clip, f1)
        repeated = clip[:, :, centre : centre + 1].expand_as(clip)
        fx = self.pair(f"{r}f_conv3", torch.cat((flow, x1, repeated), dim=1))
        return self.upsample(self.warp_frames(clip, fx), kernel) + residual

    def conv3d(self, name: str, x: Tensor, pad_time: int) -> Tensor:
        weight = self.state[f"{name}.weight"]
        half = weight.shape[-1] // 2
        return F.conv3d(x, weight, self.state.get(f"{name}.bias"), padding=(pad_time, half, half))

    def conv2d(self, name: str, x: Tensor, groups: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        bias = self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    def pair(self, name: str, x: Tensor) -> Tensor:
        return self.conv3d(f"{name}.2", F.leaky_relu(self.conv3d(f"{name}.0", x, 0), 0.2), 0)

    def rdb(self, name: str, x: Tensor) -> Tensor:
        y = x
        for j in range(self.config.num_dense_layer):
            new = F.leaky_relu(self.conv3d(f"{name}layer.{j}.conv", y, 0), 0.2)
            y = torch.cat((y, new), dim=1)
        return self.conv3d(f"{name}conv", y, 0) + x

    def extractor(self, net: str, x: Tensor) -> Tensor:
        name = f"{net}feature_extractor."
        x = F.leaky_relu(self.conv3d(f"{name}0", x, 0), 0.2)
        y, outputs = x, []
        for j in range(self.config.num_RDB):
            y = self.rdb(f"{name}2.RDBs.{j}.", y)
            outputs.append(y)
        y = self.conv3d(f"{name}2.conv.0", torch.cat(outputs, dim=1), 0)
        return x + self.conv3d(f"{name}2.conv.1", y, 0)

    def frma(self, name, feature, first, flow, warped, kd):
        batch, channels, length, height, width = feature.shape
        feature = self.rdb(f"{name}rdb.", feature)
        repeated = first[:, :, None].expand_as(feature)
        if flow is None:
            flow = self.pair(f"{name}conv_f", torch.cat((repeated, feature), dim=1))
        else:
            inputs = torch.cat((repeated, flow, self.warp_groups(feature, flow)), dim=1)
            flow = flow + self.pair(f"{name}conv_f", inputs)
        aligned = self.warp_groups(feature, flow).reshape(batch, channels * length, height, width)
        if warped is not None:
            aligned = torch.cat((warped, aligned), dim=1)
        warped = self.conv2d(f"{name}conv_Fw", aligned)
        if kd is not None:
            own = self.rdb(f"{name}rdb_KD.", kd)
            own = own.reshape(batch, channels * length, height, width)
            kd = self.conv2d(f"{name}conv_KD", own)
        for j in range(self.config.num_transformer_block):
            block = f"{name}multi_attn_block.{j}."
            warped = warped + self.attention(f"{block}co_attn.", self.norm(block, 1, warped), first)
            warped = warped + self.ffn(f"{block}ffn1.", self.norm(block, 2, warped))
            if kd is not None:
                warped = warped + self.attention(
                    f"{block}da_attn.", self.norm(block, 3, warped), kd
                )
                warped = warped + self.ffn(f"{block}ffn2.", self.norm(block, 4, warped))
        return feature, flow, warped

    def norm(self, block: str, number: int, x: Tensor) -> Tensor:
        weight = self.state[f"{block}norm{number}.body.weight"][:, None, None]
        bias = self.state.get(f"{block}norm{number}.body.bias")
        mean = x.mean(dim=1, keepdim=True)
        deviation = (x.var(dim=1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        if bias is None:
            return x / deviation * weight
        return (x - mean) / deviation * weight + bias[:, None, None]

    def attention(self, name: str, x: Tensor, query: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        heads = self.config.num_heads
        q = self.conv2d(f"{name}q_dwconv", self.conv2d(f"{name}q", query), channels)
        kv = self.conv2d(f"{name}kv_dwconv", self.conv2d(f"{name}kv_conv", x), channels * 2)
        k, v = kv.chunk(2, dim=1)
        q, k, v = (part.reshape(batch, heads, channels // heads, -1) for part in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * self.state[f"{name}temperature"]).softmax(dim=-1)
        return self.conv2d(f"{name}project_out", (weights @ v).reshape(x.shape))

    def ffn(self, name: str, x: Tensor) -> Tensor:
        x = self.conv2d(f"{name}project_in", x)
        gate, value = self.conv2d(f"{name}dwconv", x, x.shape[1]).chunk(2, dim=1)
        return self.conv2d(f"{name}project_out", F.gelu(gate) * value)

    def warp(self, source: Tensor, flow_mask: Tensor) -> Tensor:
        """(N, C, H, W) by (N, 3, H, W)."""
        _, _, height, width = source.shape
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x = 2 * (x + flow_mask[:, 0]) / max(width - 1, 1) - 1
        y = 2 * (y + flow_mask[:, 1]) / max(height - 1, 1) - 1
        warped = F.grid_sample(source, torch.stack((x, y), dim=3), align_corners=True)
        return warped * torch.sigmoid(flow_mask[:, 2:3])

    def warp_frames(self, clip: Tensor, flow_mask: Tensor) -> Tensor:
        frames = [self.warp(clip[:, :, t], flow_mask[:, :, t]) for t in range(clip.shape[2])]
        return torch.stack(frames, dim=2)

    def warp_groups(self, feature: Tensor, flow: Tensor) -> Tensor:
        groups = self.config.num_flow
        parts = zip(feature.chunk(groups, dim=1), flow.chunk(groups, dim=1), strict=True)
        return torch.cat([self.warp_frames(part, own) for part, own in parts], dim=1)

    def upsample(self, warped: Tensor, kernel: Tensor) -> Tensor:
        c = self.config
        batch, _, length, height, width = warped.shape
        k, s = c.us_kernel_size, c.scale
        kernel = kernel.reshape(batch, s * s, k * k, length, height, width)
        kernel = kernel - kernel.mean(dim=(2, 3), keepdim=True) + 1 / (length * k * k)
        output = torch.zeros(batch, 3, s * s, height, width)
        for t in range(length):
            padded = F.pad(warped[:, :, t], (k // 2,) * 4, mode="replicate")
            taps = F.unfold(padded, k).reshape(batch, 3, 1, k * k, height, width)
            output += (taps * kernel[:, None, :, :, t]).sum(dim=3)
        return F.pixel_shuffle(output.reshape(batch, 3 * s * s, height, width), s)
