"""The work folder of a job: its lock, and the journal of what is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.documents import read_json
from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.files import remove, whole
from vsrdb_cli.jobs.folder_lock import FolderLock
from vsrdb_cli.jobs.plan import Plan
from vsrdb_cli.jobs.typed import made_of
from vsrdb_cli.pipeline.tiling import BLEND, CONTEXT
from vsrdb_cli.video.frame import ReadReport
from vsrdb_cli.video.pictures.formats import picture_files

# How much of a file's beginning and of its end says that it is still the same one.
_SAMPLE_BYTES = 1 << 20
_FORMAT = 1


def identity(source: Path) -> dict[str, str]:
    """What tells an input from another or a changed one, by names a user knows."""
    if source.is_dir():
        lines = [
            f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}"
            for file in picture_files(source)
        ]
        digest = hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
        return {"input": f"a folder of {len(lines)} pictures, {digest[:16]}"}
    stat = source.stat()
    digest_of = hashlib.sha256()
    with source.open("rb") as file:
        digest_of.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, stat.st_size - _SAMPLE_BYTES))
        digest_of.update(file.read(_SAMPLE_BYTES))
    modified = datetime.fromtimestamp(stat.st_mtime_ns / 1e9, UTC)
    return {
        "size of the input": f"{stat.st_size} bytes",
        "date of the input": modified.isoformat(" ", "microseconds"),
        "content of the input": f"sha256 {digest_of.hexdigest()[:16]} of head and tail",
    }


def require_unchanged(source: Path, known: Mapping[str, str]) -> None:
    """Whether a source is what it was.

    Args:
        known: its `identity` then, perhaps among other facts.

    Raises:
        VideoError: it is not; says in what.
    """
    now = identity(source)
    changed = [f"{name} was {known.get(name)}, is {now[name]}" for name in now
               if known.get(name) != now[name]]  # fmt: skip
    if changed:
        raise VideoError(
            f"{source} was changed while it was restored: " + "; ".join(changed),
            hint="leave it alone until the output is there; add --restart to start over",
        )


@dataclass
class _Record:
    """What journal.json holds.

    bound: what the result depends on, as text by the name a user knows. read: what the first pass
    noticed. finished: bytes of each finished segment. sha256: of each of them. made_by: the node of
    a cluster that restored it. joined: bytes of the joined output, once it is whole.
    """

    bound: dict[str, str] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    read: dict[str, Any] = field(default_factory=dict)
    runner: dict[str, str] = field(default_factory=dict)
    tile: int | None = None
    finished: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)
    joined: int | None = None
    format: int = _FORMAT


def _checked(record: _Record) -> _Record:
    """A record whose parts can be made of it.

    Raises:
        ValueError: they cannot.
    """
    if record.plan is not None:
        Plan.from_json(record.plan)
        made_of(ReadReport, record.read)
        made_of(RunnerInfo, record.runner)
    if record.tile is not None and record.tile <= 2 * CONTEXT + BLEND:
        raise ValueError(f"tiles of {record.tile} pixels")
    return record


class Journal:
    """A job's work folder, held by one process at a time.

    A context manager: entering takes the lock and reads the journal; leaving releases the lock.

    Raises:
        OutputError: another process works on the job, or the journal cannot be read.
    """

    def __init__(self, folder: Path, *, restart: bool = False) -> None:
        self.folder = folder
        self._restart = restart
        self._lock = FolderLock(folder)
        self._record = _Record()

    def __enter__(self) -> Self:
        self._lock.take()
        try:
            if not self._restart:
                self._read()
            for left in self.folder.glob(".vsrdb-*.part"):
                remove(left)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    @property
    def notice(self) -> str | None:
        """What is to be known of the folder's lock."""
        return self._lock.notice

    @property
    def begun(self) -> bool:
        """Whether an earlier run left something to go on from."""
        return self._record.plan is not None

    @property
    def plan(self) -> Plan:
        """How the job is divided; there is one once it has begun."""
        assert self._record.plan is not None
        return Plan.from_json(self._record.plan)

    @property
    def tile(self) -> int | None:
        """Side of the tiles all segments are restored in."""
        return self._record.tile

    @property
    def runner(self) -> RunnerInfo:
        """What the job began with."""
        return made_of(RunnerInfo, self._record.runner)

    @property
    def read(self) -> ReadReport:
        """What the first pass noticed of the source."""
        return made_of(ReadReport, self._record.read)

    def bind(self, facts: Mapping[str, str]) -> None:
        """Tie the job to what its result depends on, or prove that nothing of it has changed.

        Raises:
            OutputError: an earlier run began otherwise; says how.
        """
        changed = [
            f"{name} was {self._record.bound[name]}, is {value}"
            for name, value in facts.items()
            if self._record.bound.get(name, value) != value
        ]
        if changed:
            segments = len(self._record.finished)
            raise OutputError(
                f"{self.folder} holds {segments} finished segments from a different run: "
                + "; ".join(changed),
                hint="use the same options to continue it, or add --restart to start over",
            )
        self._record.bound.update(facts)

    def begin(self, plan: Plan, tile: int | None, read: ReadReport, runner: RunnerInfo) -> None:
        """Enter the plan, the side of the tiles, what the first pass noticed, and what runs."""
        if self._restart:  # only now is it known that the job can be done
            self._clear()
        self._record.plan, self._record.tile = plan.to_json(), tile
        self._record.read, self._record.runner = asdict(read), asdict(runner)
        self._write()

    def change_tile(self, tile: int | None) -> None:
        """Enter that memory ran out: the segments to come are restored in smaller tiles."""
        self._record.tile = tile
        self._write()

    def enter(self, index: int, path: Path, node: str | None = None) -> None:
        """Enter a finished segment. node: of a cluster, that restored it."""
        self._record.finished[str(index)] = size_of(path)
        self._record.sha256[str(index)] = sha256_of(path)
        if node is not None:
            self._record.made_by[str(index)] = node
        self._write()

    def is_finished(self, index: int, path: Path) -> bool:
        """Whether a segment is entered and still as it was, to the last byte."""
        entered = self._record.finished.get(str(index))
        if entered is None or not path.exists() or size_of(path) != entered:
            return False
        return sha256_of(path) == self._record.sha256.get(str(index))

    def require_unchanged(self, source: Path) -> None:
        """Whether the source is still the one that the job began with.

        Raises:
            VideoError: it is not; says in what.
        """
        require_unchanged(source, self._record.bound)

    def require_whole(self, paths: Sequence[Path]) -> None:
        """Whether all segments are still as they were entered.

        Raises:
            OutputError: one is not.
        """
        for index, path in enumerate(paths):
            if not self.is_finished(index, path):
                raise OutputError(
                    f"the finished segment {path} has changed on its disk",
                    hint="run the same command again: it is restored anew, the others are kept",
                )

    def enter_joined(self, path: Path) -> None:
        """Enter that the output is whole and about to get its name."""
        self._record.joined = size_of(path)
        self._write()

    def is_joined(self, target: Path) -> bool:
        """Whether the output was whole, and is in its place."""
        joined = self._record.joined
        return joined is not None and target.exists() and size_of(target) == joined

    def remove(self) -> None:
        """Remove the work folder: the output is in its place, and its name on the disk."""
        # The journal last: a half removed folder still says that the job is done.
        for entry in self.folder.iterdir():
            if entry not in (self._file, *self._lock.files[:2]):
                remove(entry)
        self._record = _Record()
        self._file.unlink()

    @property
    def _file(self) -> Path:
        return self.folder / "journal.json"

    def _read(self) -> None:
        try:
            values = read_json(self._file)
            if isinstance(values, dict) and values.get("format") != _FORMAT:
                raise ValueError(f"format {values.get('format')!r:.20}, expected {_FORMAT}")
            self._record = _checked(made_of(_Record, values))
        except FileNotFoundError:
            return
        except ValueError as error:
            raise OutputError(
                f"{self._file} is not a journal of this version: {error}",
                hint="add --restart to start over",
            ) from error

    def _write(self) -> None:
        """Replace the journal in one step, on the disk before anything relies on it."""
        with whole(self._file) as temporary:
            temporary.write_text(json.dumps(asdict(self._record)), encoding="utf-8")

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry not in self._lock.files:
                remove(entry)

    def _release(self) -> None:
        """Let the lock go; the folder too, where it holds nothing to go on from."""
        over = False
        with suppress(OSError):  # the folder's disk may be gone, and an error be on its way
            over = not self._file.exists()
            for entry in self.folder.iterdir() if over else ():
                if entry not in self._lock.files[:2]:
                    remove(entry)
        self._lock.release(with_folder=over)


def sha256_of(path: Path) -> str:
    """Of a file's content; of a folder, of the names and contents of its files."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{sha256_of(file)} {file.name}" for file in sorted(path.iterdir())]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    return path.stat().st_size
