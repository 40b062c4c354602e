"""Recognise the FMA-Net that parameters belong to, by their names and shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from vsrdb_cli.errors import CheckpointError
from vsrdb_cli.network.config import FMANetConfig

Shapes = Mapping[str, tuple[int, ...]]

NET_D = "degradation_learning_network."
NET_R = "restoration_network."

# Heads that only training reads: the image flow-mask f^Y and both sharp-frame anchors.
TRAINING_HEADS = (f"{NET_D}f_conv.", f"{NET_D}a_conv.", f"{NET_R}a_conv.")

_RELEASED_FFN_FACTOR = 2.66
_NAMED_AT_MOST = 3
# Kinds of parts of which there are several.
_COUNTED = ("RDBs", "layer", "FRMA_blocks", "multi_attn_block")
# The paper's network has 579.
MOST_PARAMETERS = 8192


def infer_config(shapes: Shapes) -> FMANetConfig:
    """Infer the hyper-parameters of a network from the shapes of its parameters.

    The feed-forward factor is the released 2.66 where that gives the hidden size found, otherwise
    the shortest decimal that does.

    Args:
        shapes: by name, in the released checkpoints' naming, with the networks' prefixes.

    Raises:
        CheckpointError: a parameter that is needed is missing, or the sizes fit no FMA-Net. The
            others are checked by `mismatches`.
    """
    encoder = f"{NET_D}feature_extractor"
    block = f"{NET_D}FRMA_blocks.0"
    attention = f"{block}.multi_attn_block"
    dim = _size(shapes, f"{encoder}.0.weight", 0)
    hidden = _size(shapes, f"{attention}.0.ffn1.project_out.weight", 1)
    channels, scale = _size(shapes, f"{encoder}.0.weight", 1), FMANetConfig.scale
    if channels != 3:
        raise CheckpointError(f"it reads pictures with {channels} channels, expected 3")
    counts = {kind: _count(shapes, kind) for kind in _COUNTED}
    # To compare them, a network of so many parts is made: it must not be larger than the file.
    parts = counts["RDBs"] * counts["layer"] + counts["FRMA_blocks"] * counts["multi_attn_block"]
    if max(parts, len(shapes)) > MOST_PARAMETERS or parts > len(shapes):
        raise CheckpointError(
            f"its {len(shapes)} parameters name {parts} parts of a network, more than any has"
        )
    try:
        return FMANetConfig(
            num_seq=dim // _size(shapes, f"{NET_D}d_conv.0.weight", 1),
            in_channels=channels,
            dim=dim,
            ds_kernel_size=math.isqrt(_size(shapes, f"{NET_D}d_conv.2.weight", 0)),
            us_kernel_size=math.isqrt(_size(shapes, f"{NET_R}r_conv.2.weight", 0)) // scale,
            num_RDB=counts["RDBs"],
            growth_rate=_size(shapes, f"{encoder}.2.RDBs.0.layer.0.conv.weight", 0),
            num_dense_layer=counts["layer"],
            num_flow=_size(shapes, f"{block}.conv_f.2.weight", 0) // 3,
            num_FRMA=counts["FRMA_blocks"],
            num_transformer_block=counts["multi_attn_block"],
            num_heads=_size(shapes, f"{attention}.0.co_attn.temperature", 0),
            LayerNorm_type="WithBias" if f"{attention}.0.norm1.body.bias" in shapes else "BiasFree",
            ffn_expansion_factor=_ffn_factor(dim, hidden),
            bias=f"{encoder}.0.bias" in shapes,
        )
    except ValueError as error:
        raise CheckpointError(f"its shapes do not fit FMA-Net: {error}") from error


def mismatches(shapes: Shapes, config: FMANetConfig) -> list[str]:
    """List how `shapes` differ from the parameters inference needs, one phrase each.

    Parameters of the training-only heads are neither asked for nor objected to.
    """
    expected = expected_shapes(config)
    missing = [f"{name} is missing" for name in expected if name not in shapes]
    different = [
        f"{name} is {shapes[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    unexpected = [
        f"{name} is unexpected" for name in shapes if name not in expected and not is_head(name)
    ]
    return missing + different + unexpected


@lru_cache(maxsize=8)
def expected_shapes(config: FMANetConfig) -> Shapes:
    """Compute the shapes of all parameters of the network for inference.

    Raises:
        CheckpointError: no memory could hold them.
    """
    import torch

    from vsrdb_cli.network.fmanet import FMANet

    try:
        with torch.device("meta"):  # shapes without memory
            network = FMANet(config)
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError("its sizes are beyond any network's") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return MappingProxyType(shapes)


def is_head(name: str) -> bool:
    """Return whether a parameter is part of a head that only training reads."""
    return name.startswith(TRAINING_HEADS)


def in_short(phrases: list[str]) -> str:
    """Join the first few phrases, and count the others."""
    more = len(phrases) - _NAMED_AT_MOST
    return "; ".join(phrases[:_NAMED_AT_MOST]) + (f"; and {more} more" if more > 0 else "")


def _size(shapes: Shapes, name: str, axis: int) -> int:
    if name not in shapes:
        raise CheckpointError(f"{name} is missing; every FMA-Net has it")
    shape = shapes[name]
    if len(shape) <= axis or shape[axis] < 1:
        raise CheckpointError(f"{name} is {shape}, which no FMA-Net has")
    return shape[axis]


def _count(shapes: Shapes, kind: str) -> int:
    """Count the modules of a numbered kind, where there are most."""
    numbers = (re.search(rf"\.{kind}\.(\d+)\.", name) for name in shapes)
    return len({number[1] for number in numbers if number})


def _ffn_factor(dim: int, hidden: int) -> float:
    if int(dim * _RELEASED_FFN_FACTOR) == hidden:
        return _RELEASED_FFN_FACTOR
    for digits in range(16):
        factor = math.ceil(hidden / dim * 10.0**digits) / 10.0**digits
        if int(dim * factor) == hidden:
            return factor
    raise CheckpointError(
        f"a feed-forward hidden size of {hidden} does not match any factor of dim {dim}"
    )
