"""The lock of a work folder: the system's, or a file where its disk has none, as NFS may not."""

from __future__ import annotations

import errno
import os
import platform
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from vsrdb_cli.errors import OutputError
from vsrdb_cli.jobs.folder_trust import check_ours

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
# What systems say of a disk without locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class FolderLock:
    """Held by one process at a time.

    Attributes:
        notice: what is to be said of it once it is held, in one line.
        files: in the folder, that are its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Who holds it has a file of its own, since a locked one cannot be read everywhere.
        self._file, self._holder_file = folder / "lock", folder / "holder"
        self._stand_in = folder / "lock.soft"
        self.files = (self._file, self._stand_in, self._holder_file)
        self.notice: str | None = None
        self._lock: BaseFileLock = FileLock(
            self._file, timeout=0, thread_local=False, fallback_to_soft=False
        )
        self._opened: int | None = None  # the folder itself, whatever its name leads to later

    def take(self) -> None:
        """Take the lock; the folder is made if it is not there.

        Raises:
            OutputError: another process holds it, or the folder cannot be made or locked, or is not
                ours.
        """
        made = False
        while True:
            try:
                made |= self._make_or_check()
                with suppress(FileNotFoundError):  # whoever held it has just removed the folder
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
                    f"the work folder {self._folder} cannot be made and locked: {error.strerror}",
                    hint="choose another output folder",
                ) from error
        where = f" on {platform.node()}" if self.notice else ""
        with suppress(OSError):  # who holds it is only said, and the disk may be full
            holder = os.open(self._holder_file, _WRITE, 0o644)
            with os.fdopen(holder, "w", encoding="utf-8") as file:
                file.write(f"{os.getpid()}{where}")

    def _make_or_check(self) -> bool:
        """Have the folder there; whether it was made now."""
        while True:
            try:
                self._folder.mkdir(mode=0o755)  # not the group's, whatever its usual mode
            except FileExistsError:
                with suppress(FileNotFoundError):
                    check_ours(self._folder)
                    return False
            else:
                return True

    def _open(self) -> None:
        """Have hold of the folder that is checked and locked; what came before is checked anew."""
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
        """Whether the folder's name still leads to the one that was locked.

        Raises:
            OutputError: to another: who may write beside it can rename it.
            FileNotFoundError: to none.
        """
        if self._opened is not None and not os.path.samestat(
            os.fstat(self._opened), os.lstat(self._folder)
        ):
            raise OutputError(
                f"the work folder {self._folder} was replaced by another one during the run",
                hint=f"see who may write to {self._folder.parent}, or choose another folder",
            )

    def release(self, *, with_folder: bool) -> None:
        """Let it go, and remove the folder, which holds nothing else by then."""
        # A lock let go before could be another's when its folder goes. A file that is open does not
        # go in Windows, and the file that stands in is what tells that the lock is held.
        first = os.name != "nt" and self.notice is None
        if with_folder and first:
            self._remove_folder()
        self._close()
        self._lock.release()
        if with_folder and not first:
            self._remove_folder()

    def _use_file(self) -> None:
        # It holds process and machine: one left by a process of this machine that has ended is
        # taken over.
        self._lock = SoftFileLock(self._stand_in, timeout=0, thread_local=False)
        self.notice = (
            f"the disk of {self._folder.parent} has no locks, and a file stands in for one: do not"
            " restore the same output on another machine at the same time"
        )

    def _held(self) -> OutputError:
        try:
            holder = self._holder_file.read_text(encoding="utf-8") or "unknown"
        except (OSError, ValueError):
            holder = "unknown"
        hint = "wait for it to end, or choose another output"
        if self.notice:
            hint += f"; if it runs no longer: rm '{self._stand_in}'"
        return OutputError(f"another vsrdb (process {holder}) is working on this output", hint=hint)

    def _remove_folder(self) -> None:
        with suppress(OSError):  # another process has come by
            self._file.unlink(missing_ok=True)
            self._folder.rmdir()
