"""Several inputs: which there are in files and folders, and where the output of each goes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from vsrdb_cli.errors import OptionError, OutputError, VsrdbError
from vsrdb_cli.video.containers import CONTAINERS
from vsrdb_cli.video.images import SUFFIXES as PICTURE_SUFFIXES

# What is taken for a video by its name; any other file needs a --pattern that it matches.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".3gp", ".ogv", ".mxf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".m2ts", ".mts", ".y4m", ".h264", ".hevc", ".gif"),
)
# Holds whatever was in the input, where the input's own container cannot be written.
FALLBACK_SUFFIX = ".mkv"


@dataclass(frozen=True)
class Item:
    """One input and its output. problem: why it cannot be begun."""

    source: Path
    target: Path
    problem: VsrdbError | None = None


@dataclass
class Batch:
    """Inputs in order. notices: what was left aside, one line each."""

    items: list[Item] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def is_batch(sources: Sequence[Path], *, recursive: bool, pattern: str | None) -> bool:
    """Whether these inputs are several, rather than one video or one sequence of pictures.

    Raises:
        OptionError: a folder holds both videos and pictures, or --recursive or --pattern have
            nothing to choose from.
    """
    if len(sources) > 1:
        return True
    (source,) = sources
    if not source.is_dir():
        for given, name in ((recursive, "--recursive"), (pattern, "--pattern")):
            if given:
                raise OptionError(
                    f"{name} is for folders, and {source} is none", hint=f"leave {name} away"
                )
        return False
    return recursive or not _Folder.of(source, pattern).pictures


def find(
    sources: Sequence[Path],
    target: Path,
    *,
    recursive: bool = False,
    pattern: str | None = None,
    suffix: str | None = None,
) -> Batch:
    """The inputs that sources stand for, and their outputs in the folder `target`.

    A folder's tree is mirrored; a folder of pictures is one input. Links that lead out of a folder
    are left aside, as are hidden files and `target` itself.

    Args:
        recursive: into folders of a folder as well.
        pattern: of file names, as `*.mp4`; only those that match are taken.
        suffix: of the outputs; None keeps the input's where it can be written, else .mkv.

    Raises:
        OptionError: `target` cannot be the folder of them all, or nothing was found.
    """
    if target.is_file() or (target.suffix.lower() in CONTAINERS and not target.is_dir()):
        raise OptionError(
            f"{target} is no folder, and there are several inputs", hint="name a folder for them"
        )
    if suffix is not None and suffix not in CONTAINERS:
        raise OptionError(
            f"no video is written to {suffix} files", hint=f"choose one of: {' '.join(CONTAINERS)}"
        )
    batch = Batch()
    for source in sources:
        if not source.is_dir():
            batch.items.append(Item(source, target / _output_name(source, suffix)))
            continue
        inside = target / source.name if len(sources) > 1 else target
        if inside.exists() and inside.samefile(source):
            raise OptionError(
                f"{inside} is the input itself",
                hint="name another folder; inputs are never changed",
            )
        search = _Search(source, inside, target, recursive, pattern, suffix)
        search.add_to(batch)
    if not batch.items:
        wanted = f"files named '{pattern}'" if pattern else "videos"
        raise OptionError(
            f"no {wanted} in {', '.join(map(str, sources))}",
            hint="add --recursive to look into its folders, or --pattern '*.ENDING'",
        )
    _check_targets(batch)
    return batch


@dataclass
class _Folder:
    """What a folder holds, by kind."""

    videos: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    other_pictures: int = 0
    others: int = 0
    folders: list[Path] = field(default_factory=list)
    links_out: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, pattern: str | None, root: Path | None = None) -> _Folder:
        """Look into a folder; links that lead out of `root` (or of it) are noted and left.

        Raises:
            OptionError: what is taken is both videos and pictures, or only some of the pictures.
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
                if not path.is_symlink():
                    found.folders.append(path)
            elif pattern is not None and not fnmatch(path.name, pattern):
                found.others += 1
                found.other_pictures += path.suffix.lower() in PICTURE_SUFFIXES
            elif path.suffix.lower() in PICTURE_SUFFIXES:
                found.pictures.append(path)
            elif pattern is not None or path.suffix.lower() in VIDEO_SUFFIXES:
                found.videos.append(path)
            else:
                found.others += 1
        if found.videos and found.pictures:
            video, picture = found.videos[0].suffix, found.pictures[0].suffix
            raise OptionError(
                f"{folder} holds both videos ({len(found.videos)}) and pictures"
                f" ({len(found.pictures)})",
                hint=f"say which: --pattern '*{video}' for the videos one by one,"
                f" --pattern '*{picture}' for the pictures as one sequence",
            )
        if found.pictures and found.other_pictures:
            raise OptionError(
                f"'{pattern}' is only {len(found.pictures)} of the"
                f" {len(found.pictures) + found.other_pictures} pictures in {folder}",
                hint="a sequence is all pictures of a folder; move these to one of their own",
            )
        return found


