"""Checkpoints that have a name: the bundled ones, and those imported on this machine."""

from __future__ import annotations

import importlib.resources
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

SUFFIX = ".safetensors"

# Networks without parameters, which `--weights` takes like a checkpoint, and what each is for.
METHODS = {
    "nearest": "repeats every pixel; for testing everything but the network",
    "bicubic": "ordinary enlargement, for comparison",
}


@dataclass(frozen=True)
class BundledModel:
    """One `[[model]]` of registry.toml: a checkpoint that is installed with the package."""

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
    """Where the installed checkpoints and registry.toml lie."""
    return Path(str(importlib.resources.files("vsrdb_cli.weights")))


def bundled_models() -> list[BundledModel]:
    """The checkpoints registry.toml names, in its order."""
    registry = tomllib.loads((bundled_folder() / "registry.toml").read_text(encoding="utf-8"))
    return [BundledModel(**entry) for entry in registry.get("model", [])]


def imported_folder() -> Path:
    """$VSRDB_WEIGHTS, or `vsrdb/weights` in the user's data: where imported checkpoints lie."""
    if named := os.environ.get("VSRDB_WEIGHTS"):
        return Path(named)
    return user_data_path("vsrdb", appauthor=False) / "weights"


def imported_models() -> dict[str, Path]:
    """The imported checkpoints by their names, in order; a bundled one's name stays its own."""
    taken = taken_names()
    files = sorted(imported_folder().glob(f"*{SUFFIX}"))
    return {file.stem: file for file in files if file.stem not in taken}


def taken_names() -> list[str]:
    """Names of the package: bundled checkpoints and the networks without parameters."""
    return [*(model.name for model in bundled_models()), *METHODS]


def known_names() -> list[str]:
    """Every name `--weights` takes."""
    return [*taken_names(), *imported_models()]


def default_weights() -> str:
    """The bundled checkpoint to use where none is named.

    Raises:
        LookupError: registry.toml marks none; the package is broken.
    """
    for model in bundled_models():
        if model.default:
            return model.name
    raise LookupError("registry.toml marks no model as default")
