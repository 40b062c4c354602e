"""Proof that exported files compute what torch does, measured once per machine.

The result is in the user's own cache, not beside the files, where anyone who can replace them could
write it, too.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from vsrdb_cli import __version__
from vsrdb_cli.backends import parity
from vsrdb_cli.backends.answer_cache import CachedAnswer
from vsrdb_cli.backends.exported_files import StaleExportError
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Proof:
    """The claim that files compute what torch does."""

    what: str
    """A name for messages, such as "the tensorrt engine"."""
    hashes: Mapping[str, str]
    """SHA-256 of each file, by name."""
    where: str
    """The library, its version and the device."""
    command: tuple[str, ...]
    """The command that rebuilds the files."""
    sizes: Sequence[tuple[int, int]] = parity.SIZES
    """(height, width) of the pictures to compare."""

    def require(self, runner: Runner, checkpoint: Checkpoint) -> None:
        """Compare with torch, unless that was done before.

        Raises:
            StaleExportError: the results differ; `command` rebuilds the files.
        """
        if self._remembered(runner, checkpoint).answer():
            return
        try:
            self.measure(runner, checkpoint)
        except parity.DisagreementError as error:
            raise StaleExportError(str(error), self.command) from error

    def measure(self, runner: Runner, checkpoint: Checkpoint) -> list[parity.Agreement]:
        """Compare with torch in float32, and remember an agreement.

        Raises:
            DisagreementError: the results differ.
        """
        reference = TorchRunner(checkpoint, "cpu", "float32")
        agreements = parity.compare(reference, runner, self.sizes)
        parity.require(agreements, runner.info.precision, self.what)
        self._remembered(runner, checkpoint).keep(True)
        return agreements

    def _remembered(self, runner: Runner, checkpoint: Checkpoint) -> CachedAnswer:
        facts = (
            *(f"{name} {sha256}" for name, sha256 in sorted(self.hashes.items())),
            f"{checkpoint.sha256} {runner.info.precision} {self.where} {platform.node()}",
            f"torch {torch.__version__} vsrdb {__version__}",
        )
        return CachedAnswer("agreement.json", hashlib.sha256("\n".join(facts).encode()).hexdigest())
