"""What is known of a source before its frames are read, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path

from av.video.format import VideoFormat

from vsrdb_cli.text import count
from vsrdb_cli.video.colour import BT709, TV, Colour, bit_depth
from vsrdb_cli.video.conversion import NO_CROP, Crop
from vsrdb_cli.video.hdr import Light
from vsrdb_cli.video.picture_colour import PictureColour
from vsrdb_cli.video.timing import Timeline
from vsrdb_cli.video.view import View

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


@dataclass(slots=True)
class ReadReport:
    """What happened while frames were read; grows as they are.

    Attributes:
        damaged_packets: parts of the video that could not be decoded.
        damaged_frames: decoded, but not to what they were; often with an older picture in places.
        lone_fields: half pictures without the other half, shown with all lines doubled.
        read_errors: places of the file that could not be read.
        missing_seconds: how much earlier than it says the video ends.
        repaired_times: frames without a time, or with one not after the frame before.
        clock_restarts: how often the file's clock went back; time goes on without a gap.
        deinterlaced: frames that were two half pictures of different moments.
        resized: frames of another size than the first.
        reshaped: frames that are not shown in their own shape, but in the first one's.
        shapes: what the last one of these is, and the first one.
        turned: frames that are to be turned or mirrored otherwise than the first.
        rounded: frames of more bits a colour than the first.
        recoloured: frames that say of their colours that they mean something else than the first's.
        opaque_again: frames that were transparent in places, where the first was not.
        unannounced: files that held a stream which nothing told of before; it is left out.
        captions: frames with closed captions, where the first had none.
        attached: how many frames carried what no output holds, where the first did not; by name.
    """

    frames: int = 0
    damaged_packets: int = 0
    damaged_frames: int = 0
    lone_fields: int = 0
    read_errors: int = 0
    missing_seconds: float = 0.0
    repaired_times: int = 0
    clock_restarts: int = 0
    deinterlaced: int = 0
    resized: int = 0
    reshaped: int = 0
    shapes: str = ""
    turned: int = 0
    rounded: int = 0
    recoloured: int = 0
    opaque_again: int = 0
    unannounced: int = 0
    captions: int = 0
    attached: dict[str, int] = field(default_factory=dict)

    @property
    def damaged(self) -> bool:
        """Whether anything in the file could not be read as it was written."""
        return bool(self.damage)

    @property
    def damage(self) -> tuple[str, ...]:
        """What could not be read as it was written, one line each."""
        lines = (
            (self.read_errors, f"the file cannot be read in {count(self.read_errors, 'place')}"),
            (
                self.damaged_packets,
                f"{count(self.damaged_packets, 'frame')} could not be decoded and"
                f" {'is' if self.damaged_packets == 1 else 'are'} missing",
            ),
            (
                self.damaged_frames,
                f"{count(self.damaged_frames, 'frame')} of the source"
                f" {'is' if self.damaged_frames == 1 else 'are'} damaged and may show what"
                " does not belong there",
            ),
            (
                self.lone_fields,
                f"{count(self.lone_fields, 'field')} of the interlaced source came without the"
                " other one: the lines of what is there are doubled",
            ),
            (
                self.missing_seconds,
                f"the video was cut off: it ends {self.missing_seconds:.2f} s before the time"
                " its file says",
            ),
        )
        return tuple(line for amount, line in lines if amount)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was changed that was not known before, one line each."""
        lines = (
            (self.deinterlaced, f"{count(self.deinterlaced, 'interlaced frame')} deinterlaced"),
            (
                self.resized,
                f"{count(self.resized, 'frame')} of another size than the first brought to its"
                " size",
            ),
            (
                self.reshaped,
                f"{count(self.reshaped, 'frame')} shown in another shape than"
                f" {'its' if self.reshaped == 1 else 'their'} own, which is {self.shapes} (width to"
                " height); restore that part by itself with --start",
            ),
            (
                self.turned,
                f"{count(self.turned, 'frame')} not turned as the file says, but as the first is",
            ),
            (
                self.rounded,
                f"{count(self.rounded, 'frame')} of more bits a colour than the first rounded to"
                " its steps",
            ),
            (
                self.recoloured,
                f"{count(self.recoloured, 'frame')} of other colours (primaries or transfer) than"
                " the first shown as if of the same",
            ),
            (
                self.opaque_again,
                f"{count(self.opaque_again, 'frame')} transparent in places made opaque",
            ),
            (
                self.unannounced,
                "a stream begins within the file that nothing told of before: it is left out",
            ),
            *(
                (amount, f"{words} of {count(amount, 'frame')} dropped")
                for words, amount in self.attached.items()
            ),
        )
        return tuple(line for amount, line in lines if amount)

    @property
    def notices(self) -> tuple[str, ...]:
        """All of it, one line each."""
        times = (
            (
                self.clock_restarts,
                f"the clock of the source starts again {count(self.clock_restarts, 'time')};"
                " here time goes on",
            ),
            (
                self.repaired_times,
                f"{count(self.repaired_times, 'frame')} had no time of"
                f" {'its' if self.repaired_times == 1 else 'their'} own and got one",
            ),
        )
        mended = tuple(line for amount, line in times if amount)
        return (*self.damage, *self.changes, *mended)
