"""Finding inputs in files and folders, and naming the output of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from vsrdb_cli.batch.targets import Batch, Item, check_targets, tell_apart
from vsrdb_cli.errors import OptionError, OutputError, VideoError, VsrdbError
from vsrdb_cli.names import fitting
from vsrdb_cli.pipes import special_kind
from vsrdb_cli.text import count
from vsrdb_cli.video.containers.capabilities import CONTAINERS
from vsrdb_cli.video.info import PIPE
from vsrdb_cli.video.pictures.formats import SUFFIXES as PICTURE_SUFFIXES
from vsrdb_cli.video.pictures.formats import WRITTEN
from vsrdb_cli.video.writing.y4m_writer import is_stream_output

# Endings of videos; any other file must match a --pattern.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".3gp", ".ogv", ".mxf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".m2ts", ".mts", ".y4m", ".h264", ".hevc", ".gif"),
)
# Holds every stream of the input, where the input's own container cannot be written.
FALLBACK_SUFFIX = ".mkv"


@dataclass(frozen=True)
class NameFilter:
    """A choice of a folder's files by their names."""

    patterns: tuple[str, ...] = ()
    """Take only files that match one of these, if there are any."""
    excluded: tuple[str, ...] = ()
    """Take no file or folder that matches one of these."""

    def take(self, name: str) -> bool:
        """Return whether to take a file, if it is of a kind that can be restored."""
        wanted = not self.patterns or _matches(name, self.patterns)
        return wanted and not self.exclude(name)

    def exclude(self, name: str) -> bool:
        """Return whether a file or folder is excluded."""
        return _matches(name, self.excluded)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


ALL_NAMES = NameFilter()


def is_batch(
    sources: Sequence[Path], *, recursive: bool = False, names: NameFilter = ALL_NAMES
) -> bool:
    """Return whether these are several inputs, rather than one video or sequence of pictures.

    Raises:
        OptionError: --recursive, --pattern or --exclude without a folder.
    """
    if len(sources) > 1:
        return True
    (source,) = sources
    if not source.is_dir():
        for given, name in (
            (recursive, "--recursive"),
            (names.patterns, "--pattern"),
            (names.excluded, "--exclude"),
        ):
            if given:
                raise OptionError(
                    f"{name} needs a folder, but {source} is not one", hint=f"omit {name}"
                )
        return False
    return recursive or not _Folder.of(source, names).pictures


def find(
    sources: Sequence[Path],
    target: Path,
    *,
    recursive: bool = False,
    names: NameFilter = ALL_NAMES,
    suffix: str | None = None,
) -> Batch:
    """Find the inputs in sources, and name their outputs in the folder `target`.

    A folder's tree is mirrored; a folder of pictures is one input. Links that lead out of a folder,
    hidden files and `target` itself are skipped.

    Args:
        recursive: search folders within folders too.
        names: the files to take from folders.
        suffix: of the outputs; None keeps the input's where it can be written, else .mkv.

    Raises:
        OptionError: `target` cannot be a folder.
        VideoError: nothing was found.
        OutputError: an input folder is the output folder.
    """
    if is_stream_output(target):
        raise OptionError(
            f"{'stdout' if target == PIPE else target} takes one video, but there are several"
            " inputs",
            hint="name a folder for their outputs",
        )
    if target.is_file() or (target.suffix.lower() in CONTAINERS and not target.is_dir()):
        raise OptionError(
            f"{target} is not a folder, but there are several inputs",
            hint="name a folder for their outputs",
        )
    if suffix is not None and suffix not in CONTAINERS:
        raise OptionError(
            f"unsupported output extension '{suffix}'",
            hint=f"choose one of: {' '.join(CONTAINERS)}",
        )
    batch = Batch(folder=target)
    pictures = sum(source.suffix.lower() in PICTURE_SUFFIXES for source in sources)
    if pictures > 1:
        batch.notices.append(
            "each picture is restored on its own; name their folder instead to restore them as"
            " a sequence"
        )
    for source in sources:
        if not source.is_dir():
            batch.items.append(Item(source, target / _output_name(source, suffix)))
            continue
        inside = target / source.resolve().name if len(sources) > 1 else target
        if inside.exists() and inside.samefile(source):
            raise OutputError(
                f"{inside} is the input itself",
                hint="choose another folder; inputs are never changed",
            )
        search = _Search(source, inside, target, recursive, names, suffix)
        search.add_to(batch)
    if not batch.items:
        wanted = "matching files" if names.patterns else "videos"
        raise VideoError(
            f"no {wanted} in {', '.join(map(str, sources))}",
            hint="add --recursive to search its subfolders too, or --pattern '*.ENDING'",
        )
    tell_apart(batch)
    check_targets(batch)
    return batch


