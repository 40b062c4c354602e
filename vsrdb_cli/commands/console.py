"""The only module that prints: results to stdout, everything else to stderr.

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
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.files import writing
from vsrdb_cli.text import printable

results = Console(highlight=False)
messages = Console(stderr=True, highlight=False)

_UNWRAPPED = 10_000


def can_draw() -> bool:
    """Return whether stderr is a terminal that can draw over what it shows."""
    dumb = messages.is_dumb_terminal or (os.name != "nt" and not os.environ.get("TERM"))
    return messages.is_terminal and not dumb


def say(text: str) -> None:
    """Print a message on stderr."""
    _message(text)


def warn(text: str) -> None:
    """Print on stderr what went wrong although the run continues."""
    _message(text, "warning: ", "bold yellow")


def report(error: VsrdbError, details: Sequence[str] = ()) -> None:
    """Print an error on stderr, with its hint, and further lines indented."""
    _message(str(error), "error: ", "bold red")
    if error.hint:
        messages.print(_marked("hint: " + printable(error.hint), "hint: ", "bold"), soft_wrap=True)
    for line in details:
        messages.print(Text("  " + printable(line)), soft_wrap=True)


def _message(text: str, mark: str = "", style: str = "") -> None:
    shown = mark + printable(text)
    if messages.is_terminal:
        # Rich would cut a word that is longer than a line: a path that nobody could copy.
        fill = partial(
            textwrap.fill, width=messages.width, break_long_words=False, break_on_hyphens=False
        )
        shown = fill(printable(text), initial_indent=mark)
    messages.print(_marked(shown, mark, style), soft_wrap=True)


def _marked(text: str, mark: str, style: str) -> Text:
    """Return `text` with `mark`, which it begins with, in a style."""
    marked = Text(text)
    marked.stylize(style, 0, len(mark))
    return marked


def json_line(values: dict[str, Any]) -> None:
    """Print an object for another program on stderr, and flush it."""
    print(_json(values), file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Print a line of the result on stdout."""
    with _stdout():
        results.print(Text(printable(text)), soft_wrap=True)


def json_result(values: object, **settings: Any) -> None:
    """Print an object for another program on stdout. settings: of `json.dumps`."""
    for line in _json(values, **settings).split("\n"):
        result(line)


def _json(values: object, **settings: Any) -> str:
    # In ASCII; of the characters that steer a terminal, json leaves one as it is.
    return json.dumps(values, **settings).replace("\x7f", "\\u007f")


class PlainTable:
    """A table of text without markup. A cell or heading is a line, or several.

    Args:
        settings: of `rich.table.Table`.
    """

    def __init__(self, **settings: Any) -> None:
        self._table = Table(**settings)

    def __rich__(self) -> Table:
        return self._table

    def add_column(self, header: str | Sequence[str] = "", **settings: Any) -> None:
        """Add a column. settings: of `rich.table.Column`."""
        self._table.add_column(_cell(header), **settings)

    def add_row(self, *cells: str | Sequence[str]) -> None:
        """Add a row."""
        self._table.add_row(*map(_cell, cells))

    def add_section(self) -> None:
        """Draw a line below the last row."""
        self._table.add_section()


def _cell(lines: str | Sequence[str]) -> Text:
    return Text("\n".join(map(printable, [lines] if isinstance(lines, str) else lines)))


def show(table: PlainTable) -> None:
    """Print a table of results on stdout; without a terminal, one line a row."""
    wide = Console(highlight=False, width=_UNWRAPPED)
    if wide.is_terminal:
        # Too narrow a terminal wraps the lines itself; rich would cut words into letters.
        wide.width = max(results.width, wide.measure(table).minimum)
    with _stdout():
        wide.print(table)


@contextmanager
def _stdout() -> Iterator[None]:
    """Raise `OutputError` where stdout is closed, or on a full disk."""
    if sys.stdout is None:
        raise OutputError("stdout is closed, but the result goes there", hint="omit >&-")
    with writing("stdout"):
        try:
            yield
        except OSError:
            # The rest of the buffer could not be written at the end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def take_closed_streams() -> None:
    """Stand in for the streams the program was started without (`<&-`), before it opens any file.

    Else a video could be opened under the number of stderr, and receive what libraries print there.
    The stand-ins can be neither read nor written, so that a closed stdin or stdout still differs
    from an empty or silent one; messages go nowhere.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # a file is opened under the lowest number that is free: this one
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def show_cursor() -> None:
    """Show the terminal's cursor again, whatever has hidden it."""
    messages.show_cursor(True)


def human_bytes(count: float) -> str:
    """Return 1536 as "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def human_seconds(seconds: float) -> str:
    """Return 5025 as "1:23:45", 75 as "1:15", 8.2 as "8 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
