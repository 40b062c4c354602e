"""Errors a user can fix: what is wrong, and the step that helps.

The command prints message and hint and ends with a status (`commands/statuses.py`). A broken
promise between our own functions is a `ValueError` instead, and its traceback is shown.
"""

from __future__ import annotations

from vsrdb_cli.text import printable


class VsrdbError(Exception):
    """An error the user can fix.

    Args:
        message: what is wrong, with the value found and the value wanted. Unprintable characters,
            of names and metadata, are escaped: it is one line.
        hint: the step that helps, ready to paste; one line, too.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(printable(message))
        self.hint = None if hint is None else printable(hint)


class VideoError(VsrdbError):
    """The input cannot be read as a video or a sequence of pictures."""


class OutputError(VsrdbError):
    """The output cannot be written as asked."""


class CheckpointError(VsrdbError):
    """A checkpoint is missing, damaged, or not what its name says."""


class BackendError(VsrdbError):
    """A backend, device or precision is not available here."""


class OptionError(VsrdbError):
    """An option is not possible, or does not fit the others or the input; exit status 2."""


class ResourceError(VsrdbError):
    """The machine has too little memory."""


class ShapeError(ValueError):
    """A tensor does not have the shape its function requires."""
