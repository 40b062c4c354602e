"""The lock of a work folder: the system's, or a file on a disk without locks, such as some NFS.

A folder is used only if it is ours: others must not be able to have made or changed it.
"""

from __future__ import annotations

import errno
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from vsrdb_cli.errors import OutputError

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# Names of all that vsrdb puts there begin so; systems have hidden files of their own.
_FILES = ("lock", "holder", "journal.json", "segment-", "joined", ".")
_FOLDERS = ("segment-", "joined", ".vsrdb-")
# Errors of systems on a disk without locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class FolderLock:
    """A lock that one process holds at a time.

    Attributes:
        notice: a line for the user, once the lock is held; None for an ordinary lock.
        files: its own files in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The holder is written to a file of its own: a locked one cannot be read everywhere.
        self._file, self._holder_file = folder / "lock", folder / "holder"
        self._stand_in = folder / "lock.soft"
        self.files = (self._file, self._stand_in, self._holder_file)
        self.notice: str | None = None
        self._lock: BaseFileLock = FileLock(
            self._file, timeout=0, thread_local=False, fallback_to_soft=False
        )
        self._opened: int | None = None  # the folder itself, whatever its name leads to later

    def take(self) -> None:
        """Take the lock; create the folder if it is not there.

        Raises:
            OutputError: another process holds it, or the folder cannot be created or locked, or is
                not ours.
        """
        made = False
        while True:
            try:
                made |= self._make_or_check()
                with suppress(FileNotFoundError):  # its last holder has just removed the folder
                    self._lock.acquire()
                    self._open()
                    break
            except Timeout:
                raise self._held() from None
            except OSError as error:
                if error.errno in _NO_LOCKS and self.notice is None:
                    self._use_file()
                    continue
                if made:
                    self._remove_folder()
                raise OutputError(
                    f"cannot create and lock the work folder {self._folder}: {error.strerror}",
                    hint="choose another output folder",
                ) from error
        where = f" on {platform.node()}" if self.notice else ""
        with suppress(OSError):  # the holder is information only, and the disk may be full
            holder = os.open(self._holder_file, _WRITE, 0o644)
            with os.fdopen(holder, "w", encoding="utf-8") as file:
                file.write(f"{os.getpid()}{where}")

    def _make_or_check(self) -> bool:
        """Create the folder, or check the one that is there; return whether it was created."""
        while True:
            try:
                self._folder.mkdir(mode=0o755)  # not writable for the group, whatever the umask
            except FileExistsError:
                with suppress(FileNotFoundError):
                    check_ours(self._folder)
                    return False
            else:
                return True

    def _open(self) -> None:
        """Open the folder that is checked and locked; what was checked before is checked again."""
        if os.name == "nt":  # where a folder with an open file in it keeps its name
            return
        try:
            self._opened = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            check_ours(self._folder)
            self.require_same()
        except BaseException:
            self._close()
            self._lock.release()
            raise

    def _close(self) -> None:
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def require_same(self) -> None:
        """Check that the folder's name still leads to the folder that was locked.

        Raises:
            OutputError: it leads to another; who may write beside it can rename it.
            FileNotFoundError: it is gone.
        """
        if self._opened is not None and not os.path.samestat(
            os.fstat(self._opened), os.lstat(self._folder)
        ):
            raise OutputError(
                f"the work folder {self._folder} was replaced by another one during the run",
                hint=f"check who may write to {self._folder.parent}, or choose another folder",
            )

    def release(self, *, with_folder: bool) -> None:
        """Release the lock and, if asked, remove the folder, which must hold nothing else."""
        # Once released, the lock could be another's when its folder is removed. Windows does not
        # remove open files, and without locks it is the file itself that shows who holds it.
        first = os.name != "nt" and self.notice is None
        if with_folder and first:
            self._remove_folder()
        self._close()
        self._lock.release()
        if with_folder and not first:
            self._remove_folder()

    def _use_file(self) -> None:
        # The file names process and machine; one left by an ended process of this machine is
        # taken over.
        self._lock = SoftFileLock(self._stand_in, timeout=0, thread_local=False)
        self.notice = (
            f"the disk of {self._folder.parent} does not support locks; a file is used instead:"
            " do not restore the same output on another machine at the same time"
        )

    def _held(self) -> OutputError:
        try:
            holder = self._holder_file.read_text(encoding="utf-8") or "unknown"
        except (OSError, ValueError):
            holder = "unknown"
        hint = "wait for it to end, or choose another output"
        if self.notice:
            hint += f"; if it is no longer running: rm '{self._stand_in}'"
        return OutputError(f"another vsrdb (process {holder}) is working on this output", hint=hint)

    def _remove_folder(self) -> None:
        with suppress(OSError):  # another process uses it already
            self._file.unlink(missing_ok=True)
            self._folder.rmdir()


def check_ours(folder: Path) -> None:
    """Check that an existing work folder is ours, before anything in it is opened.

    Raises:
        OutputError: it is a link, belongs to another user, or others may write to it; or something
            in it is or does so, or is not vsrdb's.
        FileNotFoundError: it no longer exists.
    """
    problem = _problem(folder, os.lstat(folder)) or next(_strange(folder), None)
    if problem:
        raise OutputError(
            f"the work folder {folder} is not trusted: {problem}",
            hint="look at it, then remove it or choose another output",
        )


def _problem(folder: Path, found: os.stat_result) -> str | None:
    if not stat.S_ISDIR(found.st_mode):
        return "it is a link" if stat.S_ISLNK(found.st_mode) else "it is not a folder"
    if not hasattr(os, "geteuid"):  # Windows, where neither number means anything
        return None
    if found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE:
        return None
    # On disks without users or permissions a new folder looks like all others.
    trial = Path(tempfile.mkdtemp(prefix=".vsrdb-", dir=folder.parent))
    ours = trial.stat()
    trial.rmdir()
    if found.st_uid != ours.st_uid:
        return "it belongs to another user"
    if found.st_mode & _OTHERS_WRITE & ~ours.st_mode:
        return "other users may write to it"
    return None


def _strange(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the entries of a folder, as text."""
    owner = os.lstat(folder).st_uid
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # the process that holds the lock is at work
            if entry.is_dir(follow_symlinks=False):
                known = entry.name.startswith(_FOLDERS)
                for file in os.scandir(entry):
                    yield from _problems_of(file, owner, known=not file.is_dir())
            else:
                known = entry.name.startswith(_FILES)
            yield from _problems_of(entry, owner, known=known)


def _problems_of(entry: os.DirEntry[str], owner: int, *, known: bool) -> Iterator[str]:
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        yield f"{entry.name} in it is a link"
    elif found.st_uid != owner:
        yield f"{entry.name} in it belongs to another user"
    elif not known or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        yield f"{entry.name} in it is not one of vsrdb's files"
