"""What is made of weights alone, made once for a network that no longer changes.

Before `prepare` it is computed at each call, as training and exporting need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from vsrdb_cli.network.layout import laid_out

Made = TypeVar("Made")
_KEPT = "_made_of_weights"


def prepare(network: nn.Module) -> None:
    """Keep what `prepared` makes from now on; weights, device and dtype must not change."""
    for parameter in network.parameters():
        if parameter.dim() >= 4:
            parameter.data = laid_out(parameter.data)
    for module in network.modules():
        module.__dict__[_KEPT] = {}


def forget(network: nn.Module) -> None:
    """Undo `prepare`, before anything of the network changes."""
    for module in network.modules():
        module.__dict__.pop(_KEPT, None)


def is_prepared(module: nn.Module) -> bool:
    return _KEPT in module.__dict__


def prepared(module: nn.Module, name: str, make: Callable[[], Made]) -> Made:
    """Return what `make` computes of the weights of `module`, computed once if it is prepared."""
    kept = module.__dict__.get(_KEPT)
    if kept is None:
        return make()
    if name not in kept:
        kept[name] = make()
    made: Made = kept[name]
    return made
