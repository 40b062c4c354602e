"""Metadata of files and streams: titles, languages, tags, chapters, timecodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from av.codec.codec import Properties
from av.sidedata.sidedata import Type
from av.stream import Discard, Disposition

from vsrdb_cli.video.containers.capabilities import container_of
from vsrdb_cli.video.containers.demuxing import codec_name, is_cover
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.info import CHAPTER_PICTURES, UNDETERMINED, StreamInfo
from vsrdb_cli.video.side_data.attachments import side_data
from vsrdb_cli.video.timing import ticks

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vsrdb_cli.video.containers.capabilities import Container
    from vsrdb_cli.video.info import VideoInfo

# Written by the container itself, or about the source's coding: copies would be wrong.
_OWN = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"),
    *("_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags"),
    *("bps", "number_of_frames", "number_of_bytes", "vendor_id", "alpha_mode", "rotate"),
    *("filename", "mimetype", "source_id", "stereo_mode"),
    *("encoding_settings", "encoding settings", "encoder_options"),
}
_LANGUAGE = re.compile(r"-[a-z]{2,3}(-[a-z]{2})?$")  # of a tag's words, as FFmpeg names them
# Carried by other means than a tag.
_TOLD = {"language", "title", "name", "handler_name", "creation_time"}
# Keys that mp4 and mov hold as numbers or places, with what these look like.
_PAIR, _NUMBER = re.compile(r"\d{1,4}(/\d{1,4})?"), re.compile(r"\d{1,9}")
_PLACE = re.compile(r"[+-]\d+(\.\d+)?[+-]\d+(\.\d+)?([+-]\d+(\.\d+)?)?/?")
_ANYTHING = re.compile(r".*", re.DOTALL)
_FORMS = {
    **{"track": _PAIR, "disc": _PAIR, "location": _PLACE, "compilation": _NUMBER},
    **dict.fromkeys(("media_type", "hd_video", "gapless_playback"), _NUMBER),
    **dict.fromkeys(("episode_sort", "season_number"), _NUMBER),
}
# Other codes of the languages mov files number (ISO 639-2 has two for some).
_MOV_NAMES = {
    **{"fre": "fra", "deu": "ger", "nld": "dut", "swe": "sve", "nob": "nor", "ell": "gre"},
    **{"isl": "ice", "zho": "chi", "fas": "per", "sqi": "alb", "rum": "ron", "cze": "ces"},
    **{"slo": "slk", "mkd": "mac", "hye": "arm", "kat": "geo", "bod": "tib", "mya": "bur"},
    **{"msa": "may", "cym": "wel", "eus": "baq"},
}
_TEXT = cast("int", Properties.TEXT_SUB.value)
# The rates FFmpeg counts timecodes at.
_TIMECODE_RATES = {24, 25, 30, 48, 50, 60, 100, 120, 150}
_TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.]\d\d")


def is_own(key: str) -> bool:
    """Return whether a tag is about the source's file or coding only, in any language."""
    return _LANGUAGE.sub("", key.lower()) in _OWN


def kept_metadata(container: InputContainer) -> dict[str, str]:
    """Return a file's title, artist and the like."""
    metadata = {
        key: value
        for key, value in container.metadata.items()
        # AVI has another name for the encoder.
        if not is_own(key) and (key, value[:4]) != ("software", "Lavf")
    }
    if "location" in metadata:  # FFmpeg gives a location twice, once with the language of its name
        metadata = {k: v for k, v in metadata.items() if not k.startswith("location-")}
    return metadata


def unusual_keys(metadata: Mapping[str, str], container: Container) -> tuple[str, ...]:
    """Return the keys a container holds only in FFmpeg's other way of writing metadata."""
    usual = container.keys
    if usual is None:
        return ()
    forms = {key: _FORMS.get(key.lower(), _ANYTHING) for key in metadata}
    return tuple(
        key
        for key, value in metadata.items()
        if key.lower() not in usual or not forms[key].fullmatch(value)
    )


def tags_of(stream: Stream) -> tuple[str, ...]:
    """Return the names of a stream's tags that are not carried in another way."""
    return tuple(k for k in stream.metadata if not is_own(k) and k.lower() not in _TOLD)


