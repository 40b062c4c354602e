"""What each output container can hold: the one table for all of `video`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.errors import OptionError

if TYPE_CHECKING:
    from av.container import OutputContainer


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of output file. None means whatever FFmpeg writes."""

    format: str
    """FFmpeg's name."""
    video: tuple[str, ...]
    """Codecs, as keys of `ENCODERS`; the first is the default."""
    audio: frozenset[str] | None
    """Codecs, by FFmpeg's names."""
    text: str
    """The codec that text subtitles become if they are not held as they are."""
    subtitles: frozenset[str] | None
    """Codecs held as they are."""
    marks: frozenset[str]
    """Dispositions it can hold, by FFmpeg's names."""
    pcm: bool = False
    """Whether it also holds uncompressed sound of any sample format."""
    lossless: str = "flac"
    """The encoder for lossless sound that cannot be copied."""
    lossy: str = "aac"
    """The encoder for other sound that cannot be copied."""
    tags: bool = False
    """Whether streams have tags of any name; otherwise only a few, handled separately."""
    attachments: bool = False
    """Whether it holds other files, such as fonts; covers are then attachments."""
    covers: bool = False
    """Whether it holds covers as streams."""
    keys: frozenset[str] | None = None
    """Metadata keys that players read; FFmpeg can write all keys in another way."""
    languages: frozenset[str] | None = None
    """Languages it has codes for, by its own names."""
    iso: bool = False
    """Whether it is MPEG-4 or QuickTime: times are whole ticks of the video's own time base, not
    milliseconds; a timecode is a count of frames, at a few rates; what begins before the first
    picture can be hidden, where others delay everything so that it is heard.
    """


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MP4 = Container(
    "mp4",
    video=("h264", "hevc", "av1", "vp9"),
    audio=_words("aac mp3 mp2 ac3 eac3 dts opus flac alac vorbis"),
    pcm=True,
    text="mov_text",
    subtitles=_words("mov_text"),
    marks=_words(
        "default dub comment forced hearing_impaired visual_impaired captions descriptions"
    ),
    covers=True,
    keys=_words(
        "title artist album_artist composer album date comment genre copyright grouping"
        " lyrics description synopsis show episode_id network keywords episode_sort"
        " season_number media_type hd_video gapless_playback compilation track disc"
        " location creation_time"
    ),
    iso=True,
)

# By the endings of file names.
CONTAINERS: Mapping[str, Container] = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container(
        "mov",
        video=("h264", "hevc", "prores"),
        audio=_words("aac mp3 mp2 ac3 eac3 alac amr_nb amr_wb adpcm_ima_qt pcm_mulaw pcm_alaw"),
        pcm=True,
        lossless="alac",  # QuickTime does not support FLAC
        text="mov_text",
        subtitles=_words("mov_text eia_608"),
        marks=_words("default"),
        keys=_words(
            "title artist album date comment genre copyright location creation_time make model"
        ),
        # mp4 and Matroska take any of three letters.
        languages=_words(
            "eng fra ger ita dut sve spa dan por nor heb jpn ara fin gre ice mlt tur chi urd"
            " hin tha kor lit pol hun est lav per rus iri alb ron ces slk slv yid mac bul ukr"
            " bel uzb kaz aze arm geo mol kir tgk tuk mon pus kur kas snd tib nep san mar ben"
            " asm guj ori mal kan tam tel sin bur khm lao vie ind tgl may amh tir orm som swa"
            " kin run nya mlg epo wel baq cat lat que grn aym tat uig dzo jav"
        ),
        iso=True,
    ),
    ".mkv": Container(
        "matroska",
        video=("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
        audio=None,
        text="subrip",
        subtitles=None,
        marks=_words(
            "default dub original comment forced hearing_impaired visual_impaired descriptions"
        ),
        tags=True,
        attachments=True,
    ),
    ".webm": Container(
        "webm",
        video=("vp9", "av1"),
        audio=_words("opus vorbis"),
        lossless="libopus",
        lossy="libopus",
        text="webvtt",
        subtitles=_words("webvtt"),
        marks=_words("default forced captions descriptions metadata"),
        tags=True,
    ),
}
# Suggested to users whose container cannot hold something, the more common one first.
WIDE = (".mp4", ".mkv")


def suffixes_for(codec: str) -> tuple[str, ...]:
    """Return the name endings of files that may hold a codec's video."""
    return tuple(suffix for suffix, container in CONTAINERS.items() if codec in container.video)


def container_of(output: OutputContainer) -> Container:
    """Return which container an open output is."""
    return next(c for c in CONTAINERS.values() if c.format == output.format.name)


def suffix_of(path: Path) -> str:
    """Return and check the ending of an output's file name.

    Raises:
        OptionError: no container has it.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise OptionError(
            f"{path.name}: unsupported output extension '{suffix}'"
            if suffix
            else f"{path.name}: the output needs an extension",
            hint=f"end the output's name in one of: {' '.join(CONTAINERS)}"
            f" (or, for pictures, create the folder first: mkdir '{path}')",
        )
    return suffix
