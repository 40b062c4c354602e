"""Frames, and what sources and sinks of frames can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from vsrdb_cli.text import count

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path
    from types import TracebackType

    from av.video.frame import VideoFrame
    from torch import Tensor

    from vsrdb_cli.video.info import VideoInfo


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture at its time.

    Attributes:
        rgb: (3, H, W), RGB order; uint8 with white at 255, or uint16 with white at 65280.
        pts: when it is shown, in ticks of the source's time base; rises from frame to frame.
        duration: how long it is shown, in the same ticks; at least 1.
        captions: the source's own frame, where closed captions are attached to it.
    """

    rgb: Tensor
    pts: int
    duration: int
    captions: VideoFrame | None = None


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


class FrameSource(Protocol):
    """Where frames come from: a video file, a folder of pictures, or a pipe, read once."""

    @property
    def info(self) -> VideoInfo:
        """What is known before the first frame is asked for."""

    @property
    def report(self) -> ReadReport:
        """What happened while reading; whole once `frames` has ended."""

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """The frames with index `first` <= i < `last`, lazily, in the order they are shown.

        Where only a part of the source is wanted (`info.cut`), indices and times begin with it and
        None is its end; indices below 0 and beyond are frames around it, for context.

        Of a source that is not seekable all frames are asked for, once. Else each call starts
        again at the beginning and skips what comes before `first`, so that indices and times do
        not depend on where one begins.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class SeekableSource(FrameSource, Protocol):
    """A source that can be read more than once, and in parts."""

    def times(self) -> Iterator[int]:
        """The `pts` of all frames, without their pictures."""

    def sizes(self) -> list[tuple[Fraction, int]]:
        """When each frame is shown, in seconds, and its bytes in the source."""

    def with_info(self, info: VideoInfo) -> Self:
        """The same source with another part wanted."""


class FrameSink(Protocol):
    """Where frames go. Leaving the context without `commit` leaves nothing behind."""

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the source's other streams could not be copied; known after `commit`."""

    def write(self, frame: Frame) -> None:
        """Write one HR frame, with the `pts` and `duration` of the LR frame it came from."""

    def commit(self, frames: int | None = None) -> Path:
        """Finish, compare the output with its source, and give it its name; returns that.

        Args:
            frames: how many the source has, where the caller knows it; else those written.

        Raises:
            OutputError: it is not what it has to be; it is then kept under a name that says so.
        """

    def abort(self) -> None:
        """Remove what was written. Does nothing after `commit`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
