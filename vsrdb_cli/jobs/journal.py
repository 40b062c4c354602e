"""The work folder of a job: its lock, and the journal of its finished segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
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

# Bytes of a file's head and of its tail by which it is recognised.
_SAMPLE_BYTES = 1 << 20
_FORMAT = 2


def identity(source: Path) -> dict[str, str]:
    """Return facts that differ between inputs, and once one changes, by names that users know."""
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
    """Check that a source has not changed.

    Args:
        known: its `identity` before, perhaps among other facts.

    Raises:
        VideoError: it has; names the differences.
    """
    now = identity(source)
    changed = [f"{name} was {known.get(name)}, is {now[name]}" for name in now
               if known.get(name) != now[name]]  # fmt: skip
    if changed:
        raise VideoError(
            f"{source} was changed while it was restored: " + "; ".join(changed),
            hint="do not change it during a run; add --restart to start over",
        )


@dataclass
class _Record:
    """The content of journal.json."""

    bound: dict[str, str] = field(default_factory=dict)
    """Facts that the result depends on, by names that users know."""

    plan: dict[str, Any] | None = None
    read: dict[str, Any] = field(default_factory=dict)
    """`ReadReport` of the first pass."""

    runner: dict[str, str] = field(default_factory=dict)
    tile: int | None = None
    size_hr: list[int] = field(default_factory=list)
    """Height and width of the output."""

    finished: dict[str, int] = field(default_factory=dict)
    """Bytes of each finished segment."""

    sha256: dict[str, str] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)
    """Node of a cluster that restored each segment."""

    joined: int | None = None
    """Bytes of the joined output, once it is whole."""

    format: int = _FORMAT


def _checked(record: _Record) -> _Record:
    """Return a record after checking its parts.

    Raises:
        ValueError: one is not valid.
    """
    if record.plan is not None:
        Plan.from_json(record.plan)
        made_of(ReadReport, record.read)
        made_of(RunnerInfo, record.runner)
        if len(record.size_hr) != 2 or min(record.size_hr) < 1:
            raise ValueError(f"an output of {record.size_hr} pixels")
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

    def __exit__(self, *error: object) -> None:
        self._release()

    @property
    def notice(self) -> str | None:
        """A line for the user about the folder's lock; None for an ordinary one."""
        return self._lock.notice

    @property
    def begun(self) -> bool:
        """True if an earlier run left something to continue."""
        return self._record.plan is not None

    @property
    def plan(self) -> Plan:
        """The job's plan; there is one once it has begun."""
        assert self._record.plan is not None
        return Plan.from_json(self._record.plan)

    @property
    def tile(self) -> int | None:
        """Side of the tiles of all segments to come; None for whole pictures."""
        return self._record.tile

    @property
    def size_hr(self) -> tuple[int, int]:
        """Height and width of the output; there are some once the job has begun."""
        height, width = self._record.size_hr
        return height, width

    @property
    def runner(self) -> RunnerInfo:
        """The runner that the job began with."""
        return made_of(RunnerInfo, self._record.runner)

    @property
    def read(self) -> ReadReport:
        """The report of the first pass over the source."""
        return made_of(ReadReport, self._record.read)

    def bind(self, facts: Mapping[str, str]) -> None:
        """Enter facts that the result depends on, or check that they have not changed.

        Raises:
            OutputError: an earlier run began with others; names them.
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

    def begin(
        self,
        plan: Plan,
        tile: int | None,
        size_hr: tuple[int, int],
        read: ReadReport,
        runner: RunnerInfo,
    ) -> None:
        """Enter the plan and what it was made with."""
        if self._restart:  # only now is it known that the job can be done
            self._clear()
        self._record.plan, self._record.tile = plan.to_json(), tile
        self._record.size_hr = list(size_hr)
        self._record.read, self._record.runner = asdict(read), asdict(runner)
        self._write()

    def change_tile(self, tile: int | None) -> None:
        """Enter the side of the tiles of the segments to come."""
        self._record.tile = tile
        self._write()

    def enter(self, index: int, path: Path, node: str | None = None) -> None:
        """Enter a finished segment.

        Args:
            node: of a cluster, that restored it.
        """
        self._record.finished[str(index)] = size_of(path)
        self._record.sha256[str(index)] = sha256_of(path)
        if node is not None:
            self._record.made_by[str(index)] = node
        self._write()

    def is_finished(self, index: int, path: Path) -> bool:
        """Return whether a segment is entered and its file unchanged, to the last byte."""
        self._lock.require_same()
        entered = self._record.finished.get(str(index))
        if entered is None or not path.exists() or size_of(path) != entered:
            return False
        return sha256_of(path) == self._record.sha256.get(str(index))

    def require_unchanged(self, source: Path) -> None:
        """Check that the source is still the one that the job began with.

        Raises:
            VideoError: it is not; names the differences.
        """
        require_unchanged(source, self._record.bound)

    def require_whole(self, paths: Sequence[Path]) -> None:
        """Check that the files of all segments are unchanged.

        Raises:
            OutputError: one is not.
        """
        for index, path in enumerate(paths):
            if not self.is_finished(index, path):
                raise OutputError(
                    f"the finished segment {path} has changed on its disk",
                    hint="run the same command again: only this segment is restored again",
                )

    def enter_joined(self, path: Path) -> None:
        """Enter the joined output, which is whole and about to get its name."""
        self._record.joined = size_of(path)
        self._write()

    def is_joined(self, target: Path) -> bool:
        """Return whether the joined output was whole, and has its name."""
        joined = self._record.joined
        return joined is not None and target.exists() and size_of(target) == joined

    def remove(self) -> None:
        """Remove the work folder: the output is in its place, and its name on the disk."""
        self._lock.require_same()
        # The journal last, so that a folder removed in part still shows that the job is done.
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
        self._lock.require_same()
        with whole(self._file) as temporary:
            temporary.write_text(json.dumps(asdict(self._record)), encoding="utf-8")

    def _clear(self) -> None:
        self._lock.require_same()
        for entry in self.folder.iterdir():
            if entry not in self._lock.files:
                remove(entry)

    def _release(self) -> None:
        """Release the lock; remove the folder, where it holds nothing to continue."""
        over = False
        # The folder's disk may be gone, or another folder in its place; an error is under way.
        with suppress(OSError, OutputError):
            self._lock.require_same()
            over = not self._file.exists()
            for entry in self.folder.iterdir() if over else ():
                if entry not in self._lock.files[:2]:
                    remove(entry)
        self._lock.release(with_folder=over)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{sha256_of(file)} {file.name}" for file in sorted(path.iterdir())]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of the files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    return path.stat().st_size
