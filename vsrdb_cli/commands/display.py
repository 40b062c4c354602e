"""What a run shows while it works: a bar for people, or lines of JSON for other programs.

With JSON, every line on stderr is one object. All have `event` and `file` (the input):

    start   output
    note    text
    plan    frame, frames: a long video is looked through
    frame   frame, frames, fps, eta_seconds, segment, segments; at most ten a second
    join    frame, frames: of segments, not frames
    measure frame, frames: restored on trial, by --dry-run
    done    output, frame, frames, fps, seconds, width, height, bytes
    skipped output: it is there already
    error   message, hint
    end     restored, skipped, failed: of a batch; file is null

A value that is not known, or not yet, is null.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vsrdb_cli.commands import console
from vsrdb_cli.errors import VsrdbError

if TYPE_CHECKING:
    from vsrdb_cli.jobs.report import Progress, RestoreReport

_SHORTEST_SECONDS = 0.1
_PHASES = {
    "plan": "looking for scene cuts",
    "restore": "restoring",
    "join": "joining",
    "measure": "measuring",
}


class Display(Protocol):
    """One way to show runs."""

    def file(self, source: Path, target: Path) -> AbstractContextManager[None]:
        """Entered around the work on one input; all but `end` is told within."""

    def note(self, text: str) -> None:
        """Something to know, in one line."""

    def progress(self, progress: Progress) -> None:
        """After every frame."""

    def done(self, report: RestoreReport) -> None:
        """The output is in its place."""

    def skipped(self, target: Path) -> None:
        """The output was there already."""

    def error(self, message: str, hint: str | None) -> None:
        """The input could not be restored."""

    def end(self, counts: dict[str, int]) -> None:
        """A batch is through; how many inputs had which outcome."""


class Bar:
    """For people: a bar where stderr is a terminal, and lines of text."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._name = ""
        self._phase: str | None = None
        self._bar = ExitStack()
        self._on_frame: console.OnFrame | None = None

    @contextmanager
    def file(self, source: Path, target: Path) -> Iterator[None]:  # noqa: ARG002
        self._name, self._phase = target.name, None
        with self._bar:
            yield

    def note(self, text: str) -> None:
        if not self._quiet:
            console.say(f"note: {text}")

    def progress(self, progress: Progress) -> None:
        if progress.phase != self._phase or self._on_frame is None:
            self._phase = progress.phase
            self._bar.close()
            self._on_frame = self._bar.enter_context(
                console.progress(f"{self._name}: {_PHASES[progress.phase]}", quiet=self._quiet)
            )
        self._on_frame(progress.frames, progress.total)

    def done(self, report: RestoreReport) -> None:
        self._bar.close()
        if not self._quiet:
            size = size_of(report.output)
            console.say(
                f"{report.output}: {report.frames} frames, {report.width_hr}x{report.height_hr},"
                + (f" {console.human_bytes(size)}," if size is not None else "")
                + f" in {report.seconds:.1f} s ({report.frames_per_second:.2f} fps,"
                f" {report.runner})"
            )

    def skipped(self, target: Path) -> None:
        self.note(f"{target} is there already: skipped")

    def error(self, message: str, hint: str | None) -> None:
        self._bar.close()
        console.report(VsrdbError(message, hint=hint))

    def end(self, counts: dict[str, int]) -> None:
        """The command shows a table."""


class JsonLines:
    """For programs: one object a line, as this module's text says."""

    def __init__(self) -> None:
        self._source: Path | None = None
        self._shown = -math.inf

    @contextmanager
    def file(self, source: Path, target: Path) -> Iterator[None]:
        self._source, self._shown = source, -math.inf
        self._say("start", output=str(target))
        try:
            yield
        finally:
            self._source = None

    def note(self, text: str) -> None:
        self._say("note", text=text)

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        last = progress.frames == progress.total
        if not last and now - self._shown < _SHORTEST_SECONDS:
            return
        self._shown = now
        counts: dict[str, Any] = {"frame": progress.frames, "frames": progress.total}
        if progress.phase != "restore":
            self._say(progress.phase, **counts)
            return
        restored = progress.frames - progress.resumed
        rate = restored / progress.seconds if restored and progress.seconds else None
        left = None
        if rate is not None and progress.total is not None:
            left = round(max(0, progress.total - progress.frames) / rate, 1)
        self._say(
            "frame",
            **counts,
            fps=rate and round(rate, 3),
            eta_seconds=left,
            segment=progress.segment,
            segments=progress.segments,
        )

    def done(self, report: RestoreReport) -> None:
        self._say(
            "done",
            output=str(report.output),
            frame=report.frames,
            frames=report.frames,
            fps=round(report.frames_per_second, 3),
            seconds=round(report.seconds, 3),
            width=report.width_hr,
            height=report.height_hr,
            bytes=size_of(report.output),
        )

    def skipped(self, target: Path) -> None:
        self._say("skipped", output=str(target))

    def error(self, message: str, hint: str | None) -> None:
        self._say("error", message=message, hint=hint)

    def end(self, counts: dict[str, int]) -> None:
        self._say("end", **counts)

    def _say(self, event: str, **values: Any) -> None:
        file = None if self._source is None else str(self._source)
        console.json_line({"event": event, "file": file, **values})


def size_of(output: Path) -> int | None:
    """Bytes of a file or of the pictures in a folder; None for a pipe."""
    if output.is_dir():
        return sum(file.stat().st_size for file in output.iterdir())
    return output.stat().st_size if output.is_file() else None
