"""FFmpeg's filters over decoded frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import BlockingIOError, EOFError
from av.filter import Graph

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame


def _known(tag: int, count: int, unspecified: int) -> int:
    """Return a colour tag as filters take it; damaged files hold tags that nobody knows."""
    return tag if 0 <= tag < count else unspecified


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


class FilterChain:
    """Filters in a row; rebuilt where size, format or colour tags change.

    Args:
        filters: FFmpeg's name and arguments of each.
        time_base: seconds per tick of the frames' times.
        rate: frames per second; 0 if unknown.
    """

    def __init__(
        self,
        *filters: tuple[str, str],
        time_base: Fraction = Fraction(1),
        rate: Fraction = Fraction(0),
    ) -> None:
        self._filters = filters
        self._time_base, self._rate = _ratio(time_base), _ratio(rate)
        self._shape: tuple[int | str, ...] | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None
        self._graph: Graph | None = None  # owns the ends

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take one frame and return those that are ready."""
        return list(self.passed(frame))

    def passed(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Take one frame and yield those that are ready."""
        given = int(frame.colorspace), int(frame.color_range)
        tags = _known(given[0], 18, 2), _known(given[1], 3, 0)
        shape = frame.width, frame.height, frame.format.name, *tags
        if shape != self._shape:
            yield from self.flushed()
            self._build(frame, *tags)
            self._shape = shape
        assert self._ends is not None
        frame.colorspace, frame.color_range = tags
        self._ends[0].push(frame)
        frame.colorspace, frame.color_range = given
        yield from self._pulled()

    def flush(self) -> list[VideoFrame]:
        """Return the frames still held; the chain starts again with the next frame."""
        return list(self.flushed())

    def flushed(self) -> Iterator[VideoFrame]:
        """Yield the frames still held; the chain starts again with the next frame."""
        if self._ends is not None:
            self._ends[0].push(None)
            yield from self._pulled()
            self._graph = self._ends = self._shape = None

    def _pulled(self) -> Iterator[VideoFrame]:
        assert self._ends is not None
        while True:
            try:
                frame = self._ends[1].pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(frame, av.VideoFrame)
            yield frame

    def _build(self, frame: VideoFrame, colorspace: int, color_range: int) -> None:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=self._time_base,
            frame_rate=self._rate,
            pixel_aspect="1/1",
            # The graph refuses frames whose tags differ from those it was built for.
            colorspace=str(colorspace),
            range=str(color_range),
        )
        sink = graph.add("buffersink")
        self._join(graph, source, sink)
        graph.configure()
        self._graph, self._ends = graph, (source, sink)

    def _join(self, graph: Graph, source: FilterContext, sink: FilterContext) -> None:
        """Add the filters between source and sink."""
        graph.link_nodes(source, *(graph.add(*f) for f in self._filters), sink)
