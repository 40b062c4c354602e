"""A deeper network that starts as a trained shallower one: the same output, more to learn with.

Deeper means more residual dense blocks in the feature extractors (`num_RDB`) and wider dense
layers (`growth_rate`). Source: T. Chen et al., "Net2Net: Accelerating learning via knowledge
transfer" (2016), with identities instead of copies.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet


def grow(network: FMANet, state: Mapping[str, Tensor], config: FMANetConfig) -> None:
    """Make `network` compute what the one of `config` with weights `state` does, in place.

    What is new keeps its random weights where they are read by a zero, so that it learns from the
    first step on. Training heads that `state` lacks stay.

    Raises:
        ValueError: `network` is not that one with more blocks or wider layers.
    """
    wider = network.config.growth_rate >= config.growth_rate
    deeper = network.config.num_RDB >= config.num_RDB
    own = {"growth_rate": config.growth_rate, "num_RDB": config.num_RDB}
    if not (wider and deeper) or replace(network.config, **own) != config:
        raise ValueError(f"a network of {config} does not grow into one of {network.config}")
    small = FMANet(config, training_heads=network.training_heads)
    missing, unexpected = small.load_state_dict(state, strict=False)
    heads = [name for name in missing if ".a_conv." in name or ".f_conv." in name]
    if unexpected or len(heads) < len(missing):
        raise ValueError(f"the weights are not those of {config}")
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    kept = {
        name: tensor
        for name, tensor in small.state_dict().items()
        if name not in heads and shapes[name] == tensor.shape
    }
    modules = dict(small.named_modules())
    with torch.no_grad():
        network.load_state_dict(kept, strict=False)
        for name, module in network.named_modules():
            if isinstance(module, ResidualDenseBlock):
                _grow_block(module, cast(ResidualDenseBlock | None, modules.get(name)))
            elif isinstance(module, ResidualInResidualDenseBlock):
                _grow_fusion(module, cast(ResidualInResidualDenseBlock, modules[name]))


def _grow_block(block: ResidualDenseBlock, small: ResidualDenseBlock | None) -> None:
    """`block` as `small`, or, where it is new, as the identity."""
    block.conv.weight.zero_()
    if small is None:
        cast(Tensor, block.conv.bias).zero_()
        return
    cast(Tensor, block.conv.bias).copy_(cast(Tensor, small.conv.bias))
    # Where the small block's inputs lie among the block's: its own, then `growth` of every layer.
    places = torch.arange(block.channels).tolist()
    pairs = zip(block.layer, small.layer, strict=True)
    for index, (layer, old) in enumerate(pairs):
        conv, before = cast(DenseLayer, layer).conv, cast(DenseLayer, old).conv
        conv.weight[: small.growth] = 0
        conv.weight[: small.growth, places] = before.weight
        if conv.bias is not None and before.bias is not None:
            conv.bias[: small.growth] = before.bias
        first = block.channels + index * block.growth
        places += range(first, first + small.growth)
    block.conv.weight[:, places] = small.conv.weight


def _grow_fusion(block: ResidualInResidualDenseBlock, small: ResidualInResidualDenseBlock) -> None:
    """The new blocks hand on what the last one gives: they share its part of the fusion."""
    fusion, old = cast(FrameConv, block.conv[0]), cast(FrameConv, small.conv[0])
    channels = fusion.out_channels
    *before, last = old.weight.split(channels, dim=1)
    sharing = len(block.RDBs) - len(before)
    fusion.weight.copy_(torch.cat([*before, *[last / sharing] * sharing], dim=1))
