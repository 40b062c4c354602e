"""What becomes of everything a file holds beside its main video, decided before the work."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from vsrdb_cli.video.containers.capabilities import CONTAINERS, WIDE, Container
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.info import CHAPTER_PICTURES, StreamInfo, VideoInfo
from vsrdb_cli.video.streams.metadata import held_language
from vsrdb_cli.video.streams.plan import COVERS, Fate, StreamPlan, holds
from vsrdb_cli.video.streams.sound_policy import Heard, differences, listen, target_for

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

# Text with fonts, colours and places on the picture, which the others hold little of.
_STYLED = {"ass": ".mkv", "ssa": ".mkv", "eia_608": ".mov"}  # and what keeps them


def plan_streams(info: VideoInfo, suffix: str) -> tuple[StreamPlan, ...]:
    """Decide for every stream beside the main video, for a container by its name ending.

    All sound is decoded once, to know whether a copy will sound the same.
    """
    if not info.streams or info.pictures:
        return ()
    heard = listen(info)
    with open_input(info.path) as source:
        plans = [_plan(stream, suffix, source, heard) for stream in info.streams]
    wrong = differences(info, plans, suffix, heard)
    for place, plan in enumerate(plans):
        if plan.stream.index in wrong:
            reason = f"a copy {wrong[plan.stream.index]}"
            plans[place] = _converted(plan.stream, suffix, heard[plan.stream.index], reason)
        elif plan.stream.index in heard:
            plans[place] = replace(plan, decodes=heard[plan.stream.index].decodes)
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


def _text_converted(stream: StreamInfo, suffix: str) -> StreamPlan:
    codec = CONTAINERS[suffix].text
    notice = None
    if stream.codec in _STYLED or stream.styled:
        notice = f"{stream} becomes {codec}, which keeps little of its styling"
        keeper = _STYLED.get(stream.codec, ".mkv")
        if keeper != suffix:
            notice += f"; a {keeper} output keeps it"
    return StreamPlan(stream, Fate.CONVERT, notice)


def _converted(stream: StreamInfo, suffix: str, heard: Heard, reason: str) -> StreamPlan:
    """The plan of sound that cannot be copied, or whose copy would not sound the same."""
    target = target_for(stream, heard, CONTAINERS[suffix])
    if target is None:
        why = (
            f"nothing here encodes {heard.layout}" if heard.shapes else "it cannot be decoded here"
        )
        return StreamPlan(stream, Fate.DROP, f"{stream} is dropped: {why}, and {reason}")
    notice = f"{stream} is encoded anew as {target.codec}: {reason}"
    if not holds(target.layout, heard.layout):
        notice += f"; its channels ({heard.layout}) are mixed to {target.layout}"
    return StreamPlan(stream, Fate.CONVERT, notice, target)


def _plan(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, Heard]
) -> StreamPlan:
    left_out = _left_out(stream)
    if left_out:
        return StreamPlan(stream, Fate.DROP, left_out)
    if stream.remade or _is_attached(stream, suffix):
        return StreamPlan(stream, Fate.REMAKE if stream.remade else Fate.ATTACH)
    if _held(stream, suffix, source, heard):
        return StreamPlan(stream, Fate.COPY)
    if stream.text:
        return _text_converted(stream, suffix)
    others = [s for s in (*WIDE, ".mov") if s != suffix and _keeps(stream, s, source, heard)]
    keepers = [s for s in others if s in WIDE] or others
    unknown = not stream.codec and stream.type in ("audio", "subtitle")
    reason = "nothing here knows its codec" if unknown else f"{suffix} files do not hold it"
    if stream.codec and _listed(stream, CONTAINERS[suffix], source.format.name):
        reason = f"vsrdb cannot copy it into {suffix} files"  # which others may
    if keepers:
        reason += f"; a {' or '.join(keepers)} output keeps it"
    if stream.index in heard:
        return _converted(stream, suffix, heard[stream.index], reason)
    return StreamPlan(stream, Fate.DROP, f"{stream} is dropped: {reason}")


def _left_out(stream: StreamInfo) -> str | None:
    """Why a stream goes into no kind of file, in one line."""
    if stream.stranger:
        return f"{stream} is left out: it belongs to another programme than the video"
    if CHAPTER_PICTURES in stream.marks:
        return f"{stream} is dropped: vsrdb writes no pictures of chapters"
    if stream.type == "video" and not stream.cover:
        return f"{stream} is dropped: only one video is restored"
    return None


def _keeps(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, Heard]
) -> bool:
    return _is_attached(stream, suffix) or _held(stream, suffix, source, heard)


def _is_attached(stream: StreamInfo, suffix: str) -> bool:
    """Whether a container holds it as a file beside its streams."""
    attached = stream.type == "attachment" or (stream.cover and stream.codec in COVERS)
    return attached and CONTAINERS[suffix].attachments


def _held(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, Heard]
) -> bool:
    """Whether a container holds a stream as it is."""
    if not _listed(stream, CONTAINERS[suffix], source.format.name):
        return False
    return _opens(stream, suffix, source, heard)


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


def _opens(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, Heard]
) -> bool:
    """Whether a container takes the stream as it is, tried in memory; of sound with a packet."""
    if not stream.codec:
        return False
    trial = av.open(io.BytesIO(), "w", format=CONTAINERS[suffix].format)
    template = source.streams[stream.index]
    try:
        copy = trial.add_stream_from_template(template, opaque=True)
        trial.start_encoding()
        track = heard.get(stream.index)
        if track is not None and track.first is not None:
            packet: Packet[Any] = av.Packet(track.first[0])
            assert template.time_base is not None
            packet.stream, packet.time_base = copy, template.time_base
            packet.pts, packet.dts, packet.duration = 0, 0, track.first[1]
            trial.mux(packet)
            trial.close()
    except (ValueError, FFmpegError):
        return False
    return True