@dataclass(frozen=True)
class _Search:
    """Through the folder `root`, whose outputs go to `target`; `excluded` is no input."""

    root: Path
    target: Path
    excluded: Path
    recursive: bool
    pattern: str | None
    suffix: str | None

    def add_to(self, batch: Batch) -> None:
        """Add what the folder holds, and where `recursive` the folders in it."""
        waiting = [self.root]
        while waiting:
            folder = waiting.pop(0)
            inside = self.target / folder.relative_to(self.root)
            try:
                found = _Folder.of(folder, self.pattern, self.root)
            except (OptionError, OSError) as error:
                problem = error if isinstance(error, OptionError) else _unreadable(folder, error)
                if folder == self.root:
                    raise problem from None
                batch.items.append(Item(folder, inside, problem))
                continue
            for video in found.videos:
                batch.items.append(Item(video, inside / _output_name(video, self.suffix)))
            if found.pictures:
                batch.items.append(Item(folder, inside))
            batch.notices += _left_aside(folder, found, recursive=self.recursive)
            if self.recursive:
                waiting += [f for f in found.folders if not self._is_excluded(f)]

    def _is_excluded(self, folder: Path) -> bool:
        return self.excluded.exists() and folder.samefile(self.excluded)


def _unreadable(folder: Path, error: OSError) -> OptionError:
    return OptionError(
        f"{folder} cannot be looked into: {error.strerror}", hint="check its permissions"
    )


def _left_aside(folder: Path, found: _Folder, *, recursive: bool) -> Iterator[str]:
    for link in found.links_out:
        yield f"{link} is left aside: it links out of the folder, to {os.path.realpath(link)}"
    if found.others:
        yield f"{found.others} other files in {folder} are left aside"
    if found.folders and not recursive:
        yield f"{len(found.folders)} folders in {folder} are left aside; --recursive takes them"


def _output_name(source: Path, suffix: str | None) -> str:
    own = source.suffix.lower()
    if suffix is None:
        suffix = own if own in CONTAINERS else FALLBACK_SUFFIX
    return f"{source.stem}{suffix}"


def _check_targets(batch: Batch) -> None:
    """No output may be an input, nor two inputs have one output."""
    inputs = {os.path.realpath(item.source): item.source for item in batch.items}
    same: dict[str, list[Path]] = defaultdict(list)
    for item in batch.items:
        same[os.path.realpath(item.target)].append(item.source)
    for index, item in enumerate(batch.items):
        if item.problem is not None:
            continue
        real = os.path.realpath(item.target)
        problem: VsrdbError | None = None
        if real in inputs:
            problem = OutputError(
                f"{item.target} is an input itself ({inputs[real]})",
                hint="name another output folder; inputs are never changed",
            )
        elif len(same[real]) > 1:
            others = ", ".join(str(s) for s in same[real] if s != item.source)
            problem = OutputError(
                f"{item.target} would be the output of {others} too",
                hint="rename one of them, or restore them into different folders",
            )
        if problem is not None:
            batch.items[index] = Item(item.source, item.target, problem)
