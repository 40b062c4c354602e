"""How many operators a computation is, and what it moves in memory, told on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsrdb_cli.network.features import FrameFeatures
from vsrdb_cli.network.layout import join

# These give another view of the same bytes, or memory to write to: nothing is launched.
FREE = {"empty", "empty_like", "new_empty", "_unsafe_view", "alias", "detach", "lift_fresh"}


LAST = torch.channels_last


def _bytes(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass
class Operators(TorchDispatchMode):
    """Counts what runs inside `with`: operators by name, and bytes read and written.

    astray: shape and strides of every input and weight of a convolution that is not channels last.
    """

    launched: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    astray: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        outputs = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.convolution.default:
            outputs = self._convolved(outputs, *args[:2])
        name = function._schema.name.split("::")[1]
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "out"}
        # What is given twice is read once.
        read = {id(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        if name not in FREE and not function.is_view:
            made = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
            self.launched[name] += 1
            self.moved[name] += _bytes([*read.values(), *made])
            if name == "convolution" and args[2] is not None:
                # cuDNN adds no bias: PyTorch does, in an operator of its own.
                self.launched["bias"] += 1
                self.moved["bias"] += _bytes([outputs, outputs, args[2]])
        return outputs

    def _convolved(self, output, source, weight):
        """`output` as cuDNN leaves it, and the meta device does not: as it finds its input."""
        for tensor in (source, weight):
            if not tensor.is_contiguous(memory_format=LAST):
                self.astray.append((tuple(tensor.shape), tensor.stride()))
        last = source.stride(1) == 1 or source.is_contiguous(memory_format=LAST)
        return output.contiguous(memory_format=LAST) if last else output

    @property
    def count(self) -> int:
        return self.launched.total()

    @property
    def gigabytes(self) -> float:
        return self.moved.total() / 1e9


def joined(frames):
    """The features of a window as the recording of a GPU holds them: side by side already."""
    tensors = zip(*(frame.tensors() for frame in frames), strict=True)
    return FrameFeatures.of([join(list(one)) for one in tensors])


def counted(function: Callable[[], object]) -> Operators:
    with torch.no_grad(), Operators() as operators:  # inference mode hides casts in composites
        function()
    return operators
