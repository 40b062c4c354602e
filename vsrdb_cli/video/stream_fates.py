"""What becomes of everything a file holds beside its main video, decided before the work."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from vsrdb_cli.video.codecs import CONTAINERS
from vsrdb_cli.video.container import open_input
from vsrdb_cli.video.info import StreamInfo, VideoInfo
from vsrdb_cli.video.metadata import held_language

if TYPE_CHECKING:
    from av.container import InputContainer

ISO = (".mp4", ".m4v", ".mov")
_MP4_AUDIO = {"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "vorbis"}
_AUDIO = {
    ".mp4": _MP4_AUDIO,
    ".m4v": _MP4_AUDIO,
    ".mov": {"aac", "mp3", "mp2", "ac3", "eac3", "alac", "pcm_mulaw", "pcm_alaw"},
    ".webm": {"opus", "vorbis"},
}
# What text subtitles are converted to where a container does not take them as they are.
TEXT_CODECS = {
    ".mp4": "mov_text",
    ".m4v": "mov_text",
    ".mov": "mov_text",
    ".mkv": "subrip",
    ".webm": "webvtt",
}
# Text with fonts, colours and places on the picture, which the others hold little of.
_STYLED = {"ass", "ssa"}
# The marks ("forced", "for the hard of hearing") a container has a place for.
_MP4_MARKS = {
    *("default", "dub", "comment", "forced", "hearing_impaired", "visual_impaired", "captions"),
    "descriptions",
}
_MARKS = {
    ".mp4": _MP4_MARKS,
    ".m4v": _MP4_MARKS,
    ".mov": {"default"},
    ".mkv": {
        *("default", "dub", "original", "comment", "forced", "hearing_impaired"),
        *("visual_impaired", "descriptions"),
    },
    ".webm": {"default", "forced", "captions", "descriptions", "metadata"},
}
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


class Fate(Enum):
    """What becomes of a stream."""

    COPY = "copied"
    CONVERT = "converted"
    ATTACH = "attached"
    REMAKE = "made anew"  # chapters and timecodes that are tracks: the container writes its own
    DROP = "dropped"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What becomes of one stream, and if not all of it, why."""

    stream: StreamInfo
    fate: Fate
    notice: str | None = None


def plan_streams(info: VideoInfo, suffix: str) -> tuple[StreamPlan, ...]:
    """Decide for every stream beside the main video, for a container by its name ending."""
    if not info.streams or info.pictures:
        return ()
    with open_input(info.path) as source:
        plans = (_plan(stream, suffix, source) for stream in info.streams)
        return tuple(_with_marks(plan, suffix) for plan in plans)


def _with_marks(plan: StreamPlan, suffix: str) -> StreamPlan:
    """The plan, with a word on marks that are lost."""
    if plan.fate not in (Fate.COPY, Fate.CONVERT) or plan.stream.cover:
        return plan
    lost = _lost_marks(plan.stream, suffix)
    if not lost:
        return plan
    keepers = [s for s in (".mp4", ".mkv") if s != suffix and not _lost_marks(plan.stream, s)]
    notice = f"{plan.stream} is no longer marked as {', '.join(lost)} in {suffix} files"
    if keepers:
        notice += f"; a {' or '.join(keepers)} output keeps it"
    return replace(plan, notice=f"{plan.notice}; {notice}" if plan.notice else notice)


def _lost_marks(stream: StreamInfo, suffix: str) -> list[str]:
    lost = [mark for mark in stream.marks if mark not in _MARKS[suffix]]
    if held_language(stream.language, CONTAINERS[suffix][0]) is None:
        lost.append(f"of the language {stream.language}")
    return lost


def has_cover(plans: tuple[StreamPlan, ...]) -> bool:
    """Whether a cover picture is copied as a stream."""
    return any(plan.stream.cover and plan.fate is Fate.COPY for plan in plans)


def _plan(stream: StreamInfo, suffix: str, source: InputContainer) -> StreamPlan:
    if stream.remade:
        return StreamPlan(stream, Fate.REMAKE)
    if stream.type == "video" and not stream.cover:
        return StreamPlan(stream, Fate.DROP, f"{stream} is dropped: one video is restored")
    attached = stream.type == "attachment" or (stream.cover and stream.codec in COVERS)
    if attached and suffix == ".mkv":
        return StreamPlan(stream, Fate.ATTACH)
    if _listed(stream, suffix) and _opens(stream, suffix, source):
        return StreamPlan(stream, Fate.COPY)
    if stream.text:
        codec = TEXT_CODECS[suffix]
        notice = None
        if stream.codec in _STYLED:
            notice = f"{stream} becomes {codec}, which holds little of its styling"
            if suffix != ".mkv":
                notice += "; a .mkv output keeps it"
        return StreamPlan(stream, Fate.CONVERT, notice)
    keepers = [s for s in (".mp4", ".mkv") if s != suffix and _keeps(stream, s, source)]
    if not keepers:
        notice = f"{stream} is dropped: no output container holds it"
    else:
        notice = (
            f"{stream} is dropped: {suffix} files do not hold it;"
            f" a {' or '.join(keepers)} output keeps it"
        )
    return StreamPlan(stream, Fate.DROP, notice)


def _keeps(stream: StreamInfo, suffix: str, source: InputContainer) -> bool:
    plan = _plan(stream, suffix, source) if suffix == ".mkv" else None
    if plan is not None:
        return plan.fate is not Fate.DROP
    return _listed(stream, suffix) and _opens(stream, suffix, source)


def _listed(stream: StreamInfo, suffix: str) -> bool:
    """Whether players expect such a stream in such a container."""
    if stream.cover:
        return suffix in (".mp4", ".m4v")  # FFmpeg writes none into mov files
    if stream.type == "audio":
        pcm = suffix in ISO and stream.codec.startswith("pcm_")
        return suffix == ".mkv" or pcm or stream.codec in _AUDIO[suffix]
    if stream.type == "subtitle":
        if suffix == ".mkv":
            return stream.codec != "mov_text"
        return stream.codec == TEXT_CODECS[suffix]
    return False


def _opens(stream: StreamInfo, suffix: str, source: InputContainer) -> bool:
    """Whether a container's header takes the stream as it is, tried in memory."""
    if not stream.codec:
        return False
    trial = av.open(io.BytesIO(), "w", format=CONTAINERS[suffix][0])
    try:
        trial.add_stream_from_template(source.streams[stream.index], opaque=True)
        trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    return True
