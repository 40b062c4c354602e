"""Weave fields that are coded as separate pictures to frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vsrdb_cli.video.pixels.filters import FilterChain

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


# Decoders of other codecs give whole frames however they were coded. For these, FFmpeg marks only
# fields as interlaced.
CODED_IN_FIELDS = ("hevc", "vvc")


class Weaver:
    """Weaves pairs of fields to frames of twice their height; other frames pass untouched.

    A frame begins when its first field does, and lasts as long as both.

    Args:
        codec: FFmpeg's name of it.

    Attributes:
        alone: unpaired fields, each shown as a frame with all lines doubled.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._top = FilterChain(("select", "eq(interlace_type,1)"))
        self._weave = {
            top: FilterChain(("weave", f"first_field={'top' if top else 'bottom'}"))
            for top in (True, False)
        }
        self._top_first: bool | None = None
        self.alone = 0

    def is_field(self, frame: VideoFrame) -> bool:
        """Return whether a decoded picture is half a frame."""
        return self._codec in CODED_IN_FIELDS and frame.interlaced_frame

    def frames(self, decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the frames of decoded pictures, in their order."""
        waiting: VideoFrame | None = None
        for frame in decoded:
            if not self.is_field(frame):
                if waiting is not None:
                    yield self._doubled(waiting)
                    waiting = None
                yield frame
                continue
            top = self._is_top(frame)
            if self._top_first is None:
                self._top_first = top
            if waiting is not None and top != self._top_first and same_size(waiting, frame):
                yield self._woven(waiting, frame, top_first=self._top_first)
                waiting = None
            else:
                if waiting is not None:
                    yield self._doubled(waiting)
                waiting = frame
                if top != self._top_first:
                    yield self._doubled(waiting)
                    waiting = None
        if waiting is not None:
            yield self._doubled(waiting)

    def _is_top(self, frame: VideoFrame) -> bool:
        return bool(self._top.push(frame))

    def _doubled(self, field: VideoFrame) -> VideoFrame:
        self.alone += 1
        return self._woven(field, field, top_first=self._is_top(field))

    def _woven(self, first: VideoFrame, second: VideoFrame, *, top_first: bool) -> VideoFrame:
        chain = self._weave[top_first]
        (frame,) = chain.push(first) + chain.push(second)
        frame.pts, frame.dts, frame.time_base = first.pts, first.dts, first.time_base
        frame.duration = first.duration + (0 if second is first else second.duration)
        return frame


def same_size(first: VideoFrame, second: VideoFrame) -> bool:
    """Return whether two frames have the same size and pixel format."""
    return (first.width, first.height, first.format.name) == (
        second.width,
        second.height,
        second.format.name,
    )
