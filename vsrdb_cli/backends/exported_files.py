"""Where exported files lie and what they are called.

One checkpoint in one precision is a stem, `fmanet-xs-3d8cd56ca6a5-float32`; its files are
`STEM-encoder.onnx`, `STEM-restorer.onnx` and, beside them, engines and their sidecars.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.checkpoints.registry import bundled_models
from vsrdb_cli.errors import BackendError
from vsrdb_cli.own_folders import cache_folder

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

GRAPHS = ("encoder", "restorer")


def default_folder() -> Path:
    """$VSRDB_EXPORTS, or `vsrdb/exports` in the user's cache: where `restore` looks.

    Raises:
        BackendError: the user has no home.
    """
    if named := os.environ.get("VSRDB_EXPORTS"):
        return Path(named)
    cache = cache_folder()
    if cache is None:
        raise BackendError(
            "there is no home folder to keep exported networks in",
            hint="set VSRDB_EXPORTS to a folder",
        )
    return cache / "exports"


@dataclass(frozen=True)
class ExportFiles:
    """The files of one checkpoint in one precision.

    origin: what the checkpoint was loaded by, a name or a path; "" is its name.
    """

    folder: Path
    weights: str
    sha256: str
    precision: str
    origin: str = ""

    @classmethod
    def of(cls, checkpoint: Checkpoint, folder: Path, precision: str) -> ExportFiles:
        bundled = any(model.path == checkpoint.path for model in bundled_models())
        origin = checkpoint.name if bundled else str(checkpoint.path)
        return cls(folder, checkpoint.name, checkpoint.sha256, precision, origin)

    @property
    def stem(self) -> str:
        return f"{self.weights}-{self.sha256[:12]}-{self.precision}"

    def graph(self, name: str) -> Path:
        """`name`: one of GRAPHS."""
        return self.folder / f"{self.stem}-{name}.onnx"

    @property
    def graphs(self) -> tuple[Path, ...]:
        return tuple(self.graph(name) for name in GRAPHS)

    def command(self, kind: str, *options: str) -> str:
        """The command that writes these files, or engines of them: `kind` is its --format."""
        half = ("--fp16",) if self.precision == "float16" else ()
        parts = ("vsrdb", "export", "--weights", self.origin or self.weights, "--format", kind)
        return shlex.join((*parts, *half, *options))

    def complete(self) -> bool:
        return all(path.is_file() for path in self.graphs)
