"""The bundled checkpoints: which there are, and what their files must be."""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from pathlib import Path

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


def known_names() -> list[str]:
    """Every name `--weights` takes: bundled checkpoints and the networks without parameters."""
    return [*(model.name for model in bundled_models()), *METHODS]


def default_weights() -> str:
    """The bundled checkpoint to use where none is named.

    Raises:
        LookupError: registry.toml marks none; the package is broken.
    """
    for model in bundled_models():
        if model.default:
            return model.name
    raise LookupError("registry.toml marks no model as default")
