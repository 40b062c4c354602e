"""Grow a trained network: a deeper one that starts with the same output.

Deeper means more residual dense blocks in the feature extractors (`num_RDB`) and wider dense
layers (`growth_rate`). Source: T. Chen et al., "Net2Net: Accelerating learning via knowledge
transfer" (2016), with identities instead of copies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from vsrdb_cli.network.blocks import (
    DenseLayer,
    FrameConv,
    ResidualDenseBlock,
    ResidualInResidualDenseBlock,
)
from vsrdb_cli.network.fmanet import FMANet


def grow(network: FMANet, small: FMANet) -> None:
    """Make `network` compute what `small` does, in place.

    What is new keeps its random weights where a zero reads them: the zeros learn at the first step,
    the weights from the second on. Training heads that `small` lacks stay.

    Raises:
        ValueError: `network` is not `small` with more blocks or wider layers.
    """
    config, own = network.config, small.config
    larger = config.growth_rate >= own.growth_rate and config.num_RDB >= own.num_RDB
    if not larger or config != replace(own, growth_rate=config.growth_rate, num_RDB=config.num_RDB):
        raise ValueError(f"a network of {own} does not grow into one of {config}")
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    kept = {n: tensor for n, tensor in small.state_dict().items() if tensor.shape == shapes[n]}
    modules = dict(small.named_modules())
    with torch.no_grad():
        network.load_state_dict(kept, strict=False)
        for name, module in network.named_modules():
            if isinstance(module, ResidualDenseBlock):
                _grow_block(module, cast(ResidualDenseBlock | None, modules.get(name)))
            elif isinstance(module, ResidualInResidualDenseBlock):
                _grow_fusion(module, cast(ResidualInResidualDenseBlock, modules[name]))


def _grow_block(block: ResidualDenseBlock, small: ResidualDenseBlock | None) -> None:
    """Make `block` compute what `small` does or, if it is new, the identity."""
    block.conv.weight.zero_()
    if small is None:
        cast(Tensor, block.conv.bias).zero_()
        return
    # Where the small block's inputs lie among the block's: its own, then `growth` of every layer.
    (channels, growth), (_, growth_before) = _widths(block), _widths(small)
    places = list(range(channels))
    pairs = zip(block.layer, small.layer, strict=True)
    for index, (layer, old) in enumerate(pairs):
        conv, before = cast(DenseLayer, layer).conv, cast(DenseLayer, old).conv
        conv.weight[:growth_before] = 0
        conv.weight[:growth_before, places] = before.weight
        if conv.bias is not None and before.bias is not None:
            conv.bias[:growth_before] = before.bias
        first = channels + index * growth
        places += range(first, first + growth_before)
    block.conv.weight[:, places] = small.conv.weight


def _widths(block: ResidualDenseBlock) -> tuple[int, int]:
    """Return the channels that a block takes, and those that each of its layers adds."""
    conv = cast(DenseLayer, block.layer[0]).conv
    return conv.in_channels, conv.out_channels


def _grow_fusion(block: ResidualInResidualDenseBlock, small: ResidualInResidualDenseBlock) -> None:
    """Share the last block's part of the fusion among the new ones, which repeat its output."""
    fusion, old = cast(FrameConv, block.conv[0]), cast(FrameConv, small.conv[0])
    channels = fusion.out_channels
    *before, last = old.weight.split(channels, dim=1)
    sharing = len(block.RDBs) - len(before)
    fusion.weight.copy_(torch.cat([*before, *[last / sharing] * sharing], dim=1))
