"""What becomes of everything a file holds beside its main video, decided before the work."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from vsrdb_cli.video.container import open_input
from vsrdb_cli.video.containers import CONTAINERS, WIDE, Container
from vsrdb_cli.video.info import CHAPTER_PICTURES, StreamInfo, VideoInfo
from vsrdb_cli.video.metadata import held_language

if TYPE_CHECKING:
    from av.container import InputContainer

# Text with fonts, colours and places on the picture, which the others hold little of.
_STYLED = {"ass": ".mkv", "ssa": ".mkv", "eia_608": ".mov"}  # and what keeps them
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
    """The plan, with a word on what is said of the stream and lost."""
    if plan.fate not in (Fate.COPY, Fate.CONVERT) or plan.stream.cover:
        return plan
    notices = [plan.notice] if plan.notice else []
    return replace(plan, notice="; ".join([*notices, *unsaid(plan.stream, suffix)]) or None)


def unsaid(stream: StreamInfo, suffix: str) -> Iterator[str]:
    """What is said of a stream that a container does not hold of it, one line each."""
    marks = _lost_marks(stream, suffix)
    if marks:
        keepers = [s for s in WIDE if s != suffix and not _lost_marks(stream, s)]
        kept = f"; a {' or '.join(keepers)} output keeps it" if keepers else ""
        yield f"{stream} is no longer marked as {', '.join(marks)} in {suffix} files{kept}"
    if stream.tags and not CONTAINERS[suffix].tags:
        yield (
            f"tags of {stream} are dropped ({', '.join(stream.tags)}): {suffix} files do not hold"
            " them; a .mkv output keeps them"
        )


def _lost_marks(stream: StreamInfo, suffix: str) -> list[str]:
    lost = [mark for mark in stream.marks if mark not in CONTAINERS[suffix].marks]
    if held_language(stream.language, CONTAINERS[suffix]) is None:
        lost.append(f"of the language {stream.language}")
    return lost


def has_cover(plans: tuple[StreamPlan, ...]) -> bool:
    """Whether a cover picture is copied as a stream."""
    return any(plan.stream.cover and plan.fate is Fate.COPY for plan in plans)


def _plan(stream: StreamInfo, suffix: str, source: InputContainer) -> StreamPlan:
    left_out = _left_out(stream)
    if left_out:
        return StreamPlan(stream, Fate.DROP, left_out)
    if stream.remade:
        return StreamPlan(stream, Fate.REMAKE)
    attached = stream.type == "attachment" or (stream.cover and stream.codec in COVERS)
    if attached and CONTAINERS[suffix].attachments:
        return StreamPlan(stream, Fate.ATTACH)
    if _held(stream, suffix, source):
        return StreamPlan(stream, Fate.COPY)
    if stream.text:
        codec = CONTAINERS[suffix].text
        notice = None
        if stream.codec in _STYLED:
            notice = (
                f"{stream} becomes {codec}, which keeps little of its styling;"
                f" a {_STYLED[stream.codec]} output keeps it"
            )
        return StreamPlan(stream, Fate.CONVERT, notice)
    others = [s for s in (*WIDE, ".mov") if s != suffix and _keeps(stream, s, source)]
    keepers = [s for s in others if s in WIDE] or others
    if not keepers:
        notice = f"{stream} is dropped: vsrdb cannot write it into any kind of file"
    else:
        notice = (
            f"{stream} is dropped: {suffix} files do not hold it;"
            f" a {' or '.join(keepers)} output keeps it"
        )
    return StreamPlan(stream, Fate.DROP, notice)


def _left_out(stream: StreamInfo) -> str | None:
    """Why a stream goes into no kind of file, in one line."""
    if stream.stranger:
        return f"{stream} is left out: it belongs to another programme than the video"
    if CHAPTER_PICTURES in stream.marks:
        return f"{stream} is dropped: vsrdb writes no pictures of chapters"
    if stream.type == "video" and not stream.cover:
        return f"{stream} is dropped: only one video is restored"
    return None


def _keeps(stream: StreamInfo, suffix: str, source: InputContainer) -> bool:
    plan = _plan(stream, suffix, source) if suffix == ".mkv" else None
    if plan is not None:
        return plan.fate is not Fate.DROP
    return _held(stream, suffix, source)


def _held(stream: StreamInfo, suffix: str, source: InputContainer) -> bool:
    """Whether a container holds a stream as it is."""
    if not _listed(stream, CONTAINERS[suffix], source.format.name):
        return False
    return _opens(stream, suffix, source)


def _listed(stream: StreamInfo, container: Container, source_format: str) -> bool:
    """Whether players expect such a stream in such a container."""
    if stream.type == "data":  # of cameras, which read it by its tag
        return container.iso and source_format.startswith("mov")
    if stream.cover:
        return container.covers
    if stream.type == "audio":
        pcm = container.pcm and stream.codec.startswith("pcm_")
        return pcm or container.audio is None or stream.codec in container.audio
    if stream.type == "subtitle":
        return container.subtitles is None or stream.codec in container.subtitles
    return False


def _opens(stream: StreamInfo, suffix: str, source: InputContainer) -> bool:
    """Whether a container's header takes the stream as it is, tried in memory."""
    if not stream.codec:
        return False
    trial = av.open(io.BytesIO(), "w", format=CONTAINERS[suffix].format)
    try:
        trial.add_stream_from_template(source.streams[stream.index], opaque=True)
        trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    return True
