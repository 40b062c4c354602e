"""The only place that prints: results to stdout, everything else to stderr.

Messages are printed without markup and unwrapped, so that a path or a command survives copying.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from vsrdb_cli.errors import VsrdbError

results = Console(highlight=False)
messages = Console(stderr=True, highlight=False)

_UNWRAPPED = 10_000


def say(text: str) -> None:
    """A line for the user, not a result: to stderr."""
    messages.print(Text(_printable(text)), soft_wrap=True)


def result(text: str) -> None:
    """A line somebody may want to pipe: to stdout."""
    results.print(Text(_printable(text)), soft_wrap=True)


def json_line(values: dict[str, Any]) -> None:
    """One object for another program, at once: to stderr."""
    print(json.dumps(values), file=sys.stderr, flush=True)


def show(table: Table) -> None:
    """A table of results, to stdout; where that is no terminal, one line a row."""
    wide = Console(highlight=False, width=_UNWRAPPED)
    if wide.is_terminal:
        # Too narrow a terminal wraps the lines itself; rich would cut words into letters.
        wide.width = max(results.width, wide.measure(table).minimum)
    wide.print(table)


def report(error: VsrdbError) -> None:
    """What was wrong and what helps, to stderr."""
    messages.print(
        Text("error: ", style="bold red").append(_printable(str(error)), style="default not bold"),
        soft_wrap=True,
    )
    if error.hint:
        messages.print(
            Text("hint: ", style="bold").append(_printable(error.hint), style="default not bold"),
            soft_wrap=True,
        )


def _printable(text: str) -> str:
    """Control characters of file names and metadata spelled out: they could rewrite the screen."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def fail(error: VsrdbError) -> NoReturn:
    """Report and end with status 1."""
    report(error)
    sys.exit(1)


class OnFrame(Protocol):
    def __call__(self, done: int, total: int | None) -> None: ...


class _Rate(ProgressColumn):
    """Frames per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f} fps" if speed else "- fps", style="progress.data.speed")


@contextmanager
def progress(description: str, *, quiet: bool = False) -> Iterator[OnFrame]:
    """A bar with frames, rate and time left, on stderr, where that is a terminal.

    Yields a function to call after every frame; the total may be unknown (None).
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns,
        console=messages,
        transient=True,
        disable=quiet or not messages.is_terminal,
        speed_estimate_period=60,
    )
    with bar:
        task = bar.add_task(description, total=None)

        def on_frame(done: int, total: int | None) -> None:
            # A container's promise may be short: never show more frames than there are.
            shown = max(total, done) if total is not None else None
            bar.update(task, completed=done, total=shown)

        yield on_frame


def human_bytes(count: float) -> str:
    """1536 -> "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
