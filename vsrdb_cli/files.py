"""Outputs: checked early, and written under a temporary name until they are complete."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vsrdb_cli.disks import flush_names, flush_to_disk
from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.names import fitting
from vsrdb_cli.pipes import (
    DEVICE,
    check_written_through,
    is_written_through,
    open_through,
    special_kind,
)

MEBIBYTE = 1 << 20
# Sound, indices, and whatever else is written beside pictures.
SPARE_BYTES = 16 * MEBIBYTE
DISK_HINT = "check the free space of the disk and how large its files may be, then start again"
_HINTS = {
    # From FFmpeg for what a format cannot hold.
    errno.EINVAL: "it cannot hold such times: give the source another rate: ffmpeg -r 25 -i IN OUT",
    errno.ENAMETOOLONG: "choose a shorter name, or a folder that is not so deep",
    errno.ETIMEDOUT: "start the program that reads it first",
    errno.EPIPE: "check the program that reads it",
}


def check_file(path: Path, source: Path, *, overwrite: bool) -> None:
    """Check that an output can be written at `path`.

    Raises:
        OutputError: it is the source, exists, or its folder is not writable.
    """
    if is_written_through(path):
        check_written_through(path)
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="give a file name in it")
    check_folder(followed(path).parent)
    if path.exists():
        if source.exists() and path.samefile(source):
            raise OutputError(
                f"{path} is the input itself",
                hint="choose another output; the input is never changed",
            )
        if not overwrite:
            raise OutputError(f"{path} exists already", hint="add --overwrite to replace it")


def check_folder(folder: Path) -> None:
    """Check that files can be created in `folder`.

    Raises:
        OutputError: it is missing or not writable.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", hint="choose another output folder")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p '{folder}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"the folder {folder} is not writable", hint="choose another output folder"
        )


def check_apart(folder: Path, source: Path) -> None:
    """Check that a folder can be replaced without touching the source.

    Raises:
        OutputError: it is the source, or the source is in it.
    """
    if source.resolve().is_relative_to(folder.resolve()):
        raise OutputError(
            f"{folder} is the input itself, or contains it", hint="choose another folder"
        )


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths are, or would be, the same file; a device is not a file."""
    if special_kind(one) == DEVICE:
        return False
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def check_writable(path: Path) -> None:
    """Check that a file beside the output, such as a report, can be written; it may exist.

    Raises:
        OptionError: it is a folder, or its folder is missing or not writable.
    """
    if path.is_dir():
        raise OptionError(f"{path} is a folder", hint="give a file name in it")
    try:
        if is_written_through(path):
            check_written_through(path)
            return
        check_folder(followed(path.absolute()).parent)
    except OutputError as error:
        raise OptionError(str(error), hint=error.hint) from error
    if path.exists() and not os.access(path, os.W_OK):
        raise OptionError(f"{path} is not writable", hint="choose another file")


def is_there(target: Path) -> bool:
    """Return whether an output exists; for a folder, whether it holds pictures."""
    if target.is_dir():
        return any(file.suffix.lower() in (".png", ".tif", ".tiff") for file in target.iterdir())
    return target.exists()


def check_space(folder: Path, needed_bytes: float) -> None:
    """Check that a disk has room, by a low estimate.

    Raises:
        OutputError: it has too little.
    """
    free = shutil.disk_usage(folder).free
    needed = int(needed_bytes) + SPARE_BYTES
    if free < needed:
        raise OutputError(
            f"the disk of {folder} has {free // MEBIBYTE} MiB free, but the output needs about"
            f" {needed // MEBIBYTE} MiB",
            hint="free some space, or write to another disk",
        )


def hint_of(number: int | None) -> str:
    """Return the hint for a file that cannot be written, by the error's number."""
    return _HINTS.get(number or 0, DISK_HINT)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn errors of the disk into messages.

    Raises:
        OutputError: the disk is full, or fails for another reason.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=hint_of(error.errno),
        ) from error


