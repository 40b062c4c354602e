"""How a run is shown: what there is to tell, and who tells it to whom.

`bar` shows it to people at a terminal, `log_lines` writes it line by line where there is none and
into a log file, `json_lines` tells other programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.commands import console
from vsrdb_cli.text import count

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport

PHASES = {
    "load": "loading the network",
    "plan": "looking for scene cuts",
    "restore": "restoring",
    "join": "joining",
    "compare": "comparing",
    "measure": "measuring",
}


@dataclass(frozen=True)
class Place:
    """An input's place among all: its number, counted from 1, of so many."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}" if self.of > 1 else ""


class Display:
    """One way to show runs; this one shows nothing."""

    def starting(self) -> None:
        """The program has begun and loads its libraries, which takes a second or more."""

    @contextmanager
    def file(self, source: Path, target: Path, place: Place) -> Iterator[None]:  # noqa: ARG002
        """Entered around the work on one input."""
        yield

    def note(self, text: str) -> None:
        """Something to know, in one line."""

    def detail(self, text: str) -> None:
        """Something that only somebody curious wants to know."""

    def damage(self, text: str) -> None:
        """What of the source could not be read, in one line; shown even if little else is."""

    def progress(self, progress: Progress, all_seconds: float | None = None) -> None:
        """After every frame. all_seconds: how long the whole batch will still take, if known."""

    def done(self, report: RestoreReport) -> None:
        """The output is in its place."""

    def compared(self, page: Page) -> None:
        """The page that compares it with its source is in its place."""

    def skipped(self, target: Path, reason: str) -> None:
        """The output was there already."""

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        """The input could not be restored. details: lines that tell more."""

    def interrupted(self, text: str, signal: str) -> None:
        """A signal has ended the run; what is kept."""

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:
        """All is through; how many inputs had which outcome, and the exit status."""


def summary_of(report: RestoreReport) -> str:
    """A finished output in one line."""
    size = size_of(report.output)
    return (
        f"{report.output}: {count(report.frames, 'frame')}, {report.width_hr}x{report.height_hr},"
        + (f" {console.human_bytes(size)}," if size is not None else "")
        + f" in {report.seconds:.1f} s ({report.frames_per_second:.2f} fps, {report.runner})"
    )


def summary_of_page(page: Page) -> str:
    """A finished comparison in one line."""
    exact = "all lossless"
    if page.fidelity is not None:
        exact = f"{page.lossless} of them lossless, the others at {page.fidelity:.1f} dB"
    size = console.human_bytes(page.bytes)
    return f"{page.path}: {count(page.frames, 'frame')}, {exact}, {size}"


def totals_of(counts: dict[str, int], seconds: float | None) -> str:
    """ "38 restored, 1 skipped, 1 failed, in 1:02:03"."""
    said = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    took = "" if seconds is None else f", in {console.human_seconds(seconds)}"
    return f"{said or 'nothing restored'}{took}"


def left_of(progress: Progress) -> float | None:
    """How many seconds the rest of a file will take; None where that is not known yet."""
    rate = rate_of(progress)
    if rate is None or progress.total is None:
        return None
    return max(0, progress.total - progress.frames) / rate


def rate_of(progress: Progress) -> float | None:
    """Frames per second, without those that an earlier run had finished."""
    restored = progress.frames - progress.resumed
    return restored / progress.seconds if restored and progress.seconds else None


def size_of(output: Path) -> int | None:
    """Bytes of a file or of the pictures in a folder; None for a pipe."""
    if output.is_dir():
        return sum(file.stat().st_size for file in output.iterdir())
    return output.stat().st_size if output.is_file() else None
