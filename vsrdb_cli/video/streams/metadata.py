"""What a file says of itself and of its streams: titles, languages, chapters, timecodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.sidedata.sidedata import Type

from vsrdb_cli.video.containers.capabilities import container_of
from vsrdb_cli.video.side_data.attachments import side_data
from vsrdb_cli.video.timing import ticks

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame

    from vsrdb_cli.video.containers.capabilities import Container
    from vsrdb_cli.video.info import VideoInfo

# Written by the container itself, or of the source's coding; copied, they would be wrong.
_OWN = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"),
    *("_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags"),
    *("bps", "number_of_frames", "number_of_bytes", "vendor_id", "alpha_mode", "rotate"),
    *("filename", "mimetype", "source_id", "stereo_mode"),
    *("encoding_settings", "encoding settings", "encoder_options"),
}
_LANGUAGE = re.compile(r"-[a-z]{2,3}(-[a-z]{2})?$")  # of a tag's words, as FFmpeg names them
# Said of a stream by other means than a tag.
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
# The rates FFmpeg counts timecodes at.
_TIMECODE_RATES = {24, 25, 30, 48, 50, 60, 100, 120, 150}
_TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.]\d\d")


def is_own(key: str) -> bool:
    """Whether a tag is of the source's file or coding alone, in whatever language it says so."""
    return _LANGUAGE.sub("", key.lower()) in _OWN


def kept_metadata(container: InputContainer) -> dict[str, str]:
    """Title, artist and the like of a file."""
    metadata = {
        key: value
        for key, value in container.metadata.items()
        # AVI has another name for what is called the encoder elsewhere.
        if not is_own(key) and (key, value[:4]) != ("software", "Lavf")
    }
    if "location" in metadata:  # FFmpeg names a place twice, once with the language of its name
        metadata = {k: v for k, v in metadata.items() if not k.startswith("location-")}
    return metadata


def unusual_keys(metadata: Mapping[str, str], container: Container) -> tuple[str, ...]:
    """What a container holds only in FFmpeg's other way of writing metadata."""
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
    """The names of tags that are said of a stream in no other way."""
    return tuple(k for k in stream.metadata if not is_own(k) and k.lower() not in _TOLD)


def copy_chapters(
    source: InputContainer,
    target: OutputContainer,
    info: VideoInfo,
    later_seconds: Fraction = Fraction(0),
) -> None:
    """The chapters, moved with the clock, and later still if all else is."""
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
    """What a track is called; FFmpeg has another name for it in mp4 and mov files."""
    names = ("title", "name", "handler_name") if stream.type == "data" else ("title", "name")
    return next((stream.metadata[name] for name in names if stream.metadata.get(name)), "")


def held_language(language: str, container: Container) -> str | None:
    """A language as a container writes it; None where it has no place for it."""
    if container.languages is None or language in ("", "und"):
        return language
    name = _MOV_NAMES.get(language, language)
    return name if name in container.languages else None


def copy_stream_metadata(source: Stream, target: Stream) -> None:
    """Language, title and dispositions, which the making of a stream leaves out."""
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
    """The time of day of the first frame, from wherever the file has it."""
    others = [stream.metadata for stream in container.streams if stream.type == "data"]
    # What MPEG-2 attaches to a frame counts pictures, mostly from 0.
    own = first.metadata if Type.S12M_TIMECODE in side_data(first) else {}
    for metadata in (main.metadata, *others, container.metadata, own):
        for key, value in metadata.items():
            if key.lower() == "timecode" and _TIMECODE.fullmatch(value):
                return value
    return None


def keeps_timecode(timecode: str, rate: Fraction, container: Container) -> bool:
    """Whether a container takes it: mp4 and mov count its frames, Matroska copies the words."""
    if not container.iso:
        return True
    whole = round(rate)
    return whole in _TIMECODE_RATES and (":" in timecode[8] or whole % 30 == 0)
