"""Checkpoints: a name or a path becomes proven weights and the configuration they are for.

A checkpoint is a safetensors file with float16 or float32 parameters in the released checkpoints'
naming, for RGB pictures, and this metadata (all of it text): `format` "vsrdb", `architecture`
"fmanet", `config` (JSON, FMANetConfig's names), `scale`, `channel_order` "rgb", `licence`,
`origin`, and `recipe`, the revision of the recipe that trained it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.checkpoints.architecture import (
    MOST_PARAMETERS,
    in_short,
    infer_config,
    is_head,
    mismatches,
)
from vsrdb_cli.checkpoints.registry import (
    METHODS,
    SUFFIX,
    BundledModel,
    bundled_models,
    imported_models,
    known_names,
)
from vsrdb_cli.checkpoints.tensor_file import check_target, write_tensors
from vsrdb_cli.documents import parse_json
from vsrdb_cli.errors import CheckpointError
from vsrdb_cli.files import sha256_of
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.pipes import special_kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vsrdb_cli.network.fmanet import FMANet

# The paper's network in float32 has 40 MB, and a header of 200 kB.
SIZE_LIMIT, _LONGEST_HEADER = 1 << 30, 2 << 20
ARCHITECTURE = "fmanet"
CHANNEL_ORDER = "rgb"
IMPORT_HINT = (
    "make a checkpoint of a released pair with:"
    " vsrdb weights import model_D_best.pt model_R_best.pt"
)
_OTHER_HINT = "the file is damaged or for another network; use a bundled one: vsrdb weights list"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights, checked and ready to build a network from.

    `channel_order`, `licence`, `origin` and `recipe` are as recorded in the file, "" if they are
    not.
    """

    name: str
    """Name of the bundled checkpoint, or of the file without its suffix."""
    path: Path
    sha256: str
    """SHA-256 of the file, in full."""
    config: FMANetConfig
    state: Mapping[str, Tensor]
    """float32 parameters by their released names, without training-only heads."""
    channel_order: str
    licence: str
    origin: str
    recipe: str

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(tensor.numel() for tensor in self.state.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions made because the file does not say, one line each."""
        if self.channel_order:
            return ()
        return (f"{self.path} does not state its channel order; RGB is assumed",)


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Read a bundled checkpoint (checked by its SHA-256), an imported one, or a file.

    Raises:
        CheckpointError: the name is unknown, or the file is missing, damaged, another model's or
            no FMA-Net.
    """
    for model in bundled_models():
        if str(name_or_path) == model.name:
            return _load_bundled(model)
    if imported := imported_models().get(str(name_or_path)):
        return load_file(imported)
    path = Path(name_or_path)
    bare = path.name == str(name_or_path) and path.suffix != SUFFIX
    if bare and not os.path.exists(name_or_path):  # noqa: PTH110 - Path raises for long names
        raise _unknown(path.name)
    return load_file(path)


def load_file(path: Path) -> Checkpoint:
    """Read a safetensors file; its configuration comes from its metadata or its shapes.

    Raises:
        CheckpointError: it is missing, damaged, or no FMA-Net for RGB pictures.
    """
    from safetensors import SafetensorError, safe_open

    sha256 = _sha256(path)
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            if len(names) > MOST_PARAMETERS:  # safetensors takes a millisecond for each
                raise CheckpointError(
                    f"{path} holds {len(names)} tensors, expected at most {MOST_PARAMETERS}",
                    hint=_OTHER_HINT,
                )
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            config = _read_config(path, metadata, shapes)
            state = {name: file.get_tensor(name) for name in shapes if not is_head(name)}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file: {error}",
            hint=IMPORT_HINT
            if path.suffix in {".pt", ".pth", ".zip"}
            else "the file is damaged or not a safetensors file; download or copy it again",
        ) from error
    return Checkpoint(
        name=path.stem,
        path=path,
        sha256=sha256,
        config=config,
        state=numbers(state, path),
        channel_order=metadata.get("channel_order", ""),
        licence=metadata.get("licence", ""),
        origin=metadata.get("origin", ""),
        recipe=metadata.get("recipe", ""),
    )


def build_network(checkpoint: Checkpoint) -> FMANet:
    """Build the network for inference: on the CPU, float32, eval mode, no gradients.

    The tensors are copied: changes to the network do not change the checkpoint.
    """
    from vsrdb_cli.network.fmanet import FMANet

    network = FMANet(checkpoint.config)
    network.load_state_dict(checkpoint.state, strict=True)
    return network.eval().requires_grad_(False)


