"""Find PyTorch files from strangers, and read them without trusting them.

Pickles are read with `weights_only=True`, archives in memory, and sizes are limited.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vsrdb_cli.checkpoints.architecture import in_short
from vsrdb_cli.errors import CheckpointError, VsrdbError

# A released file with its optimiser state is about 120 MB; what claims more is no checkpoint.
SIZE_LIMIT = 1 << 28
# Trained weights hardly get smaller by compression; what expands more than this is no checkpoint.
_EXPANSION = 20
_MOST_MEMBERS = 10_000

WANTED = "expected model_D_best.pt and model_R_best.pt"
AGAIN = "download both files again from the FMA-Net authors' page"

_RELEASED_NAMES = ("model_D_best.pt", "model_R_best.pt")


@dataclass(frozen=True)
class Pickle:
    """A PyTorch file on disk, or a member of an archive held in memory."""

    name: str
    content: Path | bytes

    @property
    def short_name(self) -> str:
        return PurePosixPath(self.name).name

    def open(self) -> io.BufferedReader | io.BytesIO:
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        return self.content.open("rb")

    def sha256(self) -> str:
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def load(self) -> Any:
        """Unpickle tensors, numbers, lists and dicts, and refuse everything else.

        Raises:
            CheckpointError: the file asks for more, is damaged or too large, or cannot be read.
        """
        import torch

        try:
            archive = self._check_archive()
            # Only files of PyTorch's newer kind, archives, can be mapped instead of read.
            mapped = archive and isinstance(self.content, Path)
            with self.open() as file, warnings.catch_warnings(action="ignore"):
                source: Any = self.content if mapped else file
                return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
        except VsrdbError:
            raise
        # Damaged bytes make an unpickler raise anything; whatever it was, nothing came of it.
        except Exception as error:
            raise self._refusal(error) from error

    def _check_archive(self) -> bool:
        """Return whether the file is an archive; raise if it is damaged or unpacks to too much."""
        with self.open() as file:
            size = file.seek(0, io.SEEK_END)
            if not zipfile.is_zipfile(file):
                _check_size(self.name, size)
                return False
            with zipfile.ZipFile(file) as members:
                _check_members(self.name, members.infolist())
                # torch.load does not compare checksums: a changed byte would become a weight.
                damaged = members.testzip()
        if damaged:
            raise zipfile.BadZipFile(damaged)
        return True

    def _refusal(self, error: Exception) -> CheckpointError:
        if isinstance(error, OSError) and error.strerror:
            return CheckpointError(f"{self.name} cannot be read: {error.strerror}", hint=AGAIN)
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            return CheckpointError(
                f"{self.name} tries to load '{asked[1]}'; a checkpoint holds tensors,"
                " numbers, lists and dicts only",
                hint=f"it could run any program: delete it and {AGAIN}",
            )
        return CheckpointError(
            f"{self.name} is not a complete PyTorch checkpoint of tensors and numbers; {WANTED}",
            hint=AGAIN,
        )


def find_pair(sources: Sequence[Path]) -> list[Pickle]:
    """Find the two files of a released pair."""
    for source in sources:
        if not source.exists():
            raise CheckpointError(f"{source} does not exist", hint=AGAIN)
    if len(sources) == 2 and all(source.is_file() for source in sources):
        return [Pickle(str(source), source) for source in sources]
    if len(sources) == 1 and sources[0].is_dir():
        folder = sources[0]
        found = [
            path for path in sorted(folder.rglob("*")) if path.is_file() and _is_pickle(path.name)
        ]
        chosen = _choose_pair({str(path): path.name for path in found}, folder)
        return [Pickle(name, Path(name)) for name in chosen]
    # A PyTorch file is a zip archive too, but of its tensors.
    archive = sources[0]
    alone = len(sources) == 1 and archive.is_file() and not _is_pickle(archive.name)
    if alone and zipfile.is_zipfile(archive):
        return _pair_in_archive(archive)
    raise CheckpointError(
        f"{' '.join(map(str, sources))}: not a pair; {WANTED}",
        hint="give the two files, or one folder or zip archive that holds them",
    )


def _pair_in_archive(path: Path) -> list[Pickle]:
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _MOST_MEMBERS:
                raise _too_many(str(path), len(archive.infolist()))
            members = {
                member.filename: member
                for member in archive.infolist()
                if _is_pickle(PurePosixPath(member.filename).name)
            }
            names = {name: PurePosixPath(name).name for name in members}
            chosen = _choose_pair(names, path)
            return [
                Pickle(f"{path}/{name}", _read_member(archive, members[name], path))
                for name in chosen
            ]
    except VsrdbError:
        raise
    # zipfile raises a dozen kinds for damage, passwords and methods it does not know.
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a readable zip archive: {error}", hint=AGAIN
        ) from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    """Read a member; more bytes than it declares are never unpacked."""
    _check_members(f"{path}/{member.filename}", [member])
    with archive.open(member) as file:
        return file.read()


def _is_pickle(name: str) -> bool:
    """Recognise a pickle by its name; "._NAME" is what macOS puts beside NAME in archives."""
    return name.lower().endswith((".pt", ".pth")) and not name.startswith("._")


def _choose_pair(names: Mapping[str, str], where: Path) -> list[str]:
    """Choose from `names` (full: file name) the only two, or the two with the released names."""
    if len(names) == 2:
        return list(names)
    released = [name for name in names if names[name] in _RELEASED_NAMES]
    if len({names[name] for name in released}) == len(released) == 2:
        return released
    found = in_short(list(names)) or "none"
    raise CheckpointError(
        f"{where} holds {len(names)} PyTorch files ({found}); {WANTED}",
        hint="give the two files themselves",
    )


def _check_members(name: str, members: Sequence[zipfile.ZipInfo]) -> None:
    """Check that members are safe to unpack."""
    if len(members) > _MOST_MEMBERS:
        raise _too_many(name, len(members))
    size = sum(member.file_size for member in members)
    _check_size(name, size)
    packed = sum(member.compress_size for member in members)
    if size > (1 << 20) and size > _EXPANSION * packed:
        raise CheckpointError(
            f"{name} unpacks to {size >> 20} MiB from {packed >> 10} KiB, more than any weights do",
            hint=AGAIN,
        )


def _too_many(name: str, count: int) -> CheckpointError:
    return CheckpointError(
        f"{name} is an archive of {count} files, expected at most {_MOST_MEMBERS}", hint=AGAIN
    )


def _check_size(name: str, size: int) -> None:
    if size > SIZE_LIMIT:
        raise CheckpointError(
            f"{name} unpacks to {size >> 20} MiB, expected at most {SIZE_LIMIT >> 20} MiB",
            hint=AGAIN,
        )
