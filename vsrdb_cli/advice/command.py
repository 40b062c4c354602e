"""The one command to run next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.advice.verdict import COMBING, is_enlarged
from vsrdb_cli.names import fitting
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.info import Kind

if TYPE_CHECKING:
    from vsrdb_cli.advice.measures import Measures
    from vsrdb_cli.video.info import VideoInfo

# The largest output that is advised: of 4K, whichever way it lies.
LONG_SIDE, SHORT_SIDE = 3840, 2160
# A longer video is tried out first.
LONG_SECONDS, SAMPLE = 10, "3s"
_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")


def command_for(info: VideoInfo, measures: Measures, *, weights: str | None, hdr: Hdr) -> str:
    """A line for the shell: shrinks or deinterlaces first where that is needed.

    Args:
        weights: to be named; None where they are the default.
    """
    source, height, width = info.path, info.height, info.width
    suffix = source.suffix if source.suffix.lower() in _SUFFIXES else ".mkv"
    if info.kind in (Kind.PICTURES, Kind.STILL):
        suffix = ""
    filters = []
    if measures.combing > COMBING:
        filters.append("bwdif=deint=all")
    if is_enlarged(measures):
        factor = measures.enlarged_by
        filters.append(f"scale=iw/{factor:g}:ih/{factor:g}:flags=area")
    before = ""
    if filters and info.kind is Kind.VIDEO:
        if is_enlarged(measures):
            height, width = (int(side / measures.enlarged_by) for side in (height, width))
        prepared = _beside(source, "prepared", ".mkv")
        given = shlex.join(["ffmpeg", "-i", _word(source), "-map", "0:v:0", "-map", "0:a?"])
        made = shlex.join(["-vf", ",".join(filters), "-c", "copy", "-c:v", "ffv1", _word(prepared)])
        before, source = f"{given} {made} && ", prepared
    long = (info.duration_seconds or 0) > LONG_SECONDS
    target = _beside(info.path, "sample" if long else "restored", suffix)
    words = ["vsrdb", "restore", _word(source), _word(target)]
    scale = scale_for(height, width)
    words += ["--scale", str(scale)] if scale != 4 else []
    page = Path(fitting(target.stem, ".html"))
    words += ["--sample", SAMPLE, "--compare", _word(page)] if long else []
    words += ["--weights", weights] if weights else []
    words += ["--hdr", hdr.value] if hdr is not Hdr.REFUSE else []
    return before + shlex.join(words)


def scale_for(height: int, width: int) -> int:
    """The largest scale, of 4 to 1, whose output is no larger than 4K; 1 where each is."""
    for scale in (4, 3, 2):
        if scale * max(height, width) <= LONG_SIDE and scale * min(height, width) <= SHORT_SIDE:
            return scale
    return 1


def _word(path: Path) -> str:
    """A path as an argument, which is no option whatever its name."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _beside(source: Path, what: str, suffix: str) -> Path:
    """A name in the folder one is in: the source's may not be one's own."""
    stem = source.absolute().name if source.is_dir() else source.stem
    return Path(fitting(stem, f"_{what}{suffix}"))
