"""Exported files: their folder, their names, and their proof.

One checkpoint in one precision is a stem, `fmanet-xs-3d8cd56ca6a5-float32`; its files are
`STEM-encoder.onnx`, `STEM-restorer.onnx`, a sidecar with their SHA-256 and, beside them, engines
and their sidecars. A file that does not match its sidecar is rebuilt, and never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.backends.graphs import REVISION
from vsrdb_cli.checkpoints.registry import bundled_models
from vsrdb_cli.documents import read_json
from vsrdb_cli.errors import BackendError
from vsrdb_cli.files import sha256_of, whole
from vsrdb_cli.user_folders import cache_folder

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

GRAPHS = ("encoder", "restorer")
# Ten times the longest sidecar; the limit of a protobuf message, hence of an ONNX file.
_SIDECAR_LIMIT, _FILE_LIMIT = 1 << 16, 1 << 31


class StaleExportError(BackendError):
    """An exported file is damaged, outdated or another checkpoint's, and must be rebuilt.

    Args:
        command: the words of the command that rebuilds it.
    """

    def __init__(self, message: str, command: tuple[str, ...]) -> None:
        super().__init__(message, hint=f"rebuild it: {shlex.join(command)}")
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:  # from one process to another
        return type(self), (str(self), self.command)


def default_folder() -> Path:
    """Return the folder that `restore` searches: $VSRDB_EXPORTS, or in the user's cache.

    Raises:
        BackendError: the user has no home.
    """
    if named := os.environ.get("VSRDB_EXPORTS"):
        return Path(named)
    cache = cache_folder()
    if cache is None:
        raise BackendError(
            "exported networks have no folder, because the user has no home folder",
            hint="set VSRDB_EXPORTS to a folder",
        )
    return cache / "exports"


@dataclass(frozen=True)
class ExportFiles:
    """The files of one checkpoint in one precision."""

    folder: Path
    weights: str
    """Name of the checkpoint."""
    sha256: str
    """SHA-256 of the checkpoint."""
    precision: str
    """ "float32" or "float16"."""
    origin: str = ""
    """Name or path that the checkpoint was loaded by; "" for its name."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, folder: Path, precision: str) -> ExportFiles:
        bundled = any(model.path == checkpoint.path for model in bundled_models())
        origin = checkpoint.name if bundled else str(checkpoint.path)
        return cls(folder, checkpoint.name, checkpoint.sha256, precision, origin)

    @property
    def stem(self) -> str:
        return f"{self.weights}-{self.sha256[:12]}-{self.precision}"

    def graph(self, name: str) -> Path:
        """Return the path of the graph `name`, one of GRAPHS."""
        return self.folder / f"{self.stem}-{name}.onnx"

    @property
    def graphs(self) -> tuple[Path, ...]:
        return tuple(self.graph(name) for name in GRAPHS)

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar, which describes the graphs and has their SHA-256."""
        return self.folder / f"{self.stem}-graphs.json"

    def command(self, kind: str, *options: str) -> str:
        """Return the command that writes these files or engines of them; `kind` is its --format."""
        return shlex.join(self.words(kind, *options))

    def words(self, kind: str, *options: str) -> tuple[str, ...]:
        """Return `command` as a list of words."""
        half = ("--fp16",) if self.precision == "float16" else ()
        parts = ("vsrdb", "export", "--weights", self.origin or self.weights, "--format", kind)
        return (*parts, *half, *options)

    def save_sidecar(self) -> None:
        """Write the sidecar of the graphs as they are now."""
        facts = {
            **self._facts(),
            "graph_sha256": {name: file_sha256(self.graph(name)) for name in GRAPHS},
        }
        with whole(self.sidecar) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def read_graphs(self) -> dict[str, bytes]:
        """Read the graphs, checked against their sidecar.

        Raises:
            StaleExportError: they do not match it, or it is missing.
        """
        words = self.words("onnx")
        values = read_sidecar(self.sidecar, words)
        expected = values.pop("graph_sha256", None)
        if values != self._facts():
            raise StaleExportError(
                f"{self.sidecar} does not describe {self.weights} ({self.sha256[:12]}) in"
                f" {self.precision} as this version of vsrdb does (revision {REVISION})",
                words,
            )
        return {name: read_proven(self.graph(name), sha256_in(expected, name), words)
                for name in GRAPHS}  # fmt: skip

    def _facts(self) -> dict[str, Any]:
        return {
            "revision": REVISION,
            "weights": self.weights,
            "sha256": self.sha256,
            "precision": self.precision,
        }

    def complete(self) -> bool:
        return all(path.is_file() for path in self.graphs)


def read_sidecar(path: Path, command: tuple[str, ...]) -> dict[str, Any]:
    """Read a sidecar, whose content is not trusted yet.

    Raises:
        StaleExportError: it is missing, or not a sidecar.
    """
    try:
        values = read_json(path, _SIDECAR_LIMIT)
    except FileNotFoundError:
        raise StaleExportError(f"{path} is missing", command) from None
    except (OSError, ValueError) as error:
        raise StaleExportError(f"{path} is not a sidecar: {error}", command) from error
    if not isinstance(values, dict):
        raise StaleExportError(f"{path} is not a sidecar", command)
    return values


def read_proven(path: Path, sha256: str, command: tuple[str, ...]) -> bytes:
    """Read a file that has this SHA-256.

    Raises:
        StaleExportError: it has another, or cannot be read.
    """
    try:
        data = path.read_bytes() if _is_file(path) else b""
    except OSError:
        data = b""
    _require_same(path, hashlib.sha256(data).hexdigest() if data else "", sha256, command)
    return data


def require_proven(path: Path, sha256: str, command: tuple[str, ...]) -> None:
    """Check that a file has this SHA-256; raises as `read_proven`."""
    _require_same(path, file_sha256(path), sha256, command)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; "" if it cannot be read."""
    try:
        return sha256_of(path) if _is_file(path) else ""
    except OSError:
        return ""


def _is_file(path: Path) -> bool:
    status = path.stat()
    return stat.S_ISREG(status.st_mode) and status.st_size < _FILE_LIMIT


def _require_same(path: Path, found: str, expected: str, command: tuple[str, ...]) -> None:
    if found != expected or not found:
        raise StaleExportError(
            f"{path} is damaged: its SHA-256 starts with {found[:12] or '(no file)'}, expected"
            f" {expected[:12] or '(none)'}",
            command,
        )


def sha256_in(values: Any, name: str) -> str:
    """Return one of the SHA-256 in a sidecar; "" if it is missing."""
    found: Mapping[str, Any] = values if isinstance(values, dict) else {}
    return str(found.get(name, ""))