def save_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    config: FMANetConfig,
    *,
    licence: str,
    origin: str,
    recipe: str = "",
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint; it appears under its name only when it is complete.

    Equal arguments give equal bytes, hence the same SHA-256.

    Args:
        state: parameters by their released names, for RGB; training-only heads are left out.
        licence, origin, recipe: recorded in the file; the terms of use, where the weights come
            from, and the revision of the recipe that trained them.
        dtype: torch.float16 to halve the file; None stores float32.

    Raises:
        CheckpointError: the parameters are not those of `config`, or not finite in `dtype`.
        OutputError: the file cannot be written as asked.
    """
    import torch

    check_target(path, overwrite=overwrite)
    differences = mismatches({name: tuple(t.shape) for name, t in state.items()}, config)
    if differences:
        raise CheckpointError(f"not the parameters of this network: {in_short(differences)}")
    stored = {
        name: tensor.detach().cpu().to(dtype or torch.float32).contiguous()
        for name, tensor in state.items()
        if not is_head(name)
    }
    numbers(stored, path)
    metadata = {
        "format": "vsrdb",
        "architecture": ARCHITECTURE,
        "config": json.dumps(config.to_dict(), sort_keys=True),
        "scale": str(config.scale),
        "channel_order": CHANNEL_ORDER,
        "licence": licence,
        "origin": origin,
        "recipe": recipe,
    }
    write_tensors(path, stored, metadata)


def numbers(state: Mapping[str, Tensor], path: Path | str) -> dict[str, Tensor]:
    """Convert the parameters to float32.

    Raises:
        CheckpointError: a parameter holds anything but finite floating-point numbers.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{path}: {name} is {tensor.dtype}, expected floating point", hint=_OTHER_HINT
            )
    floats = {name: tensor.float() for name, tensor in state.items()}
    broken = [name for name, tensor in floats.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: values that are infinite or NaN in {in_short(broken)}",
            hint="its training diverged; use another checkpoint",
        )
    return floats


def _load_bundled(model: BundledModel) -> Checkpoint:
    found = _sha256(model.path)
    if found != model.sha256:
        raise CheckpointError(
            f"{model.path} is not '{model.name}': its SHA-256 starts with {found[:12]},"
            f" expected {model.sha256[:12]}",
            hint="the file is damaged or replaced; reinstall vsrdb",
        )
    return replace(load_file(model.path), name=model.name)


def _check_header(path: Path) -> None:
    """Check that the header is short: safetensors takes a multiple of it in memory and time.

    Raises:
        CheckpointError: it is too long.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # Other files have any eight bytes here; a later message is better for them.
        if _LONGEST_HEADER < length < path.stat().st_size:
            raise CheckpointError(
                f"{path} has a header of {length} bytes, expected at most {_LONGEST_HEADER}",
                hint=_OTHER_HINT,
            )


def _sha256(path: Path) -> str:
    kind = special_kind(path)
    if kind is not None:  # without an end, perhaps
        raise CheckpointError(f"{path} is {kind}, not a file", hint="copy it to a file first")
    try:
        status = path.stat()
        if status.st_size > SIZE_LIMIT:
            raise CheckpointError(
                f"{path} has {status.st_size >> 20} MiB, expected at most {SIZE_LIMIT >> 20} MiB",
                hint=_OTHER_HINT,
            )
        return sha256_of(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist", hint="list the bundled weights with: vsrdb weights list"
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}", hint=_OTHER_HINT
        ) from error


def _read_config(
    path: Path, metadata: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> FMANetConfig:
    """Infer the configuration from the shapes, and check the metadata against it."""
    wanted = {"architecture": ARCHITECTURE, "channel_order": CHANNEL_ORDER}
    for key, value in wanted.items():
        if metadata.get(key, value) != value:
            raise CheckpointError(
                f"{path} is for {key.replace('_', ' ')} '{metadata[key]}', expected '{value}'",
                hint=IMPORT_HINT,
            )
    try:
        config = infer_config(shapes)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} does not hold a complete FMA-Net: {error}", hint=_OTHER_HINT
        ) from None
    recorded = metadata.get("config")
    if recorded is not None:
        config = _agreed(path, recorded, config)
    if metadata.get("scale", str(config.scale)) != str(config.scale):
        raise CheckpointError(
            f"{path} is for scale {metadata['scale']}, but its shapes are for {config.scale}",
            hint="use another checkpoint; vsrdb did not write this one",
        )
    differences = mismatches(shapes, config)
    if differences:
        raise CheckpointError(
            f"{path} does not hold a complete FMA-Net: {in_short(differences)}", hint=_OTHER_HINT
        )
    return config


def _agreed(path: Path, recorded: str, inferred: FMANetConfig) -> FMANetConfig:
    """Return the recorded configuration, after checking it against the inferred one."""
    try:
        config = FMANetConfig.from_dict(parse_json(recorded))
        if config.ffn_hidden == inferred.ffn_hidden:
            # Several factors give one hidden size; the recorded one is as good as the inferred.
            inferred = replace(inferred, ffn_expansion_factor=config.ffn_expansion_factor)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{path} has no FMA-Net configuration: {error}",
            hint="use another checkpoint; vsrdb did not write this one",
        ) from error
    differences = [
        f"{name} {getattr(config, name)}, its shapes {getattr(inferred, name)}"
        for name in (field.name for field in fields(FMANetConfig))
        if getattr(config, name) != getattr(inferred, name)
    ]
    if differences:
        raise CheckpointError(
            f"{path} contradicts itself: its metadata says {in_short(differences)}",
            hint="use another checkpoint; vsrdb did not write this one",
        )
    return config


def _unknown(name: str) -> CheckpointError:
    if name in METHODS:
        return CheckpointError(
            f"'{name}' has no parameters, so it has no checkpoint",
            hint="choose a trained network: vsrdb weights list",
        )
    return CheckpointError(
        f"there are no weights named '{name}'; choose from {', '.join(known_names())}",
        hint=f"use one of these, or a {SUFFIX} file, or {IMPORT_HINT}",
    )
