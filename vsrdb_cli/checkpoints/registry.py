"""Checkpoints that have names: bundled ones, with the SHA-256 of their files, and imported ones."""

from __future__ import annotations

import importlib.resources
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.user_folders import data_folder

SUFFIX = ".safetensors"

# Networks without parameters, which `--weights` takes like a checkpoint, and what each is for.
METHODS = {
    "nearest": "repeats every pixel; for testing everything but the network",
    "bicubic": "bicubic enlargement, for comparison",
}


@dataclass(frozen=True)
class BundledModel:
    """A checkpoint installed with the package: one `[[model]]` of registry.toml."""

    name: str
    file: str
    sha256: str
    licence: str
    summary: str
    default: bool = False

    @property
    def path(self) -> Path:
        return bundled_folder() / self.file


def bundled_folder() -> Path:
    """Return the folder of the installed checkpoints and registry.toml."""
    return Path(str(importlib.resources.files("vsrdb_cli.weights")))


def bundled_models() -> list[BundledModel]:
    """List the checkpoints in registry.toml, in its order."""
    registry = tomllib.loads((bundled_folder() / "registry.toml").read_text(encoding="utf-8"))
    return [BundledModel(**entry) for entry in registry.get("model", [])]


def imported_folder() -> Path | None:
    """Return the folder that `weights import` writes to: $VSRDB_WEIGHTS, or in the user's data.

    None for a user without a home.
    """
    if named := os.environ.get("VSRDB_WEIGHTS"):
        return Path(named)
    data = data_folder()
    return data and data / "weights"


def imported_models() -> dict[str, Path]:
    """Find the imported checkpoints: file by name; a bundled name stays the bundled one's."""
    taken = {*(model.name for model in bundled_models()), *METHODS}
    folder = imported_folder()
    files = sorted(folder.glob(f"*{SUFFIX}")) if folder else []
    return {file.stem: file for file in files if file.stem not in taken}


# Of a file system's 255 bytes the ending and a temporary name's share are left.
_LONGEST_NAME = 200


def place_for_import(name: str) -> Path:
    """Return the file for a checkpoint to be imported, and create its folder.

    Raises:
        OptionError: the name cannot be used.
        OutputError: the folder cannot be created.
    """
    if name in {*(model.name for model in bundled_models()), *METHODS}:
        raise OptionError(f"'{name}' is taken by a bundled network", hint="choose another --name")
    fit = 0 < len(name.encode()) <= _LONGEST_NAME and name == Path(name).name
    if not fit or name.startswith((".", "-")):
        raise OptionError(
            f"'{name}' cannot be the name of weights",
            hint=f"use up to {_LONGEST_NAME} letters and digits",
        )
    folder = imported_folder()
    if folder is None:
        raise OutputError(
            "checkpoints have no folder, because the user has no home folder",
            hint="set VSRDB_WEIGHTS to a folder, or choose a file with -o",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be created: {error.strerror}",
            hint="set VSRDB_WEIGHTS to another folder, or choose a file with -o",
        ) from error
    return folder / f"{name}{SUFFIX}"


def known_names() -> list[str]:
    """List the names `--weights` takes: checkpoints and the networks without parameters."""
    return [*(model.name for model in bundled_models()), *imported_models(), *METHODS]


def default_weights() -> str:
    """Return the name of the bundled checkpoint to use by default.

    Raises:
        LookupError: registry.toml marks none; the package is broken.
    """
    for model in bundled_models():
        if model.default:
            return model.name
    raise LookupError("registry.toml marks no model as default")
