"""Proof that exported files, and other GPUs than NVIDIA's, compute what torch does on the CPU.

It is measured once per machine.

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
from vsrdb_cli.backends.devices import ACCELERATORS, Accelerators
from vsrdb_cli.backends.exported_files import StaleExportError
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.checkpoints.checkpoint import Checkpoint
from vsrdb_cli.device_kinds import kind_of

# How well a GPU agrees with the CPU in float32, in dB.
LEAST_DB = {"float32": 60.0, "float16": parity.AGREEMENT_DB, "bfloat16": 40.0}


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
        if self._remembered(runner, checkpoint).answer() is not None:
            return
        try:
            self.measure(runner, checkpoint)
        except parity.DisagreementError as error:
            raise StaleExportError(str(error), self.command) from error

    @property
    def files(self) -> tuple[str, ...]:
        """The name and SHA-256 of each file, as text."""
        return tuple(f"{name} {sha256}" for name, sha256 in sorted(self.hashes.items()))

    def measure(self, runner: Runner, checkpoint: Checkpoint) -> list[parity.Agreement]:
        """Compare with torch in float32, and remember an agreement.

        Raises:
            DisagreementError: the results differ.
        """
        reference = TorchRunner(checkpoint, "cpu", "float32")
        agreements = parity.compare(reference, runner, self.sizes)
        parity.require(agreements, runner.info.precision, self.what)
        self._remembered(runner, checkpoint).keep(parity.worst(agreements))
        return agreements

    def _remembered(self, runner: Runner, checkpoint: Checkpoint) -> CachedAnswer[float]:
        facts = (
            *self.files,
            f"{checkpoint.sha256} {runner.info.precision} {self.where} {platform.node()}",
        )
        return remembered_agreement(*facts)


def require_like_cpu(
    runner: Runner, checkpoint: Checkpoint, accelerators: Accelerators = ACCELERATORS
) -> None:
    """Compare what torch computes on a GPU with the CPU, unless that was done before.

    Not of an NVIDIA GPU, on which every kernel is tested.

    Raises:
        DisagreementError: the results differ; it names by how much.
    """
    if kind_of(runner.info.device) is None or accelerators.are_nvidia:
        return
    # Without the driver, which is not known: another one may compute the right thing.
    facts = f"{checkpoint.sha256} {runner.info.precision} {runner.info.hardware} {platform.node()}"
    require_agreement(runner, checkpoint, remembered_agreement(facts))


def require_agreement(
    runner: Runner,
    checkpoint: Checkpoint,
    remembered: CachedAnswer[float] | None,
    *,
    sizes: Sequence[tuple[int, int]] = parity.SIZES,
    refusals: bool = False,
) -> None:
    """Compare what a GPU computes with torch on the CPU, unless that was done before.

    Args:
        remembered: the agreement in dB; None if none is remembered.
        sizes: (height, width) of the pictures to compare.
        refusals: remember a refusal, too.

    Raises:
        DisagreementError: the results differ; it names by how much.
    """
    info = runner.info
    needed = LEAST_DB[info.precision]
    worst = remembered.answer() if remembered else None
    if worst is None:
        reference = TorchRunner(checkpoint, "cpu", "float32")
        worst = parity.worst(parity.compare(reference, runner, sizes))
        if remembered and (refusals or worst >= needed):
            remembered.keep(worst)
    if worst < needed:
        raise parity.DisagreementError(
            f"{info.device} ({info.hardware}) does not agree with the CPU: {worst:.0f} dB, but"
            f" {info.precision} needs {needed:.0f}",
            hint="use --device cpu, and report this"
            if info.precision == "float32"
            else "use --precision float32, or --device cpu",
        )


def remembered_agreement(*facts: str) -> CachedAnswer[float]:
    """Look up an agreement in dB that depends on these facts, and on versions."""
    text = "\n".join((*facts, f"torch {torch.__version__} vsrdb {__version__}"))
    return CachedAnswer("agreement.json", hashlib.sha256(text.encode()).hexdigest(), float)
