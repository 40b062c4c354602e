"""Disks: what they are asked to keep for good, what is read of our own, and their errors."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsrdb_cli.errors import OutputError

RESUME_HINT = "check its disk or network, then run the same command again: what is finished is kept"
_OF_NAMES = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM}  # which `reachable` puts into words
# What disks say that cannot flush a folder.
_NO_FLUSHING = {
    *(errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM),
}
# A journal of a day with a scene cut every second has less than one mebibyte; a batch lists its
# inputs, some hundred bytes each.
LONGEST_RECORD = 64 << 20


@contextmanager
def resumable(path: Path | str) -> Iterator[None]:
    """Errors of the system that nobody else has put into words, wherever they come from.

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


def read_regular(path: Path, limit: int = LONGEST_RECORD) -> bytes:
    """The content of a file of our own kind, such as a journal, that anybody may have put there.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, or longer than `limit` bytes.
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe is not waited for
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("it is no file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return content


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
