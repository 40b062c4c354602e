"""Decide before the work whether each side stream is copied, converted or dropped."""

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
from vsrdb_cli.video.streams.plan import COVERS, StreamAction, StreamPlan, holds
from vsrdb_cli.video.streams.sound_policy import (
    SoundScan,
    choose_sound_target,
    scan_sound,
    try_copies,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

# Text with fonts, colours and positions, most of which other codecs lose.
_STYLED = {"ass": ".mkv", "ssa": ".mkv", "eia_608": ".mov"}  # and what keeps them


def plan_streams(info: VideoInfo, suffix: str) -> tuple[StreamPlan, ...]:
    """Decide what is done with each stream beside the main video, for a container.

    All sound is decoded once, to find out whether a copy will sound the same.
    """
    if not info.streams or info.pictures:
        return ()
    heard = scan_sound(info)
    with open_input(info.path) as source:
        plans = [_plan(stream, suffix, source, heard) for stream in info.streams]
    wrong = try_copies(info, plans, suffix, heard)
    for place, plan in enumerate(plans):
        if plan.stream.index in wrong:
            reason = f"a copy {wrong[plan.stream.index]}"
            plans[place] = _converted(plan.stream, suffix, heard[plan.stream.index], reason)
        elif plan.stream.index in heard:
            plans[place] = replace(plan, decodes=heard[plan.stream.index].decodes)
    return tuple(_with_marks(plan, suffix) for plan in plans)


def _with_marks(plan: StreamPlan, suffix: str) -> StreamPlan:
    """Add a notice of the stream's metadata that is lost."""
    if plan.action not in (StreamAction.COPY, StreamAction.CONVERT) or plan.stream.cover:
        return plan
    notices = [plan.notice] if plan.notice else []
    return replace(
        plan, notice="; ".join([*notices, *metadata_notices(plan.stream, suffix)]) or None
    )


def metadata_notices(stream: StreamInfo, suffix: str) -> Iterator[str]:
    """Yield what a container does not hold of a stream's metadata, one line each."""
    marks = _lost_marks(stream, suffix)
    if marks:
        keepers = [s for s in WIDE if s != suffix and not _lost_marks(stream, s)]
        kept = f"; a {' or '.join(keepers)} output keeps it" if keepers else ""
        yield f"{stream} is no longer marked as {', '.join(marks)} in {suffix} files{kept}"
    if stream.tags and not CONTAINERS[suffix].tags:
        yield (
            f"tags of {stream} are dropped ({', '.join(stream.tags)}): {suffix} files cannot hold"
            " them; a .mkv output keeps them"
        )


def _lost_marks(stream: StreamInfo, suffix: str) -> list[str]:
    lost = [mark for mark in stream.marks if mark not in CONTAINERS[suffix].marks]
    if held_language(stream.language, CONTAINERS[suffix]) is None:
        lost.append(f"language {stream.language}")
    return lost


def has_cover(plans: tuple[StreamPlan, ...]) -> bool:
    """Return whether a cover picture is copied as a stream."""
    return any(plan.stream.cover and plan.action is StreamAction.COPY for plan in plans)


def _text_converted(stream: StreamInfo, suffix: str) -> StreamPlan:
    codec = CONTAINERS[suffix].text
    notice = None
    if stream.codec in _STYLED or stream.styled:
        notice = f"{stream} is converted to {codec}, which keeps little of its styling"
        keeper = _STYLED.get(stream.codec, ".mkv")
        if keeper != suffix:
            notice += f"; a {keeper} output keeps it"
    return StreamPlan(stream, StreamAction.CONVERT, notice)


def _converted(stream: StreamInfo, suffix: str, heard: SoundScan, reason: str) -> StreamPlan:
    """Plan sound that cannot be copied, or whose copy would not sound the same."""
    target = choose_sound_target(stream, heard, CONTAINERS[suffix])
    if target is None:
        why = f"no encoder supports {heard.layout}" if heard.shapes else "it cannot be decoded"
        return StreamPlan(stream, StreamAction.DROP, f"{stream} is dropped: {why}, and {reason}")
    notice = f"{stream} is re-encoded as {target.codec}: {reason}"
    if not holds(target.layout, heard.layout):
        notice += f"; its channels ({heard.layout}) are mixed to {target.layout}"
    return StreamPlan(stream, StreamAction.CONVERT, notice, target)


def _plan(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, SoundScan]
) -> StreamPlan:
    left_out = _left_out(stream, heard.get(stream.index))
    if left_out:
        return StreamPlan(stream, StreamAction.DROP, left_out)
    if stream.rebuilt or _is_attached(stream, suffix):
        return StreamPlan(stream, StreamAction.REBUILD if stream.rebuilt else StreamAction.ATTACH)
    if _held(stream, suffix, source, heard):
        return StreamPlan(stream, StreamAction.COPY)
    if stream.text:
        return _text_converted(stream, suffix)
    others = [s for s in (*WIDE, ".mov") if s != suffix and _keeps(stream, s, source, heard)]
    keepers = [s for s in others if s in WIDE] or others
    unknown = not stream.codec and stream.type in ("audio", "subtitle")
    reason = "its codec is unknown" if unknown else f"{suffix} files cannot hold it"
    if stream.codec and _listed(stream, CONTAINERS[suffix], source.format.name):
        reason = f"vsrdb cannot copy it into {suffix} files"  # which others may
    if keepers:
        reason += f"; a {' or '.join(keepers)} output keeps it"
    if stream.index in heard:
        return _converted(stream, suffix, heard[stream.index], reason)
    return StreamPlan(stream, StreamAction.DROP, f"{stream} is dropped: {reason}")


def _left_out(stream: StreamInfo, heard: SoundScan | None) -> str | None:
    """Return why a stream goes into no kind of file, in one line."""
    if stream.foreign:
        return f"{stream} is dropped: it belongs to another programme than the video"
    if CHAPTER_PICTURES in stream.marks:
        return f"{stream} is dropped: chapter pictures are not supported"
    if stream.type == "video" and not stream.cover:
        return f"{stream} is dropped: only one video is restored"
    if heard is not None and heard.impossible_rate is not None:
        return f"{stream} is dropped: no sound has {heard.impossible_rate:,} samples a second"
    return None


def _keeps(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, SoundScan]
) -> bool:
    return _is_attached(stream, suffix) or _held(stream, suffix, source, heard)


def _is_attached(stream: StreamInfo, suffix: str) -> bool:
    """Return whether a container holds it as an attached file."""
    attached = stream.type == "attachment" or (stream.cover and stream.codec in COVERS)
    return attached and CONTAINERS[suffix].attachments


def _held(
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, SoundScan]
) -> bool:
    """Return whether a container holds a stream as it is."""
    if not _listed(stream, CONTAINERS[suffix], source.format.name):
        return False
    return _opens(stream, suffix, source, heard)


def _listed(stream: StreamInfo, container: Container, source_format: str) -> bool:
    """Return whether players expect such a stream in such a container."""
    if stream.type == "data":  # of cameras, which identify it by its tag
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
    stream: StreamInfo, suffix: str, source: InputContainer, heard: Mapping[int, SoundScan]
) -> bool:
    """Return whether a container takes the stream as it is, tried in memory."""
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