def followed(path: Path) -> Path:
    """Return the path to write to: a symbolic link stays, and its target is replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def temporary_beside(path: Path) -> Path:
    """Return a short, hidden, unused name on the same file system.

    Files that a killed run on this machine left there for the same `path` are removed.
    """
    import psutil  # here: `vsrdb --help` needs this module, too

    path = followed(path)

    # The machine is part of the name, since another's processes cannot be seen from here.
    key = hashlib.sha256(f"{platform.node()}/{path.name}".encode(errors="surrogateescape"))
    begin = f".vsrdb-{key.hexdigest()[:8]}"
    for left in path.parent.glob(f"{begin}-*.part"):
        process = left.name.split("-")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            remove(left)
    return path.parent / f"{begin}-{os.getpid()}-{secrets.token_hex(4)}.part"


@contextmanager
def whole(path: Path, *, overwrite: bool = True, replaced: Container[str] = ()) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` when the block succeeds, and is else removed.

    A file of that name is replaced; a power cut leaves the one or the other. A device or a named
    pipe is written to instead. For a folder, `replaced` is as for `put_in_place`.

    Raises:
        OutputError: the disk is full, or fails for another reason; or a file of that name was
            created meanwhile, and is not to be replaced.
    """
    with writing(path):
        if is_written_through(path):
            with TemporaryDirectory(prefix="vsrdb-") as folder:
                temporary = Path(folder) / "file"
                yield temporary
                with open_through(path, "wb") as sink, temporary.open("rb") as written:
                    shutil.copyfileobj(written, sink)
            return
        temporary = temporary_beside(path.absolute())
        try:
            yield temporary
            put_in_place(temporary, path, overwrite=overwrite, replaced=replaced)
        except BaseException:
            remove(temporary)
            raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists; what the disk refuses stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def kept_beside(path: Path, temporary: Path, word: str) -> Path:
    """Keep a file that cannot have the output's name under one beside it; return that."""
    path = followed(path)
    return temporary.replace(path.with_name(fitting(path.stem, f".{word}{path.suffix}")))


def put_in_place(
    temporary: Path, path: Path, *, overwrite: bool, replaced: Container[str] = ()
) -> None:
    """Give a finished file or folder its name, so that a power cut loses nothing.

    The content is on the disk before the name. Before removing what it was made from, call
    `flush_names` on its folder.

    Args:
        overwrite: replace what has that name.
        replaced: lower-case suffixes of the files that a replaced folder may hold.

    Raises:
        OutputError: something was created there meanwhile; the new one is kept beside it.
    """
    path = followed(path).absolute()  # "." has no name
    flush_to_disk(temporary)
    if temporary.is_dir() and path.is_dir():
        there = list(path.iterdir())
        strange = [file for file in there if file.suffix.lower() not in replaced]
        if strange or (there and not overwrite):
            raise _kept(path, temporary, f"the folder {path} changed while vsrdb was running")
        # The current folder must not go.
        stays = path.samefile(Path.cwd())
        old = temporary_beside(path)
        try:
            if not stays:
                path.rename(old)
        except OSError:  # as where another disk begins
            stays = True
        if stays:
            _fill(path, temporary)
        else:
            temporary.rename(path)
            _flush_new_name(path)
            remove(old)
        return
    if path.exists() and (not overwrite or special_kind(path)):
        raise _kept(path, temporary, f"{path} was created while vsrdb was running")
    temporary.replace(path)
    _flush_new_name(path)


def _flush_new_name(path: Path) -> None:
    # What has its name is complete, whatever the disk says now; callers flush once more before
    # they remove what it was made from.
    with suppress(OSError):
        flush_names(path.parent)


def _fill(path: Path, temporary: Path) -> None:
    """Replace the content of a folder by that of another, which is then removed."""
    try:
        for file in path.iterdir():
            file.unlink()
        for file in temporary.iterdir():
            link_or_copy(file, path / file.name)
        flush_to_disk(path)
    except OSError as error:
        raise _kept(path, temporary, f"{path} cannot be filled: {error.strerror}") from error
    remove(temporary)


def link_or_copy(file: Path, target: Path) -> None:
    """Link a file to a second name, or copy it if that is on another disk or links do not work.

    Raises:
        FileExistsError: something has that name.
    """
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(file, target)


def _kept(path: Path, temporary: Path, problem: str) -> OutputError:
    kept = kept_beside(path, temporary, f"KEPT-{secrets.token_hex(4)}")
    return OutputError(problem, hint=f"the finished output is kept as {kept}")
