"""Disks: flushing what must survive a power cut, and turning their errors into messages."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsrdb_cli.errors import OutputError

RESUME_HINT = "check its disk or network, then run the same command again; finished work is kept"
_OF_NAMES = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM}  # `reachable` has messages for them
# Errors of disks that cannot flush a folder.
_NO_FLUSHING = {
    *(errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM),
}


@contextmanager
def resumable(path: Path | str) -> Iterator[None]:
    """Turn the system's errors that have no message of their own yet into one.

    Raises:
        OutputError: the system refuses to read or write something, perhaps for a while.
    """
    try:
        yield
    except BrokenPipeError:  # of who reads what we print
        raise
    except OSError as error:
        name = error.filename if isinstance(error.filename, str | bytes) else None
        if error.errno is None or (name is not None and error.errno in _OF_NAMES):
            raise
        where = path if name is None else os.fsdecode(name)
        raise OutputError(
            f"{where} cannot be read or written: {error.strerror or error}", hint=RESUME_HINT
        ) from error


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or a folder and the files in it, would survive a power cut."""
    folder = path.is_dir()
    for file in path.iterdir() if folder else (path,):
        with file.open("rb+") as handle:  # to be written to, or Windows does not flush it
            os.fsync(handle.fileno())
    if folder:
        flush_names(path)


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder would survive a power cut, where its disk can tell."""
    if os.name == "nt":  # which opens no folders
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_FLUSHING:
            raise
    finally:
        os.close(opened)
