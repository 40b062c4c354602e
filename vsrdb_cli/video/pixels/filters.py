"""FFmpeg's filters over decoded frames."""

from __future__ import annotations

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


class FilterChain:
    """Filters in a row; rebuilt where size, format or colour tags change.

    Args:
        filters: FFmpeg's name and arguments of each.
    """

    def __init__(self, *filters: tuple[str, str]) -> None:
        self._filters = filters
        self._shape: tuple[int | str, ...] | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None
        self._graph: Graph | None = None  # owns the ends

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take one frame and return those that are ready."""
        given = int(frame.colorspace), int(frame.color_range)
        tags = _known(given[0], 18, 2), _known(given[1], 3, 0)
        shape = frame.width, frame.height, frame.format.name, *tags
        ready: list[VideoFrame] = []
        if shape != self._shape:
            ready = self.flush()
            self._build(frame, *tags)
            self._shape = shape
        assert self._ends is not None
        frame.colorspace, frame.color_range = tags
        self._ends[0].push(frame)
        frame.colorspace, frame.color_range = given
        return ready + self._pull()

    def flush(self) -> list[VideoFrame]:
        """Return the frames still held; the chain starts again with the next frame."""
        if self._ends is None:
            return []
        self._ends[0].push(None)
        ready = self._pull()
        self._graph = self._ends = self._shape = None
        return ready

    def _pull(self) -> list[VideoFrame]:
        assert self._ends is not None
        ready: list[VideoFrame] = []
        while True:
            try:
                frame = self._ends[1].pull()
            except (BlockingIOError, EOFError):
                return ready
            assert isinstance(frame, av.VideoFrame)
            ready.append(frame)

    def _build(self, frame: VideoFrame, colorspace: int, color_range: int) -> None:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/1",
            pixel_aspect="1/1",
            # The graph refuses frames whose tags differ from those it was built for.
            colorspace=str(colorspace),
            range=str(color_range),
        )
        sink = graph.add("buffersink")
        graph.link_nodes(source, *(graph.add(*f) for f in self._filters), sink).configure()
        self._graph, self._ends = graph, (source, sink)
