"""Inputs with their outputs: every output is that of one input, and itself no input."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.names import fitting


@dataclass(frozen=True)
class Item:
    """One input and its output."""

    source: Path
    target: Path
    problem: VsrdbError | None = None
    """Why it cannot be restored, if that is known before the work."""


@dataclass
class Batch:
    """Inputs in order."""

    items: list[Item] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What was skipped, one line each."""
    folder: Path | None = None
    """The folder of all outputs; None for a single input."""


def tell_apart(batch: Batch) -> None:
    """Give inputs that differ only in their ending, such as a.mkv and a.ts, different outputs.

    The input whose output has its own ending keeps the short name; the others keep their ending
    before the new one: a.ts.mkv.
    """
    sharing: dict[Path, list[int]] = defaultdict(list)
    for index, item in enumerate(batch.items):
        sharing[item.target].append(index)
    for target, indices in sharing.items():
        if len(indices) == 1:
            continue
        for index in indices:
            source = batch.items[index].source
            if source.is_dir() or source.suffix.lower() == target.suffix:
                continue
            own = target.with_name(fitting(source.name, target.suffix))
            batch.items[index] = Item(source, own)
            batch.notices.append(
                f"{source} becomes {own.name}: another input becomes {target.name}"
            )


def check_targets(batch: Batch) -> None:
    """Give inputs a problem whose output is an input, or that of another input too."""
    inputs = {os.path.realpath(item.source): item.source for item in batch.items}
    same: dict[str, list[Path]] = defaultdict(list)
    for item in batch.items:
        same[os.path.realpath(item.target)].append(item.source)
    for index, item in enumerate(batch.items):
        if item.problem is not None:
            continue
        real = os.path.realpath(item.target)
        problem: VsrdbError | None = None
        if real in inputs:
            problem = OutputError(
                f"{item.target} is also an input ({inputs[real]})",
                hint="choose another output folder; inputs are never changed",
            )
        elif len(same[real]) > 1:
            others = ", ".join(str(s) for s in same[real] if s != item.source)
            problem = OutputError(
                f"{item.target} would also be the output of {others}"
                if others
                else f"{item.source} is given more than once",
                hint="rename one of them, or restore them into different folders"
                if others
                else "give it once",
            )
        if problem is not None:
            batch.items[index] = Item(item.source, item.target, problem)
