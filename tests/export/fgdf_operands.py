"""Inputs of `vsrdb::fgdf`, and what it has to make of them."""

import torch
from torch import Tensor

from vsrdb_cli.network.ops import flow_guided_dynamic_filter


def operands(batch: int, length: int, height: int, width: int, ksize: int) -> tuple[Tensor, ...]:
    """Frames, flow-mask and kernels; flows reach beyond the picture."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, length)
    frames = torch.rand(*shape, 3, height, width, generator=generator)
    flow_mask = torch.randn(*shape, 3, height, width, generator=generator) * 2
    kernel = torch.randn(*shape, 16 * ksize**2, height, width, generator=generator) * 0.1
    return frames, flow_mask, kernel


def reference(frames: Tensor, flow_mask: Tensor, kernel: Tensor, ksize: int) -> Tensor:
    clips = (tensor.transpose(1, 2) for tensor in (frames, flow_mask, kernel))
    return flow_guided_dynamic_filter(*clips, 4, ksize)