@dataclass
class _Folder:
    """The content of a folder, by kind."""

    videos: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    """Pictures of a sequence."""
    covers: list[Path] = field(default_factory=list)
    """Pictures among videos."""
    other_pictures: int = 0
    others: int = 0
    folders: list[Path] = field(default_factory=list)
    links_out: list[Path] = field(default_factory=list)
    no_files: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, names: NameFilter, root: Path | None = None) -> _Folder:
        """Read a folder. Links that lead out of `root` (or of it) are kept apart.

        Raises:
            OptionError: only some of the pictures match.
        """
        found = cls()
        real_root = (root or folder).resolve()
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.suffix == ".vsrdb":
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(real_root):
                found.links_out.append(path)
            elif path.is_dir():
                # A linked folder inside the tree is found by its own name.
                if not path.is_symlink() and not names.exclude(path.name):
                    found.folders.append(path)
            elif special_kind(path) is not None:
                found.no_files.append(path)
            elif not names.take(path.name):
                found.others += 1
                found.other_pictures += path.suffix.lower() in PICTURE_SUFFIXES
            elif path.suffix.lower() in PICTURE_SUFFIXES:
                found.pictures.append(path)
            elif names.patterns or path.suffix.lower() in VIDEO_SUFFIXES:
                found.videos.append(path)
            else:
                found.others += 1
        if found.videos:
            found.covers, found.pictures = found.pictures, []
        if found.pictures and found.other_pictures:
            raise OptionError(
                f"only {len(found.pictures)} of the"
                f" {len(found.pictures) + found.other_pictures} pictures in {folder} match",
                hint="a folder's pictures are one sequence; move these to a folder of their own",
            )
        return found


@dataclass(frozen=True)
class _Search:
    """A search of a folder for inputs."""

    root: Path
    target: Path
    """The folder of the outputs."""
    all_outputs: Path
    """The folder of all outputs, which is never an input."""
    recursive: bool
    names: NameFilter
    suffix: str | None

    def add_to(self, batch: Batch) -> None:
        """Add the inputs in the folder and, with `recursive`, in its subfolders."""
        waiting = [self.root]
        while waiting:
            folder = waiting.pop(0)
            inside = self.target / folder.relative_to(self.root)
            try:
                found = _Folder.of(folder, self.names, self.root)
            except (OptionError, OSError) as error:
                problem = error if isinstance(error, VsrdbError) else _unreadable(folder, error)
                if folder == self.root:
                    raise problem from None
                batch.items.append(Item(folder, inside, problem))
                continue
            for video in found.videos:
                batch.items.append(Item(video, inside / _output_name(video, self.suffix)))
            if found.pictures:
                batch.items.append(Item(folder, inside))
            batch.notices += _skipped(folder, found, recursive=self.recursive)
            if self.recursive:
                waiting += [f for f in found.folders if not self._is_target(f)]

    def _is_target(self, folder: Path) -> bool:
        return self.all_outputs.exists() and folder.samefile(self.all_outputs)


def _unreadable(folder: Path, error: OSError) -> VideoError:
    return VideoError(f"{folder} cannot be read: {error.strerror}", hint="check its permissions")


def _skipped(folder: Path, found: _Folder, *, recursive: bool) -> Iterator[str]:
    for link in found.links_out:
        yield f"{link} skipped: it links to {os.path.realpath(link)}, outside the folder"
    for path in found.no_files:
        yield f"{path} skipped: it is {special_kind(path)}, not a file"
    if found.covers:
        suffix = found.covers[0].suffix
        yield (
            f"{count(len(found.covers), 'picture')} among the videos in {folder}"
            f" skipped; --pattern '*{suffix}' restores pictures instead"
        )
    if found.others:
        yield f"{count(found.others, 'other file')} in {folder} skipped"
    if found.folders and not recursive:
        number = count(len(found.folders), "folder")
        yield f"{number} in {folder} skipped; --recursive includes folders"


def _output_name(source: Path, suffix: str | None) -> str:
    own = source.suffix.lower()
    if suffix is None and own in PICTURE_SUFFIXES:
        suffix = own if own in WRITTEN else ".png"
    elif suffix is None:
        suffix = own if own in CONTAINERS else FALLBACK_SUFFIX
    return fitting(source.stem, suffix)
