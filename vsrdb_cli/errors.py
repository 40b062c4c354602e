"""Errors a user can put right: what was wrong, and the step that helps.

The command prints message and hint and ends with a status (`commands/statuses.py`). A broken
promise between our own functions is a `ValueError` instead, and its traceback is shown.
"""

from __future__ import annotations


class VsrdbError(Exception):
    """Something the user can put right.

    Args:
        message: what was wrong, with the value found and the value wanted; one line.
        hint: the step that helps, ready to paste; one line.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class VideoError(VsrdbError):
    """The input cannot be read as a video or a sequence of pictures."""


class OutputError(VsrdbError):
    """The output cannot be written as asked."""


class CheckpointError(VsrdbError):
    """A checkpoint is missing, damaged, or not what its name says."""


class BackendError(VsrdbError):
    """A backend, device or precision asked for cannot be had here."""


class OptionError(VsrdbError):
    """Options that do not fit each other or the input; the command ends with 2."""


class ResourceError(VsrdbError):
    """The machine has too little memory for the work."""


class ShapeError(ValueError):
    """A tensor has not the shape its function asks for."""
