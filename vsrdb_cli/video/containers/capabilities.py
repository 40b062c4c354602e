"""What each container holds: the one table that all of `video` asks."""

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
    """One kind of output file. None: whatever FFmpeg writes.

    Attributes:
        format: FFmpeg's name.
        video: codecs, as keys of `ENCODERS`; the first is taken where none is asked for.
        audio: codecs, by FFmpeg's names.
        pcm: whether sound without compression is held too, whatever its samples.
        lossless, lossy: encoders of sound that is not held, or whose copy would not sound the same.
        text: what text subtitles become where they are not held as they are.
        subtitles: codecs held as they are.
        marks: what streams can be marked as, by FFmpeg's names.
        tags: whether streams have tags of any name; else it holds a few that are told elsewhere.
        attachments: whether other files, such as fonts, are held; covers are then such.
        covers: whether covers are held as streams.
        keys: metadata in the way that players read; another way of writing holds all keys alike,
            in FFmpeg's files.
        languages: those it has numbers for, by its own names.
        iso: whether it is of Apple's and MPEG's family: times are whole ticks of the video's own
            time base, not milliseconds; a timecode is a count of frames, at a few rates; what
            begins before the first picture can be hidden, where others move all to let it be heard.
    """

    format: str
    video: tuple[str, ...]
    audio: frozenset[str] | None
    text: str
    subtitles: frozenset[str] | None
    marks: frozenset[str]
    pcm: bool = False
    lossless: str = "flac"
    lossy: str = "aac"
    tags: bool = False
    attachments: bool = False
    covers: bool = False
    keys: frozenset[str] | None = None
    languages: frozenset[str] | None = None
    iso: bool = False


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
        lossless="alac",  # QuickTime knows no FLAC
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
# Named to those whose container does not hold something, the more common one first.
WIDE = (".mp4", ".mkv")


def suffixes_for(codec: str) -> tuple[str, ...]:
    """The name endings of files that may hold a codec's video."""
    return tuple(suffix for suffix, container in CONTAINERS.items() if codec in container.video)


def container_of(output: OutputContainer) -> Container:
    """What an open output is."""
    return next(c for c in CONTAINERS.values() if c.format == output.format.name)


def suffix_of(path: Path) -> str:
    """The output's file name ending, checked.

    Raises:
        OptionError: no container has it.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise OptionError(
            f"{path.name}: no video is written to '{suffix or 'a name without an ending'}'",
            hint=f"end the output's name in one of: {' '.join(CONTAINERS)}"
            f" (or, for pictures, make the folder first: mkdir '{path}')",
        )
    return suffix
