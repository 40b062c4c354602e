"""What is known of a source before its frames are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path

from av.video.format import VideoFormat

from vsrdb_cli.text import count
from vsrdb_cli.video.pictures.metadata import PictureColour
from vsrdb_cli.video.pixels.colour import BT709, TV, Colour
from vsrdb_cli.video.pixels.pixel_formats import bit_depth
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, Crop
from vsrdb_cli.video.side_data.hdr import Light
from vsrdb_cli.video.side_data.view import View
from vsrdb_cli.video.timing import Timeline

PIPE = Path("-")

CHAPTER_PICTURES = "timed_thumbnails"  # FFmpeg's mark of their track, which is no cover


class Kind(Enum):
    """What the source is on disk."""

    VIDEO = "video"
    PICTURES = "pictures"  # a folder of pictures
    STILL = "still"  # one picture file
    PIPE = "pipe"  # a stream on stdin, read once


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream beside the main video.

    Attributes:
        type: video, audio, subtitle, attachment, data or unknown.
        codec: FFmpeg's name of the codec, whichever decoder reads it; "" if unknown to it.
        cover: an attached picture, shown as a file's cover and no video.
        text: subtitles that are text, which can be converted; others are pictures.
        styled: whether some of them have a place or a colour of their own, as far as is known.
        marks: its dispositions ("default", "forced") by FFmpeg's names.
        tags: what else is said of it, by the names of the tags.
        stranger: of another programme than the main video's.
        remade: a track of chapters or timecodes, which the output's container writes by itself.
    """

    index: int
    type: str
    codec: str
    language: str = ""
    title: str = ""
    cover: bool = False
    text: bool = False
    styled: bool = False
    marks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    stranger: bool = False
    remade: bool = False

    def __str__(self) -> str:
        kind = "cover picture" if self.cover else self.type
        title = f"({self.title})" if self.type == "data" and self.title else ""
        words = [kind, f"#{self.index}", *(w for w in (self.codec, self.language, title) if w)]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a source that is wanted; frames count from its first one, and so does time.

    Attributes:
        first: its first frame, counted from the source's first one.
        count: how many frames it has.
        begin: the time of its first frame on the clock of the whole source, in ticks.
        seconds: how long it lasts; None if it goes on to the source's end.
    """

    first: int
    count: int
    begin: int
    seconds: Fraction | None

    @property
    def frames(self) -> range:
        """Counted from the source's first one."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The main video of a source, as it will come out of the reader.

    Attributes:
        container: FFmpeg's name of the container's format, such as "mov,mp4,m4a,3gp,3g2,mj2".
        frame_count: as its packets promise, for progress and space; None if they cannot tell.
        rate: frames per second, on average where the rate varies.
        time_base: seconds per tick of every `Frame.pts`.
        duration_seconds: of the video alone, from its first frame on; None as above.
        end_seconds: when the last frame ends, on our clock, where the container knows exactly.
        promised_seconds: the same, perhaps rounded; an earlier end means that frames are missing.
        usual_seconds: from one frame to the next, as most are; None for `rate` throughout.
        in_decode_order: whether the file has only the times at which its reordered frames are
            decoded.
        coarse_time_base: seconds per tick of an output, where containers cannot hold `time_base`.
        start_seconds: the source's own clock at our time 0; taken from all streams alike.
        cut: the part that is wanted, where it is not all.
        bit_depth: of the frames: 8 (uint8), or 16 (uint16) for more than 8 bits a colour.
        colour: as to be written, and as read unless `converted_from` says otherwise.
        converted_from: the HDR colour of the source, where it is made SDR while it is read.
        light: static metadata of HDR video.
        sample_aspect_ratio: width of a pixel over its height; None if the file does not say.
        orientation: the display matrix's upper left part (a, b, c, d) in 1/65536, by which players
            turn or mirror the picture; None if they do not.
        view: how it is shown where not flat.
        captions: whether closed captions are in its pictures.
        attached: what else is attached to its first frame and dropped, a few words each.
        crop: lines and columns of the coded picture that the container hides: at the top, the
            bottom, the left and the right; `height` and `width` are without them.
        interlaced: whether frames may be interlaced, so that each is looked at.
        transparent: whether it has an alpha channel that is used; it is left out.
        main: what is told of the main video as of any stream; None where it is no stream's.
        streams: all but the main video, in the order of the file.
        metadata: what the file says of itself: title, artist and the like.
        timecode: the time of day of the first frame, such as 10:00:00:00.
        chapters: how many.
        pictures: file names, one per frame, where the source is pictures.
        picture_colour: what pictures say of their colours that `colour` may not hold.
        picture_metadata: what a single picture says of itself, as chunks of PNG.
        notices: what the reader changes or leaves out, one line each.
        assumed: what the file leaves open, and what it is taken for, one line each.
    """

    path: Path
    kind: Kind
    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    frame_count: int | None
    rate: Fraction
    time_base: Fraction
    start_seconds: Fraction
    duration_seconds: float | None
    end_seconds: Fraction | None
    promised_seconds: Fraction | None
    bit_depth: int
    colour: Colour
    usual_seconds: Fraction | None = None
    in_decode_order: bool = False
    coarse_time_base: Fraction | None = None
    cut: Cut | None = None
    converted_from: Colour | None = None
    light: Light = field(default_factory=Light)
    sample_aspect_ratio: Fraction | None = None
    orientation: tuple[int, int, int, int] | None = None
    view: View = field(default_factory=View)
    captions: bool = False
    attached: tuple[str, ...] = ()
    crop: Crop = NO_CROP
    interlaced: bool = False
    transparent: bool = False
    stream_index: int = 0
    main: StreamInfo | None = None
    streams: tuple[StreamInfo, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    timecode: str | None = None
    chapters: int = 0
    pictures: tuple[str, ...] = ()
    picture_colour: PictureColour = field(default_factory=PictureColour)
    picture_metadata: bytes = b""
    notices: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

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
    def made(cls, width: int, height: int, frames: int) -> VideoInfo:
        """Of pictures that are made, not read: 25 a second, BT.709, 8 bits."""
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
        """(height, width) of the source's frames as they are decoded."""
        top, bottom, left, right = self.crop
        return self.height + top + bottom, self.width + left + right

    @property
    def colour_bits(self) -> int:
        """How many bits a colour has in the source; of pictures, the deepest may have more."""
        bits = min(16, bit_depth(VideoFormat(self.pix_fmt)))
        return bits if (bits > 8) == (self.bit_depth > 8) else self.bit_depth

    @property
    def frames_before(self) -> int:
        """How many frames lie before the wanted part, as context."""
        return self.cut.first if self.cut else 0

    @property
    def frame_ticks(self) -> int:
        """The usual length of one frame, in ticks of `time_base`."""
        return max(1, round((self.usual_seconds or 1 / self.rate) / self.time_base))

    @property
    def output_time_base(self) -> Fraction:
        """Seconds per tick of an output."""
        return self.coarse_time_base or self.time_base

    @property
    def beside(self) -> tuple[str, ...]:
        """What the file holds beside its pictures, a few words each."""
        streams = [str(stream) for stream in self.streams if not stream.remade]
        if self.kind is not Kind.VIDEO:
            return tuple(streams)
        chapters = [count(self.chapters, "chapter")] if self.chapters else []
        timecode = [f"timecode {self.timecode}"] if self.timecode else []
        captions = ["closed captions"] if self.captions else []
        view = [str(self.view)] if self.view else []
        return (*streams, *captions, *view, *chapters, *timecode, *self.metadata)

    @property
    def timeline(self) -> Timeline:
        """How time counts for all who read the file."""
        begin = -self.cut.begin if self.cut else 0
        return Timeline(self.time_base, self.frame_ticks, self.start_seconds, begin)
