"""Frames, the report of reading them, and the interfaces of sources and sinks."""

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
    """One picture at its time."""

    rgb: Tensor
    """(3, H, W), RGB order; uint8 with white at 255, or uint16 with white at 65280."""
    pts: int
    """When it is shown, in ticks of the source's time base; rises from frame to frame."""
    duration: int
    """How long it is shown, in the same ticks; at least 1."""
    captions: VideoFrame | None = None
    """A small frame with all that is attached to the source's, if closed captions are."""
    around: bool = False
    """Whether it only leads filters in or out, and is not part of what is written."""


@dataclass(slots=True)
class ReadReport:
    """What happened while frames were read; grows with them."""

    frames: int = 0
    damaged_packets: int = 0
    """Parts of the video that could not be decoded."""
    damaged_frames: int = 0
    """Frames that were decoded with errors, often with an older picture in places."""
    lone_fields: int = 0
    """Fields without the other one, shown with all lines doubled."""
    read_errors: int = 0
    """Places of the file that could not be read."""
    missing_seconds: float = 0.0
    """How much earlier than promised the video ends."""
    repaired_times: int = 0
    """Frames without a time, or with one not after the frame before."""
    clock_restarts: int = 0
    """How often the file's clock went back; time goes on without a gap."""
    deinterlaced: int = 0
    """Frames whose fields were of different moments."""
    resized: int = 0
    """Frames of another size than the first."""
    reshaped: int = 0
    """Frames shown in the first one's aspect ratio instead of their own."""
    shapes: str = ""
    """The aspect ratio of the last one of these, and of the first frame."""
    turned: int = 0
    """Frames to be turned or mirrored otherwise than the first."""
    rounded: int = 0
    """Frames of more bits a colour than the first."""
    recoloured: int = 0
    """Frames whose colour tags contradict the first one's."""
    opaque_again: int = 0
    """Frames transparent in places, if the first was not."""
    unannounced: int = 0
    """Files with a stream that nothing announced; it is left out."""
    captions: int = 0
    """Frames with closed captions, if the first had none."""
    attached: dict[str, int] = field(default_factory=dict)
    """How many frames carried what no output holds, if the first did not; by name."""

    @property
    def damaged(self) -> bool:
        """True if anything in the file could not be read as it was written."""
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
                f" {'is' if self.damaged_frames == 1 else 'are'} damaged and may contain"
                " artefacts",
            ),
            (
                self.lone_fields,
                f"{count(self.lone_fields, 'field')} of the interlaced source had no"
                " matching field: their lines are doubled",
            ),
            (
                self.missing_seconds,
                f"the video was cut off: it ends {self.missing_seconds:.2f} s earlier"
                " than the file states",
            ),
        )
        return tuple(line for amount, line in lines if amount)

    @property
    def changes(self) -> tuple[str, ...]:
        """Changes that were not known before, one line each."""
        lines = (
            (self.deinterlaced, f"{count(self.deinterlaced, 'frame')} deinterlaced"),
            (
                self.resized,
                f"{count(self.resized, 'frame')} of another size resized to that of the first",
            ),
            (
                self.reshaped,
                f"{count(self.reshaped, 'frame')} shown in the first one's aspect ratio, not in"
                f" {'its' if self.reshaped == 1 else 'their'} own ({self.shapes}); restore that"
                " part by itself with --start",
            ),
            (
                self.turned,
                f"{count(self.turned, 'frame')} rotated like the first, not as the file specifies",
            ),
            (
                self.rounded,
                f"{count(self.rounded, 'frame')} with more bits per colour than the first"
                " rounded to its depth",
            ),
            (
                self.recoloured,
                f"{count(self.recoloured, 'frame')} with other primaries or transfer than the"
                " first treated like the first",
            ),
            (
                self.opaque_again,
                f"{count(self.opaque_again, 'partly transparent frame')} made opaque",
            ),
            (
                self.unannounced,
                "a stream that begins unannounced in mid-file is dropped",
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
                f"the source's clock restarts {count(self.clock_restarts, 'time')}; times in the"
                " output continue without a gap",
            ),
            (
                self.repaired_times,
                f"{count(self.repaired_times, 'frame')} had no usable time and"
                f" {'was' if self.repaired_times == 1 else 'were'} given one",
            ),
        )
        repaired = tuple(line for amount, line in times if amount)
        return (*self.damage, *self.changes, *repaired)


class FrameSource(Protocol):
    """A source of frames: a video file, a folder of pictures, or a pipe, read once."""

    @property
    def info(self) -> VideoInfo:
        """Facts known before the first frame is read."""

    @property
    def report(self) -> ReadReport:
        """What happened while reading; complete once `frames` has ended."""

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """Yield the frames with index `first` <= i < `last`, in the order they are shown.

        If only a part of the source is wanted (`info.cut`), indices and times begin with it and
        None is its end; indices below 0 and beyond the end are frames around it, for context.

        A source that is not seekable is asked for all frames, once. Otherwise each call starts
        again at the beginning and skips frames before `first`, so that indices and times do not
        depend on it.
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
        """Yield the `pts` of all frames, without their pictures."""

    def sizes(self) -> list[tuple[Fraction, int]]:
        """Return when each frame is shown, in seconds, and its bytes in the source."""

    def with_info(self, info: VideoInfo) -> Self:
        """Return the same source with another part wanted."""


class FrameSink(Protocol):
    """A destination of frames. Leaving the context without `commit` leaves nothing behind."""

    @property
    def damage(self) -> tuple[str, ...]:
        """Parts of the source's other streams that could not be copied; known after `commit`."""

    def write(self, frame: Frame) -> None:
        """Write one HR frame, with the `pts` and `duration` of the LR frame it came from."""

    def commit(self, frames: int | None = None) -> Path:
        """Finish, compare the output with its source, give it its name, and return that.

        Args:
            frames: the source's number of frames, if known; by default those written.

        Raises:
            OutputError: it does not match; it is then kept under a name that shows this.
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
