"""The journal of a batch, kept in its output folder until it is finished, so that it can resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.checkpoints.registry import imported_models
from vsrdb_cli.documents import read_json
from vsrdb_cli.files import whole
from vsrdb_cli.jobs.journal import identity, size_of
from vsrdb_cli.jobs.typed import fits
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.y4m_reader import is_stream_input

NAME = ".vsrdb-batch.json"
_DAMAGE = "damage"


def open_journal(batch: Batch, options: RestoreOptions) -> BatchJournal | None:
    """Open the journal of a batch; None for a single input, which needs none."""
    return None if batch.folder is None else BatchJournal(batch.folder, options)


class BatchJournal:
    """The inputs that earlier runs of the same command have restored.

    An input counts only if it, the options and its output are unchanged.

    Args:
        folder: of the outputs; the file is created there when the first input is finished.
        options: with `restart`, what earlier runs did is ignored.
    """

    def __init__(self, folder: Path, options: RestoreOptions) -> None:
        self._file = folder / NAME
        self._options = _facts_of(options)
        self._strict = options.strict
        self._restart = options.restart
        self._entries: dict[str, Any] = {} if options.restart else self._read()

    def holds(self, item: Item) -> bool:
        """Return whether an input is finished."""
        entry = self._entries.get(self._key(item))
        if entry is None or (self._strict and self.damage(item)):
            return False
        return {**entry, _DAMAGE: None} == {**(self._entry(item) or {}), _DAMAGE: None}

    def damage(self, item: Item) -> tuple[str, ...]:
        """Return what could not be read of an input that is finished."""
        return tuple(self._entries.get(self._key(item), {}).get(_DAMAGE, ()))

    def enter(self, item: Item, damage: Sequence[str]) -> None:
        """Add an input whose output is in place.

        Args:
            damage: what could not be read of the input.

        Raises:
            OutputError: the file cannot be written.
        """
        entry = self._entry(item)
        if entry is None:
            return
        entry[_DAMAGE] = list(damage)
        if not self._restart:
            self._entries = self._read() | self._entries  # another run may work in this folder
        self._entries[self._key(item)] = entry
        with whole(self._file) as temporary:
            temporary.write_text(json.dumps({"inputs": self._entries}, indent=1), encoding="utf-8")

    def remove(self) -> None:
        """Delete the journal: the whole batch is finished."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        # A file with any other content says that nothing is finished.
        with suppress(OSError, ValueError, LookupError, TypeError):
            entries = read_json(self._file)["inputs"]
            if fits(entries, dict[str, dict[str, Any]]):
                return {
                    key: entry
                    for key, entry in entries.items()
                    if fits(entry.get(_DAMAGE, []), list[str])
                }
        return {}

    def _key(self, item: Item) -> str:
        return str(item.target.absolute())

    def _entry(self, item: Item) -> dict[str, Any] | None:
        """Return all that must be unchanged; None where input or output do not exist."""
        with suppress(OSError):
            if is_stream_input(item.source):  # which cannot be read again
                return None
            return {
                "source": str(item.source.absolute()),
                "identity": identity(item.source),
                "options": self._options,
                "size": size_of(item.target),
            }
        return None


def _facts_of(options: RestoreOptions) -> dict[str, str]:
    """Return everything that the frames depend on, as text."""
    facts = {name: json.dumps(value, default=str) for name, value in options.frame_values.items()}
    weights = imported_models().get(options.weights, Path(options.weights))
    network: dict[str, str] = {"weights": options.weights}
    if weights.is_file():
        network |= identity(weights)
    return {
        **facts,
        "network": json.dumps(network),
        "backend": options.backend,
        "precision": options.precision,
        "version of vsrdb": __version__,
    }
