"""Describe a source before its frames are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path

from av.video.format import VideoFormat

from vsrdb_cli.text import count
from vsrdb_cli.video.filtering.filtering import Filtering
from vsrdb_cli.video.pictures.metadata import PictureColour
from vsrdb_cli.video.pixels.colour import BT709, TV, Colour
from vsrdb_cli.video.pixels.pixel_formats import bit_depth
from vsrdb_cli.video.pixels.telecine import FRAMES_OF_FILM, QUARTERS, Film
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, Crop
from vsrdb_cli.video.side_data.hdr import Light
from vsrdb_cli.video.side_data.immersive import View
from vsrdb_cli.video.timing import Timeline

PIPE = Path("-")

UNDETERMINED = "und"  # a language, by ISO 639-2
CHAPTER_PICTURES = "timed_thumbnails"  # FFmpeg's disposition of their track, which is not a cover


class Kind(Enum):
    """The kinds of source."""

    VIDEO = "video"
    PICTURES = "pictures"  # a folder of pictures
    STILL = "still"  # one picture file
    PIPE = "pipe"  # a stream on stdin, read once


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream beside the main video."""

    index: int
    type: str
    """video, audio, subtitle, attachment, data or unknown."""
    codec: str
    """FFmpeg's name of the codec, whichever decoder reads it; "" if unknown to it."""
    language: str = ""
    title: str = ""
    cover: bool = False
    """Whether it is an attached picture, shown as a file's cover."""
    text: bool = False
    """Whether it is text subtitles, which can be converted; others are pictures."""
    styled: bool = False
    """Whether some texts are known to have a position or colour of their own."""
    marks: tuple[str, ...] = ()
    """Its dispositions ("default", "forced") by FFmpeg's names."""
    tags: tuple[str, ...] = ()
    """The names of its further tags."""
    foreign: bool = False
    """Whether it belongs to another programme than the main video."""
    rebuilt: bool = False
    """Whether it is a track of chapters or timecodes, which the output rebuilds."""

    def __str__(self) -> str:
        kind = "cover picture" if self.cover else self.type
        title = f"({self.title})" if self.type == "data" and self.title else ""
        language = "" if self.language == UNDETERMINED else self.language
        return " ".join(filter(None, (kind, f"#{self.index}", self.codec, language, title)))


