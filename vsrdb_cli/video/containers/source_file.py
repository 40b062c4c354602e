"""A file that FFmpeg reads through us: an error of the system is told from damage of the file."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vsrdb_cli.disks import RESUME_HINT
from vsrdb_cli.errors import VideoError


class SourceFile(io.FileIO):
    """A file whose content the system may refuse.

    FFmpeg's formats make an error of reading into the end of the file, or into damage, and give
    errors of the system for damage. Here it is raised as what it is, by PyAV on return from
    whatever has read; only the first one, since FFmpeg may read on before it returns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        super().__init__(path, "rb")

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; b"" at the end, and after an error.

        Raises:
            VideoError: the system cannot give them.
        """
        if self._failed:
            return b""
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            self._failed = True
            raise unreadable(self._path, error) from error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; -1 where there is none, as damaged files ask for some before the first.

        Raises:
            VideoError: the system cannot go there.
        """
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return -1
            self._failed = True
            raise unreadable(self._path, error) from error


def opener(path: Path, name: str) -> Callable[[str, int, Mapping[str, str]], Any]:
    """What opens a file for FFmpeg; other names that are asked for by its formats are refused.

    Args:
        name: what FFmpeg calls it.
    """

    def open_named(asked: str, flags: int, options: Mapping[str, str]) -> SourceFile:  # noqa: ARG001
        if asked != name:
            raise VideoError(
                f"{path} is a list of other files, such as {asked.removeprefix('file:')}",
                hint="give the file itself that holds the video",
            )
        try:
            return SourceFile(path)
        except OSError as error:
            raise unreadable(path, error) from error

    return open_named


def unreadable(path: Path, error: OSError) -> VideoError:
    """What to say where the system, not the content of a file, is to blame."""
    return VideoError(f"{path} cannot be read: {error.strerror or error}", hint=RESUME_HINT)
