"""Which video is compared with which: single clips, and folders of clips matched by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.codecs import CONTAINERS
from vsrdb_cli.video.images import SUFFIXES, natural_order


@dataclass(frozen=True, slots=True)
class Clip:
    """What is compared: a video file or a folder of pictures each; `lr` for the baseline."""

    name: str
    restored: Path
    truth: Path
    lr: Path | None = None


def find_clips(restored: Path, truth: Path, lr: Path | None = None) -> list[Clip]:
    """One clip of two videos or two folders of pictures, or the clips of two roots.

    A root is a folder without pictures of its own; its sub-folders and video files are the clips,
    matched by their names (without the endings of files).

    Raises:
        VideoError: a root has no clips, or a clip stands in one of them only.
    """
    if not _is_root(truth):
        return [Clip(truth.stem or truth.name, restored, truth, lr)]
    roots = [restored, truth] if lr is None else [restored, truth, lr]
    members = [_members(root) for root in roots]
    for root, names in zip(roots, members, strict=True):
        for other_root, other_names in zip(roots, members, strict=True):
            missing = sorted(other_names.keys() - names.keys(), key=natural_order)
            if missing:
                raise VideoError(
                    f"{root} has no clip '{missing[0]}', which {other_root} has",
                    hint="give folders that hold the same clips under the same names",
                )
    return [
        Clip(name, *(paths[name] for paths in members))
        for name in sorted(members[0], key=natural_order)
    ]


def _is_root(path: Path) -> bool:
    return path.is_dir() and not any(_is_visible(p) and _is_picture(p) for p in path.iterdir())


def _members(root: Path) -> dict[str, Path]:
    """The clips of a root, by name."""
    if not root.is_dir():
        raise VideoError(
            f"{root} is no folder of clips", hint="give roots of clips, or single clips, alike"
        )
    members: dict[str, Path] = {}
    for path in filter(_is_visible, root.iterdir()):
        if path.is_dir():
            name = path.name
        elif path.suffix.lower() in CONTAINERS:
            name = path.stem
        else:
            continue
        if name in members:
            raise VideoError(
                f"{root} has two clips '{name}': {members[name].name} and {path.name}",
                hint="keep one of them",
            )
        members[name] = path
    if not members:
        raise VideoError(
            f"the folder {root} holds neither pictures ({', '.join(SUFFIXES)}) nor clips",
            hint="give a video, a folder of pictures, or a folder of such",
        )
    return members


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