def copy_chapters(
    source: InputContainer,
    target: OutputContainer,
    info: VideoInfo,
    later_seconds: Fraction = Fraction(0),
) -> None:
    """Copy the chapters, moved with the clock and by `later_seconds`."""
    kept = []
    for chapter in source.chapters():
        time_base = chapter["time_base"] or Fraction(1)
        offset = ticks(info.start_seconds, time_base)
        chapter["start"] -= offset
        chapter["end"] -= offset
        if info.cut is not None:
            chapter["start"] = max(0, chapter["start"])
            if info.cut.seconds is not None:
                chapter["end"] = min(chapter["end"], ticks(info.cut.seconds, time_base))
            if chapter["end"] <= chapter["start"]:
                continue
        for edge in ("start", "end"):
            chapter[edge] = max(0, chapter[edge] + ticks(later_seconds, time_base))
        kept.append(chapter)
    if kept:
        target.set_chapters(kept)


def title_of(stream: Stream) -> str:
    """Return a track's title; FFmpeg has another name for it in mp4 and mov files."""
    names = ("title", "name", "handler_name") if stream.type == "data" else ("title", "name")
    return next((stream.metadata[name] for name in names if stream.metadata.get(name)), "")


def held_language(language: str, container: Container) -> str | None:
    """Return a language as a container writes it; None if it has no code for it."""
    if container.languages is None or language in ("", UNDETERMINED):
        return language
    name = _MOV_NAMES.get(language, language)
    return name if name in container.languages else None


def copy_stream_metadata(source: Stream, target: Stream) -> None:
    """Copy language, title and dispositions, which adding a stream leaves out."""
    for key, value in source.metadata.items():
        if not is_own(key) and key != "name":
            target.metadata[key] = value
    target.disposition = source.disposition
    container = container_of(cast("OutputContainer", target.container))
    language = held_language(source.metadata.get("language", ""), container)
    if language:
        target.metadata["language"] = language
    title = title_of(source)
    if title:
        target.metadata["title"] = title
    if not container.iso:
        target.metadata.pop("handler_name", None)
    elif title:  # where most players look for it
        target.metadata["handler_name"] = title


def timecode_of(container: InputContainer, main: Stream, first: VideoFrame) -> str | None:
    """Return the timecode of the first frame, from wherever the file has it."""
    others = [stream.metadata for stream in container.streams if stream.type == "data"]
    # What MPEG-2 attaches to a frame counts pictures, mostly from 0.
    own = first.metadata if Type.S12M_TIMECODE in side_data(first) else {}
    for metadata in (main.metadata, *others, container.metadata, own):
        for key, value in metadata.items():
            if key.lower() == "timecode" and _TIMECODE.fullmatch(value):
                return value
    return None


def keeps_timecode(timecode: str, rate: Fraction, container: Container) -> bool:
    """Return whether a container takes it: mp4 and mov count frames, Matroska copies text."""
    if not container.iso:
        return True
    whole = round(rate)
    return whole in _TIMECODE_RATES and (":" in timecode[8] or whole % 30 == 0)


def describe(stream: Stream) -> StreamInfo:
    """Describe a stream."""
    codec = None if stream.codec_context is None else stream.codec_context.codec
    timecode = stream.type == "data" and "timecode" in stream.metadata
    # mp4 and mov keep chapters in a track that FFmpeg reads by itself and then hides.
    hidden = stream.type == "data" and stream.discard is Discard.all
    chapters = hidden and bool(cast("InputContainer", stream.container).chapters())
    # Several views are reported for the pictures.
    marks = tuple(str(m.name) for m in stream.disposition if m is not Disposition.multilayer)
    return StreamInfo(
        index=stream.index,
        type=stream.type,
        codec=codec_name(stream) or _data_name(stream),
        language=stream.metadata.get("language", ""),
        title=title_of(stream),
        cover=stream.type == "video" and is_cover(stream) and CHAPTER_PICTURES not in marks,
        text=codec is not None and stream.type == "subtitle" and bool(codec.properties & _TEXT),
        marks=marks,
        tags=tags_of(stream),
        rebuilt=timecode or chapters,
    )


def _data_name(stream: Stream) -> str:
    """Return FFmpeg's name for a stream without a decoder, such as a camera's measurements."""
    return str(getattr(stream, "name", None) or "") if stream.type == "data" else ""


def is_its_still(other: Stream, stream: VideoStream, path: Path) -> bool:
    """Return whether a stream is the first frame again, as in animated AVIF."""
    if other.type != "video" or other.frames != 1 or other.duration is not None:
        return False
    first: dict[int, bytes] = {}
    with open_input(path) as container:
        for packet in container.demux(*(container.streams[s.index] for s in (stream, other))):
            first.setdefault(packet.stream.index, bytes(packet))
            if len(first) > 1:
                break
    return first.get(other.index) == first.get(stream.index)
