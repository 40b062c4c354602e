"""A run told to other programs: one JSON object a line on stderr. docs/JSON.md lists the events."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.commands import console
from vsrdb_cli.commands.events import Display, Place, left_of, rate_of, size_of

if TYPE_CHECKING:
    from vsrdb_cli.comparison.compare import Page
    from vsrdb_cli.jobs.report import Progress, RestoreReport

_SHORTEST_SECONDS = 0.1
_COUNTS = ("estimated", "restored", "skipped", "failed")


class JsonLines(Display):
    """For programs. A value that is not known, or not yet, is null."""

    def __init__(self) -> None:
        self._source: Path | None = None
        self._shown = -math.inf

    def starting(self) -> None:
        self._say("loading", what="libraries")

    @contextmanager
    def file(self, source: Path, target: Path, place: Place) -> Iterator[None]:
        self._source, self._shown = source, -math.inf
        self._say("start", output=str(target), number=place.number, of=place.of)
        try:
            yield
        finally:
            self._source = None

    def note(self, text: str) -> None:
        self._say("note", text=text)

    def damage(self, text: str) -> None:
        self._say("damage", text=text)

    def progress(self, progress: Progress, all_seconds: float | None = None) -> None:
        if progress.phase == "load":
            self._say("loading", what="network")
            return
        now = time.monotonic()
        last = progress.frames == progress.total
        if not last and now - self._shown < _SHORTEST_SECONDS:
            return
        self._shown = now
        counts: dict[str, Any] = {"frame": progress.frames, "frames": progress.total}
        if progress.phase != "restore":
            self._say(progress.phase, **counts)
            return
        rate, left = rate_of(progress), left_of(progress)
        self._say(
            "frame",
            **counts,
            fps=rate and round(rate, 3),
            eta_seconds=None if left is None else round(left, 1),
            all_eta_seconds=None if all_seconds is None else round(all_seconds, 1),
            segment=progress.segment,
            segments=progress.segments,
            **({"nodes": [node.to_json() for node in progress.nodes]} if progress.nodes else {}),
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

    def compared(self, page: Page) -> None:
        self._say("page", output=str(page.path), frames=page.frames, bytes=page.bytes)

    def skipped(self, target: Path, reason: str) -> None:
        self._say("skipped", output=str(target), reason=reason)

    def error(self, message: str, hint: str | None, details: Sequence[str] = ()) -> None:
        hint = "\n".join((hint or "", *details)) if details else hint
        self._say("error", message=message, hint=hint)

    def interrupted(self, text: str, signal: str) -> None:
        self._say("interrupted", text=text, signal=signal)

    def end(self, counts: dict[str, int], status: int, seconds: float | None) -> None:
        seconds = None if seconds is None else round(seconds, 3)
        numbers = dict.fromkeys(_COUNTS, 0) | counts
        self._say("end", **numbers, seconds=seconds, status=int(status))

    def _say(self, event: str, **values: Any) -> None:
        file = None if self._source is None else str(self._source)
        console.json_line({"event": event, "file": file, **values})
