"""That exported files compute what torch does: measured once for these very files, where they run.

What was measured is kept in the user's own cache, not beside the files: whoever can replace them
could write there, too.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from vsrdb_cli import __version__
from vsrdb_cli.backends import parity
from vsrdb_cli.backends.exported_files import StaleExportError
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.remembered import Remembered
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Proof:
    """What is to be proven.

    what: what runs, in words. hashes: SHA-256 of each file it is made of. where: the library, its
    version and the device. command: makes them. sizes: (height, width) of the pictures to compare.
    """

    what: str
    hashes: Mapping[str, str]
    where: str
    command: tuple[str, ...]
    sizes: Sequence[tuple[int, int]] = parity.SIZES

    def require(self, runner: Runner, checkpoint: Checkpoint) -> None:
        """Compare, unless that was done before.

        Raises:
            StaleExportError: it computes something else; `command` makes it again.
        """
        if self._remembered(runner, checkpoint).answer():
            return
        try:
            self.measure(runner, checkpoint)
        except parity.DisagreementError as error:
            raise StaleExportError(str(error), self.command) from error

    def measure(self, runner: Runner, checkpoint: Checkpoint) -> list[parity.Agreement]:
        """Compare with torch in float32, and remember that it agrees.

        Raises:
            DisagreementError: it does not.
        """
        reference = TorchRunner(checkpoint, "cpu", "float32")
        agreements = parity.compare(reference, runner, self.sizes)
        parity.require(agreements, runner.info.precision, self.what)
        self._remembered(runner, checkpoint).keep(True)
        return agreements

    def _remembered(self, runner: Runner, checkpoint: Checkpoint) -> Remembered:
        facts = (
            *(f"{name} {sha256}" for name, sha256 in sorted(self.hashes.items())),
            f"{checkpoint.sha256} {runner.info.precision} {self.where} {platform.node()}",
            f"torch {torch.__version__} vsrdb {__version__}",
        )
        return Remembered("agreement.json", hashlib.sha256("\n".join(facts).encode()).hexdigest())
