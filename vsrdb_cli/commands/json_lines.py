"""Events as JSON, one object a line on stderr, for other programs. docs/JSON.md lists them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import assert_never

from vsrdb_cli.commands import console, events
from vsrdb_cli.commands.events import Event

_SHORTEST_SECONDS = 0.1
_COUNTS = ("estimated", "restored", "skipped", "failed")


class JsonLines:
    """A reporter that prints JSON. A value that is unknown, or not yet known, is null."""

    def __init__(self) -> None:
        self._source: Path | None = None
        self._shown = -math.inf

    def __call__(self, event: Event) -> None:
        match event:
            case events.Starting():
                self._print("loading", what="libraries")
            case events.InputStarted(source, target, number, of):
                self._source, self._shown = source, -math.inf
                self._print("start", output=str(target), number=number, of=of)
            case events.InputEnded():
                self._source = None
            case events.Notice(text):
                self._print("note", text=text)
            case events.Detail():
                pass
            case events.Damaged(text):
                self._print("damage", text=text)
            case events.Progressed():
                self._progress(event)
            case events.Restored(report):
                self._print(
                    "done",
                    output=str(report.output),
                    frame=report.frames,
                    frames=report.frames,
                    repeats=report.repeats,
                    fps=round(report.frames_per_second, 3),
                    seconds=round(report.seconds, 3),
                    width=report.width_hr,
                    height=report.height_hr,
                    bytes=event.bytes,
                )
            case events.Compared(page):
                self._print("page", output=str(page.path), frames=page.frames, bytes=page.bytes)
            case events.Skipped(target, reason):
                self._print("skipped", output=str(target), reason=reason)
            case events.Failed(error, details):
                hint = "\n".join((error.hint or "", *details)) if details else error.hint
                self._print("error", message=str(error), hint=hint)
            case events.Interrupted(text, signal):
                self._print("interrupted", text=text, signal=signal)
            case events.Ended(counts, status, seconds):
                numbers = dict.fromkeys(_COUNTS, 0) | dict(counts)
                self._print("end", **numbers, seconds=_rounded(seconds, 3), status=int(status))
            case _:
                assert_never(event)

    def _progress(self, event: events.Progressed) -> None:
        from vsrdb_cli.jobs.report import Phase  # here, so that --help does not import it

        progress = event.progress
        if progress.phase is Phase.LOAD:
            self._print("loading", what="network")
            return
        now = time.monotonic()
        last = progress.frames == progress.total
        if not last and now - self._shown < _SHORTEST_SECONDS:
            return
        self._shown = now
        if progress.phase is not Phase.RESTORE:
            self._print(progress.phase.value, frame=progress.frames, frames=progress.total)
            return
        self._print(
            "frame",
            frame=progress.frames,
            frames=progress.total,
            repeats=progress.repeats,
            fps=_rounded(event.rate, 3),
            eta_seconds=_rounded(event.seconds_left, 1),
            all_eta_seconds=_rounded(event.all_seconds_left, 1),
            segment=progress.segment,
            segments=progress.segments,
            **({"nodes": [node.to_json() for node in progress.nodes]} if progress.nodes else {}),
        )

    def _print(self, event: str, **values: object) -> None:
        file = None if self._source is None else str(self._source)
        console.json_line({"event": event, "file": file, **values})


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
