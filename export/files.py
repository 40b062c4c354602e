"""Where exported files lie and what they are called.

One checkpoint in one precision is a stem, `fmanet-xs-3d8cd56ca6a5-float32`; its files are
`STEM-encoder.onnx`, `STEM-restorer.onnx` and, beside them, engines and their sidecars.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GRAPHS = ("encoder", "restorer")


def default_folder() -> Path:
    """$VSRDB_EXPORTS, or `vsrdb/exports` in the user's cache: where `restore` looks."""
    if named := os.environ.get("VSRDB_EXPORTS"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vsrdb" / "exports"


@dataclass(frozen=True)
class ExportFiles:
    """The files of one checkpoint in one precision."""

    folder: Path
    weights: str
    sha256: str
    precision: str

    @property
    def stem(self) -> str:
        return f"{self.weights}-{self.sha256[:12]}-{self.precision}"

    def graph(self, name: str) -> Path:
        """`name`: one of GRAPHS."""
        return self.folder / f"{self.stem}-{name}.onnx"

    @property
    def graphs(self) -> tuple[Path, ...]:
        return tuple(self.graph(name) for name in GRAPHS)

    def complete(self) -> bool:
        return all(path.is_file() for path in self.graphs)
