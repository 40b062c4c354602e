"""FFmpeg's filters over decoded frames, and what it attaches to them beside the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import av
from av.error import BlockingIOError, EOFError
from av.filter import Graph
from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

# More kinds of attachments than FFmpeg has.
_KINDS = 64
_PROFILE: int = Type.ICC_PROFILE.value  # type: ignore[assignment]


class FilterChain:
    """Filters one after the other; built anew where size, format or colour tags change.

    Args:
        filters: FFmpeg's name and arguments of each.
    """

    def __init__(self, *filters: tuple[str, str]) -> None:
        self._filters = filters
        self._shape: tuple[int, int, str, int, int] | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None
        self._graph: Graph | None = None  # owns the ends

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take one frame; returns those that are ready."""
        tags = int(frame.colorspace), int(frame.color_range)
        shape = (frame.width, frame.height, frame.format.name, *tags)
        ready: list[VideoFrame] = []
        if shape != self._shape:
            ready = self.flush()
            self._build(frame)
            self._shape = shape
        assert self._ends is not None
        self._ends[0].push(frame)
        return ready + self._pull()

    def flush(self) -> list[VideoFrame]:
        """The frames still held; the chain begins anew with the next frame."""
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

    def _build(self, frame: VideoFrame) -> None:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/1",
            pixel_aspect="1/1",
            # The graph refuses frames whose tags differ from what it was told.
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
        sink = graph.add("buffersink")
        graph.link_nodes(source, *(graph.add(*f) for f in self._filters), sink).configure()
        self._graph, self._ends = graph, (source, sink)


class Attachments:
    """Reads what decoders attach to frames. One per thread; keeps its filters.

    PyAV refuses to show any where there is one of a kind it has no name for, and frees a colour
    profile twice once it has shown it, which ends the process: of those only the kind is told.
    """

    def __init__(self) -> None:
        named: set[Any] = {kind.value for kind in Type}
        unnamed = [kind for kind in range(_KINDS) if kind not in named]
        self._profile = _only(_PROFILE)
        self._no_profile = _without(_PROFILE)
        self._no_unnamed = _without(*unnamed)
        self._unnamed = {kind: _only(kind) for kind in unnamed}

    def __call__(self, frame: VideoFrame) -> list[tuple[int, bytes]]:
        """The kinds of all, by FFmpeg's numbers, and what they hold; of some kinds nothing."""
        found = [(_PROFILE, b"")] if self._profile.push(frame) else []
        (frame,) = self._no_profile.push(frame)
        try:
            return found + _read(frame)
        except ValueError:
            found += [(kind, b"") for kind, only in self._unnamed.items() if only.push(frame)]
            (frame,) = self._no_unnamed.push(frame)
            return found + _read(frame)


def side_data(frame: VideoFrame) -> Mapping[Type, bytes]:
    """The attachments of the kinds PyAV knows, the last of each."""
    named: set[Any] = {kind.value for kind in Type}
    return {Type(kind): data for kind, data in Attachments()(frame) if kind in named}


def _only(kind: int) -> FilterChain:
    return FilterChain(("sidedata", f"mode=select:type={kind}"))


def _without(*kinds: int) -> FilterChain:
    return FilterChain(*(("sidedata", f"mode=delete:type={kind}") for kind in kinds))


def _read(frame: VideoFrame) -> list[tuple[int, bytes]]:
    attached: Any = frame.side_data
    return [(data.type.value, bytes(data)) for data in attached]
