"""Pair the videos to compare, check that they match, and read their frames side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import VideoError
from vsrdb_cli.evaluation.metrics import Picture
from vsrdb_cli.text import count
from vsrdb_cli.video.containers.capabilities import CONTAINERS
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.pictures.formats import SUFFIXES, natural_order

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.frame import Frame, FrameSource

_CODES_PER_WHITE_STEP = 256  # 16-bit codes have white at 255 << 8


@dataclass(frozen=True, slots=True)
class Clip:
    """Videos or folders of pictures to compare."""

    name: str
    restored: Path
    truth: Path
    lr: Path | None = None
    """The input of the baseline."""


def find_clips(restored: Path, truth: Path, lr: Path | None = None) -> list[Clip]:
    """Return the one clip of two videos or two folders of pictures, or the clips of two roots.

    A root is a folder that contains no pictures itself; its sub-folders and video files are the
    clips, matched by their names without extensions.

    Raises:
        VideoError: a root has no clips, or a clip is missing from one of them.
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
                    f"{root} has no clip '{missing[0]}', but {other_root} does",
                    hint="give folders that contain the same clips under the same names",
                )
    return [
        Clip(name, *(paths[name] for paths in members))
        for name in sorted(members[0], key=natural_order)
    ]


def _is_root(path: Path) -> bool:
    return path.is_dir() and not any(_is_visible(p) and _is_picture(p) for p in path.iterdir())


def _members(root: Path) -> dict[str, Path]:
    """Return the clips of a root by name."""
    if not root.is_dir():
        raise VideoError(
            f"{root} is not a folder of clips",
            hint="give two folders of clips, or two single clips",
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
            f"the folder {root} contains neither pictures ({', '.join(SUFFIXES)}) nor clips",
            hint="give a video, a folder of pictures, or a folder of these",
        )
    return members


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def picture(rgb: Tensor) -> Picture:
    """Convert (3, H, W) codes of a `Frame` to a picture of `vsrdb_cli.evaluation.metrics`."""
    codes: Picture = np.ascontiguousarray(rgb.permute(1, 2, 0).numpy())
    return codes if codes.dtype == np.uint8 else codes.astype(np.float32) / _CODES_PER_WHITE_STEP


def together(
    sources: Sequence[FrameSource], on_frame: Callable[[], None] = ignore
) -> Iterator[tuple[Frame, ...]]:
    """Yield the first frames of all sources, then the second ones, and so on.

    Raises:
        VideoError: one source has more frames than another; raised at the end of the shortest.
    """
    streams = [source.frames() for source in sources]
    for frames in zip_longest(*streams):
        if None in frames:
            for stream in streams:
                deque(stream, maxlen=0)  # read to the end to count the frames
            _check_counts({source.info.path: source.report.frames for source in sources})
        yield frames
        on_frame()


def picked(source: FrameSource, indices: Sequence[int]) -> Iterator[Frame]:
    """Yield the frames with these indices, which are in ascending order and may repeat."""
    if not indices:
        return
    first = indices[0]
    frames = enumerate(source.frames(first, indices[-1] + 1), first)
    index, frame = next(frames)
    for wanted in indices:
        while index < wanted:
            index, frame = next(frames)
        yield frame


def check_sizes(sources: Sequence[FrameSource]) -> None:
    """Check that restored and truth are of one size, and that this is a multiple of LR's.

    Args:
        sources: truth, restored and, optionally, LR.

    Raises:
        VideoError: the sizes do not match.
    """
    truth, restored, *lr = (source.info for source in sources)
    if (restored.width, restored.height) != (truth.width, truth.height):
        raise VideoError(
            f"{restored.path} is {restored.width}x{restored.height}, but"
            f" {truth.path} is {truth.width}x{truth.height}",
            hint="crop the ground truth to the size of the restored video",
        )
    for info in lr:
        scale = truth.width // info.width
        if scale < 2 or (info.width * scale, info.height * scale) != (truth.width, truth.height):
            raise VideoError(
                f"{truth.path}, {truth.width}x{truth.height}, is not a whole multiple of"
                f" {info.path}, {info.width}x{info.height}",
                hint="give the low-resolution video that was restored as --input",
            )


def check_known_counts(sources: Sequence[FrameSource]) -> None:
    """Compare the numbers of pictures; those of videos are not known before the end.

    Raises:
        VideoError: the numbers differ.
    """
    _check_counts(
        {
            source.info.path: source.info.frame_count
            for source in sources
            if source.info.kind is not Kind.VIDEO and source.info.frame_count is not None
        }
    )


def _check_counts(counts: Mapping[Path, int]) -> None:
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{path} has {count(frames, 'frame')}" for path, frames in counts.items())
        raise VideoError(
            f"the numbers of frames differ: {each}",
            hint="give videos that start and end at the same frame",
        )
