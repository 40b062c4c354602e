"""Compose the command to run next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.advice.verdict import is_enlarged
from vsrdb_cli.names import fitting
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.info import Kind

if TYPE_CHECKING:
    from vsrdb_cli.advice.measures import Measures
    from vsrdb_cli.video.info import VideoInfo

# The largest output advised is 4K, landscape or portrait.
LONG_SIDE, SHORT_SIDE = 3840, 2160
# Of a longer video a sample comes first.
LONG_SECONDS, SAMPLE = 10, "3s"
_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")


def command_for(
    info: VideoInfo,
    measures: Measures,
    *,
    prefilter: str | None,
    weights: str | None,
    hdr: Hdr,
) -> str:
    """Return a shell command that restores the source.

    Args:
        info: the source.
        measures: of the source.
        prefilter: the value of `--prefilter`; None for none.
        weights: the value of `--weights`; None is the default.
        hdr: the value of `--hdr`.
    """
    source, height, width = info.path, info.height, info.width
    suffix = source.suffix if source.suffix.lower() in _SUFFIXES else ".mkv"
    if info.kind in (Kind.PICTURES, Kind.STILL):
        suffix = ""
    if is_enlarged(measures):
        height, width = (int(side / measures.enlarged_by) for side in (height, width))
    long = (info.duration_seconds or 0) > LONG_SECONDS
    target = _beside(source, "sample" if long else "restored", suffix)
    restore = ["vsrdb", "restore", _argument(source), _argument(target)]
    scale = scale_for(height, width)
    restore += ["--scale", str(scale)] if scale != 4 else []
    restore += ["--prefilter", prefilter] if prefilter else []
    page = Path(fitting(target.stem, ".html"))
    restore += ["--sample", SAMPLE, "--compare", _argument(page)] if long else []
    restore += ["--weights", weights] if weights else []
    restore += ["--hdr", hdr.value] if hdr is not Hdr.REFUSE else []
    return shlex.join(restore)


def scale_for(height: int, width: int) -> int:
    """Return the largest scale from 4 down to 2 whose output fits into 4K, or 1 if none does."""
    for scale in (4, 3, 2):
        if scale * max(height, width) <= LONG_SIDE and scale * min(height, width) <= SHORT_SIDE:
            return scale
    return 1


def _argument(path: Path) -> str:
    """Return a path as a command-line argument that is never taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _beside(source: Path, what: str, suffix: str) -> Path:
    """Return a file name in the current folder: the source's may be read-only."""
    stem = source.absolute().name if source.is_dir() else source.stem
    return Path(fitting(stem, f"_{what}{suffix}"))
