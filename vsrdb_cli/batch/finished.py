"""What a batch has finished, kept in its output folder until all is: a stopped one goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsrdb_cli import __version__
from vsrdb_cli.batch.targets import Item
from vsrdb_cli.checkpoints.registry import imported_models
from vsrdb_cli.documents import read_json
from vsrdb_cli.files import whole
from vsrdb_cli.jobs.journal import identity, size_of
from vsrdb_cli.jobs.typed import fits
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.y4m_reader import is_stream

NAME = ".vsrdb-batch.json"
_DAMAGE = "damage"


class Finished:
    """The inputs that an earlier run of the same command has restored.

    An input counts only if it and the options are as they were, and its output still is.

    Args:
        folder: of the outputs; the file is made there when the first input is finished.
        restart: forget what earlier runs did.
    """

    def __init__(self, folder: Path, options: RestoreOptions, *, restart: bool = False) -> None:
        self._file = folder / NAME
        self._folder = folder
        self._options = _facts_of(options)
        self._strict = options.strict
        self._restart = restart
        self._entries: dict[str, Any] = {} if restart else self._read()

    def holds(self, item: Item) -> bool:
        """Whether an input is finished."""
        entry = self._entries.get(self._key(item))
        if entry is None or (self._strict and self.damage(item)):
            return False
        return {**entry, _DAMAGE: None} == {**(self._entry(item) or {}), _DAMAGE: None}

    def damage(self, item: Item) -> tuple[str, ...]:
        """What of an input that is finished could not be read."""
        return tuple(self._entries.get(self._key(item), {}).get(_DAMAGE, ()))

    def enter(self, item: Item, damage: Sequence[str]) -> None:
        """Enter an input whose output is in its place.

        Args:
            damage: what of the input could not be read.

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
        """The whole batch is finished."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        # Whatever else is in that file: nothing in it is finished.
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
        """All that must be the same; None where input or output are not there."""
        with suppress(OSError):
            if is_stream(item.source):  # and gone
                return None
            return {
                "source": str(item.source.absolute()),
                "identity": identity(item.source),
                "options": self._options,
                "size": size_of(item.target),
            }
        return None


def _facts_of(options: RestoreOptions) -> dict[str, str]:
    """What the frames depend on, as text."""
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
