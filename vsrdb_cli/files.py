"""Where an output goes: refused early if it cannot, under another name until it is whole."""

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
# Sound, indices, and whatever else one writes beside pictures.
SPARE_BYTES = 16 * MEBIBYTE
DISK_HINT = "check the free space of the disk and how large its files may be, then start again"
_HINTS = {
    # FFmpeg's word for what a format cannot hold.
    errno.EINVAL: "it cannot hold such times: give the source another rate: ffmpeg -r 25 -i IN OUT",
    errno.ENAMETOOLONG: "choose a shorter name, or a folder that is not so deep",
    errno.ETIMEDOUT: "start the program that reads it first",
    errno.EPIPE: "check the program that reads it",
}


def check_file(path: Path, source: Path, *, overwrite: bool) -> None:
    """Whether a file may be written at `path`, or what is no file there be written to.

    Raises:
        OutputError: it is the source, exists, or its folder cannot be written to.
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
    """Whether files can be made in `folder`.

    Raises:
        OutputError: it is missing or not writable.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", hint="choose another output folder")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p '{folder}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"the folder {folder} cannot be written to", hint="choose another output folder"
        )


def check_apart(folder: Path, source: Path) -> None:
    """Whether a folder may be replaced without the source being in it.

    Raises:
        OutputError: it is the source, or the source lies in it.
    """
    if source.resolve().is_relative_to(folder.resolve()):
        raise OutputError(
            f"{folder} is the input itself, or the folder it lies in", hint="choose another folder"
        )


def is_same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, by links or not, or would be; a device is no file."""
    if special_kind(one) == DEVICE:
        return False
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def check_writable(path: Path) -> None:
    """Whether a file beside the output, such as a report, can be written; it may be there.

    Raises:
        OptionError: it is a folder, or its folder is missing or cannot be written to.
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
        raise OptionError(f"{path} cannot be written to", hint="choose another file")


def is_there(target: Path) -> bool:
    """Whether an output is there; a folder may also be there for the sake of what is in it."""
    if target.is_dir():
        return any(file.suffix.lower() in (".png", ".tif", ".tiff") for file in target.iterdir())
    return target.exists()


def check_space(folder: Path, needed_bytes: float) -> None:
    """Whether a disk has room, by a low estimate.

    Raises:
        OutputError: it has not.
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
    """What helps where a file could not be written, by the error's number."""
    return _HINTS.get(number or 0, DISK_HINT)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Errors of the disk, in words.

    Raises:
        OutputError: the disk is full, or takes no more for another reason.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=hint_of(error.errno),
        ) from error


def followed(path: Path) -> Path:
    """Where an output is written: a symbolic link stays, and what it leads to is replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def temporary_beside(path: Path) -> Path:
    """A short, hidden, unused name on the same file system.

    What a killed run of this machine has left there for the same `path` is removed.
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
    """A name to write to, which becomes `path` when the block ends well; else it is removed.

    A file of that name is replaced; a power cut leaves either. What is no file, such as a device or
    a named pipe, is written to instead. For a folder, `replaced` as for `put_in_place`.

    Raises:
        OutputError: the disk is full, or takes no more for another reason; or a file of that name
            has come into being, and is not to be replaced.
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


def remove(path: Path) -> None:
    """Remove a file or a folder, whether it is there or not; what the disk refuses stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def kept_beside(path: Path, temporary: Path, word: str) -> Path:
    """Give what cannot have the name of an output one beside it that says so; returns that."""
    path = followed(path)
    return temporary.replace(path.with_name(fitting(path.stem, f".{word}{path.suffix}")))


def put_in_place(
    temporary: Path, path: Path, *, overwrite: bool, replaced: Container[str] = ()
) -> None:
    """Give a finished file or folder its name.

    In an order that a power cut cannot turn into a loss: the content is on the disk before the
    name. Whoever removes what it was made from calls `flush_names` on its folder before.

    Args:
        overwrite: whether what has that name is replaced.
        replaced: endings, in small letters, of the files that a folder may hold to be replaced.

    Raises:
        OutputError: something has come into being there meanwhile; the new one is kept beside.
    """
    path = followed(path).absolute()  # "." has no name
    flush_to_disk(temporary)
    if temporary.is_dir() and path.is_dir():
        there = list(path.iterdir())
        strange = [file for file in there if file.suffix.lower() not in replaced]
        if strange or (there and not overwrite):
            raise _kept(path, temporary, f"something was put into the folder {path} meanwhile")
        # Who stands in a folder would stand in one that is gone.
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
        raise _kept(path, temporary, f"{path} was created by another program meanwhile")
    temporary.replace(path)
    _flush_new_name(path)


def _flush_new_name(path: Path) -> None:
    # What has its name is whole, whatever the disk says now; who removes what it was made from
    # asks once more.
    with suppress(OSError):
        flush_names(path.parent)


def _fill(path: Path, temporary: Path) -> None:
    """Replace all that is in a folder by what is in another, which goes once all is there."""
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
    """Give a file a second name, or copy it where the disk has no links or is another.

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
