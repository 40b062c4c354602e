"""Paths that are not files on a disk: named pipes, devices, and descriptors that are open already.

A file is replaced as a whole; these are written to, and read once, from beginning to end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from vsrdb_cli.errors import OutputError

# How long a program may take to open the other end of a named pipe. Without a limit, a pipe that
# nothing reads would look like a run that hangs.
PATIENCE_SECONDS = 5.0

FIFO, SOCKET, DISK, DEVICE = "a named pipe", "a socket", "a disk", "a device"
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, FIFO),
    (stat.S_ISSOCK, SOCKET),
    (stat.S_ISBLK, DISK),
    (stat.S_ISCHR, DEVICE),
)
STDOUT = 1  # its descriptor
_LINKS = 40  # as many as the system follows


def special_kind(path: Path) -> str | None:
    """Describe what is at a path; None for files, folders, and if nothing is there."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return next((words for is_of, words in _KINDS if is_of(mode)), None)


def descriptor_of(path: Path) -> int | None:
    """Return the descriptor that a path such as /dev/stdout or /dev/fd/3 stands for, or None."""
    ours = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")}
    name = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - a Path loses no ".." by links
    for _ in range(_LINKS):
        folder, last = os.path.split(name)
        if os.path.realpath(folder) in ours:
            return int(last) if last.isdecimal() else None
        try:
            name = os.path.join(folder, os.readlink(name))  # noqa: PTH115, PTH118
        except (OSError, ValueError):
            return None
    return None


def is_written_through(path: Path) -> bool:
    """Return whether a path is written to; any other is replaced by a new file."""
    return special_kind(path) is not None or descriptor_of(path) is not None


def check_written_through(path: Path) -> None:
    """Check that a pipe, a device or an open file can be written to.

    Raises:
        OutputError: it is a disk or a socket, closed, or permissions forbid it.
    """
    descriptor = descriptor_of(path)
    if descriptor is not None:
        import fcntl  # here: what has such names has it

        try:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                return
        except OSError:
            pass
        raise OutputError(f"{path} is closed", hint="choose another output")
    kind = special_kind(path)
    if kind in (DISK, SOCKET):
        raise OutputError(f"{path} is {kind}, not a file", hint="choose another output")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path} is not writable", hint="choose another output")


def read_text(path: Path, encoding: str, limit: int) -> str:
    """Read all the text of a file, a pipe or a device.

    Args:
        limit: in bytes.

    Raises:
        OSError: it cannot be read, or is longer than `limit`.
        UnicodeDecodeError: it is not text in `encoding`.
    """
    special = special_kind(path) is not None
    with open_through(path, "rb") if special else path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # a device may have no end
        raise OSError(errno.EFBIG, f"it is longer than {limit} bytes")
    return data.decode(encoding)


def open_through(path: Path, mode: str) -> BinaryIO:
    """Open a pipe, a device or an open file, to read ("rb") or write ("wb") it.

    Raises:
        OSError: it cannot be opened, or no program has opened the other end of a named pipe.
    """
    descriptor = descriptor_of(path)
    if descriptor is not None:
        # Opened by its name, a file would start again, and a socket would not open at all.
        return os.fdopen(os.dup(descriptor), mode)  # type: ignore[return-value]
    if special_kind(path) != FIFO:
        return path.open(mode)  # type: ignore[return-value]
    opening: Future[BinaryIO] = Future()
    # A daemon: where the wait cannot be ended, the program still can.
    Thread(target=_open, args=(path, mode, opening), daemon=True).start()
    try:
        return opening.result(PATIENCE_SECONDS)
    except TimeoutError:
        does = "reads from" if mode == "wb" else "writes to"
        raise TimeoutError(errno.ETIMEDOUT, f"no program {does} this named pipe") from None
    finally:
        if not opening.done():
            opening.add_done_callback(lambda late: late.exception() or late.result().close())
            # The other end, opened by ourselves, ends the wait.
            other = os.O_RDONLY if mode == "wb" else os.O_WRONLY
            with suppress(OSError):
                os.close(os.open(path, other | os.O_NONBLOCK))


def _open(path: Path, mode: str, opening: Future[BinaryIO]) -> None:
    try:
        opening.set_result(path.open(mode))  # type: ignore[arg-type]
    except OSError as error:
        opening.set_exception(error)