@dataclass(frozen=True, slots=True)
class Cut:
    """The wanted part of a source; frames and time count from its first frame."""

    first: int
    """The index of its first frame in the source."""
    count: int
    """The number of its frames."""
    begin: int
    """The time of its first frame on the clock of the whole source, in ticks."""
    seconds: Fraction | None
    """How long it lasts; None if it goes on to the source's end."""

    @property
    def frames(self) -> range:
        """The frames of the part, counted from the source's first one."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The main video of a source, as the reader will give it."""

    path: Path
    kind: Kind
    container: str
    """FFmpeg's name of the container's format, such as "mov,mp4,m4a,3gp,3g2,mj2"."""
    codec: str
    pix_fmt: str
    width: int
    height: int
    frame_count: int | None
    """As its packets promise, for progress and disk space; None if they cannot tell."""
    rate: Fraction
    """Frames per second, on average if the rate varies."""
    time_base: Fraction
    """Seconds per tick of every `Frame.pts`."""
    start_seconds: Fraction
    """The source's time at our time 0; taken from all streams alike."""
    duration_seconds: float | None
    """Of the video alone, from its first frame on; None if unknown."""
    end_seconds: Fraction | None
    """When the last frame ends, on our clock, if the container knows exactly."""
    promised_seconds: Fraction | None
    """The same, perhaps rounded; if the video ends earlier, frames are missing."""
    bit_depth: int
    """Of the frames: 8 (uint8), or 16 (uint16) for more than 8 bits a colour."""
    colour: Colour
    """As written, and as read unless `converted_from` is set."""
    prefilter: Filtering | None = None
    """The filters its frames pass first; all here is as they leave them."""
    unfiltered: VideoInfo | None = None
    """The same video without `prefilter`; None if there is none."""
    usual_seconds: Fraction | None = None
    """Between most frames and the next; None for `rate` throughout."""
    in_decode_order: bool = False
    """Whether the file has only the decoding times of its reordered frames."""
    coarse_time_base: Fraction | None = None
    """Seconds per tick of an output, if containers cannot hold `time_base`."""
    cut: Cut | None = None
    """The wanted part; None for all."""
    converted_from: Colour | None = None
    """The HDR colour of the source, if it is converted to SDR while it is read."""
    light: Light = field(default_factory=Light)
    """Static metadata of HDR video."""
    sample_aspect_ratio: Fraction | None = None
    """Width of a pixel over its height; None if unspecified."""
    orientation: tuple[int, int, int, int] | None = None
    """The display matrix's upper left part (a, b, c, d) in 1/65536, by which players turn or mirror
    the picture; None if they do not.
    """
    view: View = field(default_factory=View)
    """How it is shown if it is not flat."""
    captions: bool = False
    """Whether its pictures carry closed captions."""
    attached: tuple[str, ...] = ()
    """Names of what else is attached to its first frame and dropped."""
    crop: Crop = NO_CROP
    """Lines and columns of the coded picture that the container hides: top, bottom, left and right;
    `height` and `width` are without them.
    """
    interlaced: bool = False
    """Whether frames may be interlaced, so that each is checked."""
    film: Film | None = None
    """Where the frames of film lie that are read instead of the video's; `frame_count`, `rate` and
    `time_base` are those of the film.
    """
    transparent: bool = False
    """Whether it has an alpha channel that is used; it is left out."""
    stream_index: int = 0
    main: StreamInfo | None = None
    """The main video as a stream; None if it is not one."""
    streams: tuple[StreamInfo, ...] = ()
    """All but the main video, in the order of the file."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The file's title, artist and the like."""
    timecode: str | None = None
    """The time of day of the first frame, such as 10:00:00:00."""
    chapters: int = 0
    """The number of chapters."""
    pictures: tuple[str, ...] = ()
    """File names, one per frame, if the source is pictures."""
    picture_colour: PictureColour = field(default_factory=PictureColour)
    """Colour information of pictures that `colour` may not hold."""
    picture_metadata: bytes = b""
    """A single picture's metadata, as chunks of PNG."""
    notices: tuple[str, ...] = ()
    """What the reader changes or leaves out, one line each."""
    assumed: tuple[str, ...] = ()
    """What the file does not specify, and what is assumed, one line each."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a picture of {self.width}x{self.height}")
        if min(self.rate, self.time_base) <= 0:
            raise ValueError(f"{self.rate} frames a second, {self.time_base} seconds a tick")
        if self.bit_depth not in (8, 16):
            raise ValueError(f"frames of {self.bit_depth} bits; they are of 8 or 16")
        if self.frame_count is not None and self.frame_count < 0:
            raise ValueError(f"{self.frame_count} frames")
        if self.pictures and (self.frame_count is None or self.frame_count > len(self.pictures)):
            raise ValueError(f"{len(self.pictures)} names for {self.frame_count} pictures")

    @classmethod
    def synthetic(cls, width: int, height: int, frames: int) -> VideoInfo:
        """Describe pictures that are generated, not read: 25 fps, BT.709, 8 bits."""
        rate = Fraction(25)
        return cls(
            path=Path("made"),
            kind=Kind.STILL,
            container="",
            codec="",
            pix_fmt="yuv420p",
            width=width,
            height=height,
            frame_count=frames,
            rate=rate,
            time_base=1 / rate,
            start_seconds=Fraction(0),
            duration_seconds=None,
            end_seconds=None,
            promised_seconds=None,
            bit_depth=8,
            colour=Colour(BT709, TV, 1, 1),
        )

    @property
    def coded_size(self) -> tuple[int, int]:
        """(height, width) of the source's frames as decoded."""
        top, bottom, left, right = self.crop
        return self.height + top + bottom, self.width + left + right

    @property
    def colour_bits(self) -> int:
        """Bits per colour in the source; the deepest picture may have more."""
        bits = min(16, bit_depth(VideoFormat(self.pix_fmt)))
        return bits if (bits > 8) == (self.bit_depth > 8) else self.bit_depth

    @property
    def lead_in(self) -> int:
        """Number of frames on either side that are also read for the prefilter."""
        return self.prefilter.graph.memory if self.prefilter else 0

    @property
    def frames_before(self) -> int:
        """Number of frames before the wanted part, as context."""
        return self.cut.first if self.cut else 0

    @property
    def frame_ticks(self) -> int:
        """The usual duration of a frame, in ticks of `time_base`."""
        return max(1, round((self.usual_seconds or 1 / self.rate) / self.time_base))

    @property
    def coded_rate(self) -> Fraction:
        """Frames per second in the file."""
        return self.rate if self.film is None else self.rate / FRAMES_OF_FILM

    @property
    def output_time_base(self) -> Fraction:
        """Seconds per tick of an output."""
        return self.coarse_time_base or self.time_base

    @property
    def extras(self) -> tuple[str, ...]:
        """What the file holds beside its pictures, a few words each."""
        streams = [str(stream) for stream in self.streams if not stream.rebuilt]
        if self.kind is not Kind.VIDEO:
            return tuple(streams)
        chapters = [count(self.chapters, "chapter")] if self.chapters else []
        timecode = [f"timecode {self.timecode}"] if self.timecode else []
        captions = ["closed captions"] if self.captions else []
        view = [str(self.view)] if self.view else []
        return (*streams, *captions, *view, *chapters, *timecode, *self.metadata)

    @property
    def timeline(self) -> Timeline:
        """The timeline for everything that reads the file."""
        begin = -self.cut.begin if self.cut else 0
        if self.film is None:
            return Timeline(self.time_base, self.frame_ticks, self.start_seconds, begin)
        # The file's own ticks and frames are longer and shorter.
        return Timeline(
            QUARTERS * self.time_base,
            round(1 / self.coded_rate / self.time_base / QUARTERS),
            self.start_seconds,
            round(begin / QUARTERS),
        )
