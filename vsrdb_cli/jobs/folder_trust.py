"""Whether a work folder is ours: only what nobody else can have made or changed is gone on from."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vsrdb_cli.errors import OutputError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# How the names begin of all that is put there; hidden files are also systems' own.
_FILES = ("lock", "holder", "journal.json", "segment-", "joined", ".")
_FOLDERS = ("segment-", "joined", ".vsrdb-")


def check_ours(folder: Path) -> None:
    """Whether a work folder that is there can be trusted, before anything in it is opened.

    Raises:
        OutputError: it is a link, belongs to another user, or may be written to by others; or so
            does something in it, or it is not a work folder's.
        FileNotFoundError: it has gone meanwhile.
    """
    problem = _problem(folder, os.lstat(folder)) or next(_strange(folder), None)
    if problem:
        raise OutputError(
            f"the work folder {folder} is not trusted: {problem}",
            hint="see what it is, and remove it or choose another output",
        )


def _problem(folder: Path, found: os.stat_result) -> str | None:
    if not stat.S_ISDIR(found.st_mode):
        return "it is a link" if stat.S_ISLNK(found.st_mode) else "it is no folder"
    if os.name == "nt":  # where neither number says anything
        return None
    if found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE:
        return None
    # Some disks know no users or permissions, and what is made there looks like all the rest.
    trial = Path(tempfile.mkdtemp(prefix=".vsrdb-", dir=folder.parent))
    ours = trial.stat()
    trial.rmdir()
    if found.st_uid != ours.st_uid:
        return "it belongs to another user"
    if found.st_mode & _OTHERS_WRITE & ~ours.st_mode:
        return "other users may write to it"
    return None


def _strange(folder: Path) -> Iterator[str]:
    """What is in a folder and can be none of ours, in words."""
    owner = os.lstat(folder).st_uid
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # whoever holds the lock works on
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
        yield f"{entry.name} in it is none of vsrdb's files"
