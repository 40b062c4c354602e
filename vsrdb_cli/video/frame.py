"""The picture the pipeline hands on, and what a source and a sink of such pictures can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path
    from types import TracebackType

    from av.video.frame import VideoFrame
    from torch import Tensor

    from vsrdb_cli.video.info import ReadReport, VideoInfo


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
