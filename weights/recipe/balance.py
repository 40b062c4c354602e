"""Scale Net^R's degradation features to fit float16.

They are only ever asked what they are like: the queries made from them are normalised over the
picture, so nothing holds their size, and it grows while training goes on (240,000 in the third
run's last layer, where float16 ends at 65,504). All between is linear or a LeakyReLU: powers of two
taken out of weights and biases leave every output bit as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vsrdb_cli.network.blocks import FRMABlock
from vsrdb_cli.network.fmanet import FMANet

LARGEST = 64.0  # on the pictures it is measured on; others may show a thousand times as much


@torch.no_grad()
def balance(network: FMANet, pictures: Sequence[Tensor]) -> None:
    """Scale the degradation features of `network` down, in place, without changing its outputs.

    Args:
        network: float32.
        pictures: the T frames (B, 3, H, W), 0 to 1, on which their size is measured.
    """
    net_r = network.restoration_network
    blocks = [cast(FRMABlock, block) for block in net_r.FRMA_blocks]
    features, summaries, queries = _sizes(network, blocks, pictures)
    shared = _power_of_two(features)
    last = cast(nn.Conv3d, net_r.d_conv[2])
    _scale(shared, last.weight, last.bias)
    for block, summary, query in zip(blocks, summaries, queries, strict=True):
        _scale(shared, *(p for name, p in block.rdb_KD.named_parameters() if name[-4:] == "bias"))
        own = _power_of_two(summary * shared)
        _scale(own, block.conv_KD.weight)
        _scale(shared * own, block.conv_KD.bias)
        asked = _power_of_two(query * shared * own)
        for attention in (cast(Any, b).da_attn for b in block.multi_attn_block):
            _scale(asked, attention.q.weight)
            _scale(shared * own * asked, attention.q.bias, attention.q_dwconv.bias)


def _sizes(
    network: FMANet, blocks: list[FRMABlock], pictures: Sequence[Tensor]
) -> tuple[float, list[float], list[float]]:
    """Return the largest magnitudes of the inputs and outputs of the blocks' RDBs, and by block of
    the queries' inputs and of the queries."""
    features, summaries, queries, hooks = [0.0], [0.0] * len(blocks), [0.0] * len(blocks), []

    def largest(*tensors: Tensor) -> float:
        return max(float(tensor.abs().max()) for tensor in tensors)

    for number, block in enumerate(blocks):

        def of_rdb(_: nn.Module, read: tuple[Tensor], written: Tensor) -> None:
            features.append(largest(*read, written))

        def of_query(_: nn.Module, read: tuple[Tensor], written: Tensor, n: int = number) -> None:
            summaries[n] = max(summaries[n], largest(*read))
            queries[n] = max(queries[n], largest(written))

        hooks.append(block.rdb_KD.register_forward_hook(of_rdb))
        for attention in (cast(Any, b).da_attn for b in block.multi_attn_block):
            hooks.append(attention.q.register_forward_hook(of_query))
    network.restore([network.encode(picture) for picture in pictures])
    for hook in hooks:
        hook.remove()
    return max(features), summaries, queries


def _power_of_two(size: float) -> float:
    """Return the power of two that brings `size` down to LARGEST, or 1."""
    return 2.0 ** -max(math.ceil(math.log2(max(size, 1e-6) / LARGEST)), 0)


def _scale(factor: float, *parameters: Tensor | None) -> None:
    for parameter in parameters:
        if parameter is not None:
            parameter.mul_(factor)
