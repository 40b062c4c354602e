"""Import of the checkpoints FMA-Net's authors released: a pair of pickles for BGR pictures.

`model_D_best.pt` is a dict with `model_D_state_dict`, `model_R_best.pt` one with
`model_R_state_dict`; both also hold optimiser state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.checkpoints.architecture import (
    MOST_PARAMETERS,
    NET_D,
    NET_R,
    in_short,
    infer_config,
    mismatches,
)
from vsrdb_cli.checkpoints.checkpoint import Checkpoint, load_file, numbers, save_checkpoint
from vsrdb_cli.checkpoints.pickles import AGAIN, SIZE_LIMIT, WANTED, Pickle, find_pair
from vsrdb_cli.checkpoints.tensor_file import check_target
from vsrdb_cli.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = "research and education only (README of FMA-Net's authors; their LICENSE file says MIT)"
NOTICE = (
    "The released FMA-Net weights are for research and education only: so says its authors' README,"
    " though their LICENSE file says MIT. vsrdb neither ships nor fetches them; you answer for"
    " their use."
)

_PREFIXES = {"model_D_state_dict": NET_D, "model_R_state_dict": NET_R}


@dataclass(frozen=True)
class _Half:
    """One network of the pair: parameters, still BGR, with the network's prefix in their names."""

    pickle: Pickle
    key: str
    state: dict[str, Tensor]


def import_released(
    sources: Sequence[Path], target: Path, *, overwrite: bool = False
) -> Checkpoint:
    """Convert a released pair to a checkpoint for RGB pictures.

    Args:
        sources: the two files in any order, or one folder or zip archive that holds them.
        target: the safetensors file to write; it appears only when it is complete.

    Returns:
        The checkpoint, as read back from `target`.

    Raises:
        CheckpointError: the sources are not a whole released pair.
        OutputError: `target` cannot be written as asked.
    """
    check_target(target, overwrite=overwrite)
    if any(target.exists() and source.exists() and target.samefile(source) for source in sources):
        raise OutputError(f"{target} is an input", hint="choose another output")
    halves = [_read_half(pickle) for pickle in find_pair(sources)]
    first, second = halves
    if first.key == second.key:
        raise CheckpointError(
            f"{first.pickle.name} and {second.pickle.name} both hold a {first.key}; {WANTED}",
            hint="give one file of each network",
        )
    state = {**first.state, **second.state}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    pair = f"{first.pickle.name} and {second.pickle.name}"
    try:
        config = infer_config(shapes)
    except CheckpointError as error:
        raise CheckpointError(f"{pair} hold no whole FMA-Net: {error}", hint=AGAIN) from None
    differences = mismatches(shapes, config)
    if differences:
        raise CheckpointError(
            f"{pair} are not two halves of the same FMA-Net: {in_short(differences)}",
            hint="give two files from the same training run",
        )
    save_checkpoint(
        target,
        bgr_to_rgb(state, config.num_flow),
        config,
        licence=LICENCE,
        origin="imported from "
        + " and ".join(f"{h.pickle.short_name} (SHA-256 {h.pickle.sha256()})" for h in halves),
        overwrite=overwrite,
    )
    return load_file(target)


def bgr_to_rgb(state: Mapping[str, Tensor], num_flow: int) -> dict[str, Tensor]:
    """Convert parameters for BGR pictures to RGB pictures; its own inverse.

    Every place where picture channels enter or leave is reversed; not in training-only heads,
    which are left out of checkpoints.
    """
    flows = 3 * num_flow
    inputs = {
        f"{NET_D}feature_extractor.0.weight": [0],
        f"{NET_R}feature_extractor.0.weight": [0],
        f"{NET_R}f_conv3.0.weight": [flows, flows + 3],  # X1, then the centre frame
    }
    flipped = dict(state)
    for name, starts in inputs.items():
        weight = state[name].clone()
        for start in starts:
            weight[:, start : start + 3] = state[name][:, start : start + 3].flip(1)
        flipped[name] = weight
    for name in (f"{NET_R}res_conv2.weight", f"{NET_R}res_conv2.bias"):
        if name in state:
            flipped[name] = state[name].flip(0)
    return flipped


def _read_half(pickle: Pickle) -> _Half:
    content = pickle.load()
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{pickle.name} holds a {type(content).__name__}, expected a dict with"
            f" {' or '.join(_PREFIXES)}",
            hint=AGAIN,
        )
    keys = [key for key in _PREFIXES if key in content]
    if len(keys) != 1:
        raise CheckpointError(
            f"{pickle.name} holds {in_short([str(key) for key in content]) or 'nothing'};"
            f" expected one of {' and '.join(_PREFIXES)}",
            hint=AGAIN,
        )
    (key,) = keys
    return _Half(pickle, key, _parameters(pickle, content[key], _PREFIXES[key]))


def _parameters(pickle: Pickle, state: Any, prefix: str) -> dict[str, Tensor]:
    """Check the parameters one by one, and return them."""
    import torch

    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(
            f"{pickle.name}: its state dict does not map names to tensors", hint=AGAIN
        )
    for name, tensor in state.items():
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
            raise CheckpointError(f"{pickle.name}: {name} is not a plain tensor", hint=AGAIN)
        # A tensor may claim any size by repeating a few bytes, or none that is there at all.
        if tensor.is_meta or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{pickle.name}: {name} claims {tensor.nbytes} bytes and has fewer", hint=AGAIN
            )
    size = sum(tensor.nbytes for tensor in state.values())  # they may all be the same bytes
    if len(state) > MOST_PARAMETERS or size > SIZE_LIMIT:
        raise CheckpointError(
            f"{pickle.name} holds {len(state)} tensors of {size >> 20} MiB in all, expected at most"
            f" {MOST_PARAMETERS} of {SIZE_LIMIT >> 20} MiB",
            hint=AGAIN,
        )
    # DataParallel puts this before every name.
    wrapped = "module." if state and all(name.startswith("module.") for name in state) else ""
    named = {prefix + name.removeprefix(wrapped): tensor.detach() for name, tensor in state.items()}
    return numbers(named, pickle.name)
