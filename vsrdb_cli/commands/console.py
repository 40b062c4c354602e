"""The only place that prints: results to stdout, everything else to stderr.

All text goes through `printable`: a call prints one line, and nothing in it steers the terminal.
Messages are printed without markup. Results and hints are never wrapped, so that a path or a
command survives copying; other messages are, between words, where stderr is a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from rich.console import Console, RenderableType
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
from rich.table import Column, Table
from rich.text import Text

from vsrdb_cli.commands.suspension import drawn
from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.files import writing
from vsrdb_cli.text import printable

results = Console(highlight=False)
messages = Console(stderr=True, highlight=False)

_UNWRAPPED = 10_000
# From this width on a terminal has room for all columns of a bar.
_WIDE = 80


def can_draw() -> bool:
    """Whether stderr is a terminal that can draw over what it shows."""
    dumb = messages.is_dumb_terminal or (os.name != "nt" and not os.environ.get("TERM"))
    return messages.is_terminal and not dumb


def say(text: str) -> None:
    """A line for the user, not a result: to stderr."""
    _message(text)


def result(text: str) -> None:
    """A line somebody may want to pipe: to stdout."""
    with _stdout():
        results.print(Text(printable(text)), soft_wrap=True)


def json_line(values: dict[str, Any]) -> None:
    """One object for another program, at once: to stderr."""
    print(_json(values), file=sys.stderr, flush=True)


def json_result(values: Any, **settings: Any) -> None:
    """One object for another program: to stdout. settings: of `json.dumps`."""
    for line in _json(values, **settings).split("\n"):
        result(line)


def _json(values: Any, **settings: Any) -> str:
    # In ASCII; of what a terminal obeys, json leaves one character as it is.
    return json.dumps(values, **settings).replace("\x7f", "\\u007f")


class PlainTable(Table):
    """A table of texts without markup. A cell or heading is a line, or several."""

    def add_column(self, header: str | Sequence[str] = "", **settings: Any) -> None:  # type: ignore[override]
        super().add_column(_cell(header), **settings)

    def add_row(self, *cells: str | Sequence[str], **settings: Any) -> None:  # type: ignore[override]
        super().add_row(*map(_cell, cells), **settings)


def _cell(lines: str | Sequence[str]) -> Text:
    return Text("\n".join(map(printable, [lines] if isinstance(lines, str) else lines)))


def show(table: PlainTable) -> None:
    """A table of results, to stdout; where that is no terminal, one line a row."""
    wide = Console(highlight=False, width=_UNWRAPPED)
    if wide.is_terminal:
        # Too narrow a terminal wraps the lines itself; rich would cut words into letters.
        wide.width = max(results.width, wide.measure(table).minimum)
    with _stdout():
        wide.print(table)


def take_closed_streams() -> None:
    """Stand in for what the program was started without (`<&-`), before it opens any file.

    Else a video could be opened under the number of stderr, and get what libraries print there.
    What stands in cannot be read or written, so that a closed stdin or stdout is still told from an
    empty or silent one; messages go nowhere.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # a file is opened under the lowest number that is free: this one
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


@contextmanager
def _stdout() -> Iterator[None]:
    """A full disk under stdout, or none, as an `OutputError`."""
    if sys.stdout is None:
        raise OutputError("stdout is closed, and the result goes there", hint="omit >&-")
    with writing("stdout"):
        try:
            yield
        except OSError:
            # What is left in the buffer could not be written at the end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def report(error: VsrdbError, details: Sequence[str] = ()) -> None:
    """What was wrong and what helps, and lines that tell more, indented: to stderr."""
    _message(str(error), "error: ", "bold red")
    if error.hint:
        messages.print(_marked("hint: " + printable(error.hint), "hint: ", "bold"), soft_wrap=True)
    for line in details:
        messages.print(Text("  " + printable(line)), soft_wrap=True)


def warn(text: str) -> None:
    """Something that went wrong though the run went on: to stderr."""
    _message(text, "warning: ", "bold yellow")


def _marked(text: str, mark: str, style: str) -> Text:
    """`text`, which begins with `mark`."""
    marked = Text(text)
    marked.stylize(style, 0, len(mark))
    return marked


def _message(text: str, mark: str = "", style: str = "") -> None:
    shown = mark + printable(text)
    if messages.is_terminal:
        # Rich would cut a word that is longer than a line: a path that nobody could copy.
        fill = partial(
            textwrap.fill, width=messages.width, break_long_words=False, break_on_hyphens=False
        )
        shown = fill(printable(text), initial_indent=mark)
    messages.print(_marked(shown, mark, style), soft_wrap=True)


def show_cursor() -> None:
    """Give the terminal its cursor back, whatever had hidden it."""
    messages.show_cursor(True)


class OnFrame(Protocol):
    def __call__(self, done: int, total: int | None, below: str = "") -> None: ...


class _Rate(ProgressColumn):
    """Frames per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f} fps" if speed else "- fps", style="progress.data.speed")


class _Bar(Progress):
    """A bar, and a line of text below it where there is one."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.below:
            yield Text(printable(self.below), style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(description: str, *, quiet: bool = False) -> Iterator[OnFrame]:
    """A bar with frames, rate and time left, on stderr, where that is a terminal.

    Yields a function to call after every frame; the total may be unknown (None). `below` is a line
    below the bar.
    """
    wide = messages.width >= _WIDE
    name = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=name),
        *((BarColumn(bar_width=12),) if wide else ()),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _Rate(table_column=Column(no_wrap=True)),
        *((TimeElapsedColumn(),) if wide else ()),
        TimeRemainingColumn(compact=True),
    )
    bar = _Bar(
        *columns,
        console=messages,
        transient=True,
        disable=quiet or not can_draw(),
        speed_estimate_period=60,
        expand=True,
    )
    with drawn(bar) as follow:
        task = bar.add_task(printable(description), total=None)

        def on_frame(done: int, total: int | None, below: str = "") -> None:
            # A container's promise may be short: never show more frames than there are.
            shown = max(total, done) if total is not None else None
            bar.below = below
            bar.update(task, completed=done, total=shown)
            follow()

        yield on_frame


@contextmanager
def waiting(description: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner on stderr, where that is a terminal, at once."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=quiet or not can_draw(),
    )
    with drawn(bar):
        bar.add_task(printable(description), total=None)
        yield


class OnStep(Protocol):
    def __call__(self, step: str, detail: str = "") -> None: ...


@contextmanager
def steps(description: str) -> Iterator[OnStep]:
    """What is at work, on stderr: a spinner where that is a terminal, else a line for each step.

    Yields a function to call before every step with what it is, and when its detail changes.
    """
    if not can_draw():
        said: list[str] = []

        def on_step(step: str, detail: str = "") -> None:  # noqa: ARG001
            if step not in said[-1:]:
                said.append(step)
                say(f"{description}: {step}")

        yield on_step
        return
    name = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=name),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        expand=True,
    )
    with drawn(bar) as follow:
        task = bar.add_task(printable(description), total=None)

        def show_step(step: str, detail: str = "") -> None:
            words = f"{description}: {step}" + (f", {detail}" if detail else "")
            bar.update(task, description=printable(words))
            follow()

        yield show_step


def human_bytes(count: float) -> str:
    """1536 -> "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def human_seconds(seconds: float) -> str:
    """5025 -> "1:23:45", 75 -> "1:15", 8.2 -> "8 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
