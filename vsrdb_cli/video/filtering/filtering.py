"""Frames that pass a filter graph: tried before the work, and checked as they pass."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from shlex import quote
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import av
from av import logging as av_logging
from av.error import FFmpegError
from av.video.format import VideoFormat

from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.video.containers.ffmpeg_log import listening
from vsrdb_cli.video.containers.opening import reason
from vsrdb_cli.video.filtering.graph import FilterGraph, Node
from vsrdb_cli.video.pixels.colour import PC, RGB, TV, UNSPECIFIED, Colour
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, code_depth, is_rgb, plane_rows

if TYPE_CHECKING:
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

Item = TypeVar("Item")

# Enough for filters that drop, add or move frames to show it, mostly.
_TRIED_FRAMES = 2
HDR_BITS = 10
_RATIO = re.compile(r"\bsar:(\d+)/(\d+)")
_LABEL_HINT = "give it one input and one output: [in] split [a][b]; [a] hflip [c]; [c][b] overlay"


@dataclass(frozen=True)
class Pictures:
    """What filters are given, or give."""

    width: int
    height: int
    pix_fmt: str
    colour: Colour
    """Of frames that do not specify theirs."""
    sample_aspect_ratio: Fraction | None
    """Width of a pixel over its height; None if unspecified."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def bits(self) -> int:
        """Bits per colour."""
        return bit_depth(VideoFormat(self.pix_fmt))

    @property
    def code_depth(self) -> int:
        """Bits of the codes that hold them: 8 or 16."""
        return code_depth(VideoFormat(self.pix_fmt))


@dataclass(frozen=True)
class Filtering:
    """A graph that frames pass, one out for one in. Can be sent to another process."""

    option: str
    """The option it is of, as messages name it: "--prefilter"."""
    graph: FilterGraph
    given: Pictures
    gives: Pictures
    time_base: Fraction
    rate: Fraction
    crop: str | None = None
    """Arguments of a crop before it."""

    @classmethod
    def tried(
        cls,
        option: str,
        text: str,
        given: Pictures,
        *,
        time_base: Fraction,
        rate: Fraction,
        crop: str | None = None,
    ) -> Filtering:
        """Parse a graph and pass two empty frames through it.

        Args:
            option: "--prefilter" or "--postfilter".
            text: the graph, in FFmpeg's syntax.
            given: the frames it will get.
            time_base: seconds per tick of their times.
            rate: frames per second.
            crop: arguments of a crop that comes before it.

        Raises:
            OptionError: it is not valid, or does not give one frame for each; with FFmpeg's reason.
        """
        try:
            graph = FilterGraph.parse(text)
        except ValueError as error:
            raise OptionError(
                f"{option} {text}: {error}", hint="see docs/FILTERS.md for examples"
            ) from None
        try:
            graph.check_repeatable()
        except ValueError as error:
            raise OptionError(
                f"{option}: {error}",
                hint="use the time t instead of the frame number n, and noise with allf=t; or"
                f" {_elsewhere(option, text)}",
            ) from None
        untried = cls(option, graph, given, given, time_base, rate, crop)
        return cls(option, graph, given, untried._try(), time_base, rate, crop)

    def _try(self) -> Pictures:
        """Pass empty frames; return what came out."""
        ticks = max(1, round(1 / self.rate / self.time_base))
        frame = _empty(self.given)
        try:
            with listening(av_logging.INFO) as log:
                filters = FrameFilter[int](self, shown=True)
                passed = [
                    done
                    for number in range(_TRIED_FRAMES)
                    for done in filters.push(frame, number * ticks, number)
                ]
                passed += filters.flush()
        except VideoError as error:
            if isinstance(error.__cause__, FFmpegError):
                raise self._refusal(log, reason(error.__cause__)) from error
            self._try_alone()
            raise
        first = passed[0][0]
        ratios = [_RATIO.search(message) for _, _, message in log]
        ratio = next((found for found in ratios if found), None)
        return Pictures(
            first.width,
            first.height,
            first.format.name,
            self._colour_of(first),
            Fraction(int(ratio[1]), int(ratio[2])) if ratio and int(ratio[1]) else None,
        )

    def _try_alone(self) -> None:
        """Try each filter that may be the one, if there are several.

        Raises:
            VideoError: names the first that does not give one frame for each.
        """
        if len(self.graph.remembering) < 2:
            return
        for node in self.graph.nodes:
            if node.name in self.graph.remembering:
                alone = replace(node, inputs=(), outputs=(), ends_chain=True)
                graph = FilterGraph(self.graph.text, (alone,))
                with suppress(OptionError):  # one that needs what comes before it
                    replace(self, graph=graph)._try()

    def _refusal(self, log: list[tuple[int, str, str]], otherwise: str) -> OptionError:
        """Return FFmpeg's reason in one line: its first error says most, the others follow."""
        errors = [(name, text) for level, name, text in log if level <= av_logging.ERROR]
        name, text = errors[0] if errors else ("", otherwise)
        known = name in self.graph.names and name not in text
        words = " ".join(text.split()).rstrip(".")
        return OptionError(
            f"{self.option} {self.graph.text}: {f'{name}: ' if known else ''}{words}",
            hint="list a filter's options with: ffmpeg -h filter="
            + (name if name in self.graph.names else self.graph.names[0]),
        )

    def _colour_of(self, frame: VideoFrame) -> Colour:
        """Return a frame's colour; where it says nothing, that of what was given."""
        before = self.given.colour

        def said(code: int, otherwise: int) -> int:
            return otherwise if code in (0, UNSPECIFIED) else code

        range_ = int(frame.color_range)
        matrix = before.matrix if is_rgb(frame.format) else said(frame.colorspace, before.matrix)
        return Colour(
            before.matrix if matrix == RGB else matrix,
            before.range if is_rgb(frame.format) or range_ not in (TV, PC) else range_,
            said(int(frame.color_primaries), before.primaries),
            said(int(frame.color_trc), before.transfer),
        )

    @property
    def rounding(self) -> tuple[str, ...]:
        """One line if fewer bits per colour come out."""
        before, after = self.given.bits, self.gives.bits
        if after >= before:
            return ()
        return (f"{self.option} leaves {after} of {before} bits per colour: values are rounded",)

    def check_hdr(self) -> None:
        """Check that HDR keeps the bits it needs.

        Raises:
            OptionError: it does not.
        """
        if self.gives.colour.hdr and self.gives.bits < HDR_BITS:
            raise OptionError(
                f"{self.option} {self.graph.text} leaves 8 bits per colour; HDR video needs"
                f" {HDR_BITS}",
                hint="use filters that keep them, such as atadenoise, or add --hdr sdr",
            )

    def failed(self, error: FFmpegError) -> VideoError:
        """Return the error for a filter that fails while frames pass."""
        return VideoError(
            f"{self.option} {self.graph.text} failed: {reason(error)}",
            hint=_elsewhere(self.option, self.graph.text),
        )

    def broken(self) -> VideoError:
        """Return the error for a graph that does not give one frame for each."""
        names = self.graph.remembering or self.graph.names
        verb = "does" if len(names) == 1 else "do"
        return VideoError(
            f"{self.option}: {' or '.join(names)} {verb} not give one frame for each frame at the"
            " same time",
            hint=_elsewhere(self.option, self.graph.text),
        )


def _elsewhere(option: str, text: str) -> str:
    where = "IN" if option == "--prefilter" else "OUT"
    when = "first" if option == "--prefilter" else "afterwards"
    return f"run it {when}: ffmpeg -i {where} -vf {quote(text)} -c:v ffv1 -c:a copy FILTERED.mkv"


class FrameFilter(Generic[Item]):
    """Passes frames through a graph, and checks that one comes out for each, at its time.

    One per thread.

    Args:
        shown: have FFmpeg print what comes out to its log.
    """

    def __init__(self, filtering: Filtering, *, shown: bool = False) -> None:
        self._filtering = filtering
        self._chain = _GraphChain(filtering, shown=shown)
        self._inside: deque[tuple[int, Item]] = deque()

    def push(self, frame: VideoFrame, pts: int, item: Item) -> Iterator[tuple[VideoFrame, Item]]:
        """Take a frame and what belongs to it; yield those that are ready.

        Args:
            pts: its time, in ticks.

        Raises:
            VideoError: the graph does not give one frame for each, at its time, or a filter fails.
        """
        self._inside.append((pts, item))
        yield from self._checked(self._chain.push_at(frame, pts))

    def flush(self) -> Iterator[tuple[VideoFrame, Item]]:
        """Yield the frames still held."""
        yield from self._checked(self._chain.flushed())
        if self._inside:
            raise self._filtering.broken()

    def _checked(self, passed: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, Item]]:
        while True:
            try:
                frame = next(passed, None)
            except FFmpegError as error:
                raise self._filtering.failed(error) from error
            if frame is None:
                return
            if not self._inside or frame.pts is None or frame.time_base is None:
                raise self._filtering.broken()
            pts, item = self._inside.popleft()
            if frame.pts * frame.time_base != pts * self._filtering.time_base:
                raise self._filtering.broken()
            yield frame, item


class _GraphChain(FilterChain):
    """A graph as a chain: rebuilt where size, format or tags change.

    One whose noise changes is rebuilt for every frame, with a seed by the frame's time: the same
    wherever it begins.
    """

    def __init__(self, filtering: Filtering, *, shown: bool) -> None:
        super().__init__(time_base=filtering.time_base, rate=filtering.rate)
        self._filtering, self._shown = filtering, shown
        self._ticks = 0

    def push_at(self, frame: VideoFrame, pts: int) -> Iterator[VideoFrame]:
        """Take a frame at a time of ours, with the colours that it does not specify itself."""
        colour, rgb = self._filtering.given.colour, is_rgb(frame.format)
        before = (
            frame.pts,
            frame.colorspace,
            frame.color_range,
            frame.color_primaries,
            frame.color_trc,
        )
        frame.pts, self._ticks = pts, pts
        if not rgb and int(frame.colorspace) in (RGB, UNSPECIFIED):
            frame.colorspace = colour.matrix
        if not rgb and int(frame.color_range) not in (TV, PC):
            frame.color_range = colour.range
        if int(frame.color_primaries) in (0, UNSPECIFIED):
            frame.color_primaries = colour.primaries
        if int(frame.color_trc) in (0, UNSPECIFIED):
            frame.color_trc = colour.transfer
        try:
            yield from self.passed(frame)
            if self._filtering.graph.changes_noise:
                yield from self.flushed()
        finally:
            (
                frame.pts,
                frame.colorspace,
                frame.color_range,
                frame.color_primaries,
                frame.color_trc,
            ) = before

    def _join(self, graph: Graph, source: FilterContext, sink: FilterContext) -> None:
        """Add the graph's filters between source and sink, as FFmpeg joins those without labels.

        Raises:
            OptionError: it has not one input and one output.
        """
        filtering = self._filtering
        # Frames carry an aspect ratio of their own, which PyAV cannot set.
        ratio = filtering.given.sample_aspect_ratio or Fraction(0)
        before = [graph.add("setsar", f"{ratio.numerator}/{ratio.denominator}")]
        if filtering.crop is not None:
            before.append(graph.add("crop", filtering.crop))
        graph.link_nodes(source, *before)
        ins: list[tuple[str, FilterContext, int]] = []
        outs: list[tuple[str, FilterContext, int]] = []
        running: list[tuple[FilterContext, int]] = []  # what came out without a label
        for node in filtering.graph.nodes:
            context = self._added(graph, node)
            running = self._enter(node, context, running, ins, outs)
            if node.ends_chain:
                outs += [("", *end) for end in running]
                running = []
        if (len(ins), len(outs)) != (1, 1):
            raise OptionError(
                f"{filtering.option}: the graph has {len(ins)} open inputs and"
                f" {len(outs)} open outputs",
                hint=_LABEL_HINT,
            )
        before[-1].link_to(ins[0][1], 0, ins[0][2])
        last, pad = outs[0][1:]
        if self._shown:
            shown = graph.add("showinfo", "checksum=0")
            last.link_to(shown, pad)
            last, pad = shown, 0
        last.link_to(sink, pad)

    def _added(self, graph: Graph, node: Node) -> FilterContext:
        filtering = self._filtering
        try:
            return graph.add(node.name, node.at(self._ticks).arguments or None)
        except ValueError as error:
            if isinstance(error, FFmpegError):
                raise
            raise OptionError(
                f"{filtering.option}: this build of FFmpeg has no filter '{node.name}'",
                hint=_elsewhere(filtering.option, filtering.graph.text),
            ) from None

    def _enter(
        self,
        node: Node,
        context: FilterContext,
        running: list[tuple[FilterContext, int]],
        ins: list[tuple[str, FilterContext, int]],
        outs: list[tuple[str, FilterContext, int]],
    ) -> list[tuple[FilterContext, int]]:
        """Join a filter's inputs, and return its outputs that have no label."""
        pads = deque(range(len(_pads(context, "inputs"))))
        for label in node.inputs:
            if not pads:
                raise self._crowded(node)
            open_end = next((end for end in outs if end[0] == label), None)
            if open_end is None:
                ins.append((label, context, pads.popleft()))
            else:
                outs.remove(open_end)
                open_end[1].link_to(context, open_end[2], pads.popleft())
        for earlier, pad in running:
            if not pads:
                raise self._crowded(node)
            earlier.link_to(context, pad, pads.popleft())
        ins += [("", context, pad) for pad in pads]
        left = [(context, pad) for pad in range(len(_pads(context, "outputs")))]
        for label in node.outputs:
            if not left:
                raise self._crowded(node)
            end = left.pop(0)
            wanted = next((entry for entry in ins if entry[0] == label), None)
            if wanted is None:
                outs.append((label, *end))
            else:
                ins.remove(wanted)
                end[0].link_to(wanted[1], end[1], wanted[2])
        return left

    def _crowded(self, node: Node) -> OptionError:
        return OptionError(
            f"{self._filtering.option}: more is joined to {node.name} than it has room for",
            hint=_LABEL_HINT,
        )


def filtered(frames: Iterable[VideoFrame], filtering: Filtering | None) -> Iterator[VideoFrame]:
    """Yield frames as filters leave them, one tick apart; as they are if there are no filters."""
    if filtering is None:
        yield from frames
        return
    filters: FrameFilter[None] = FrameFilter(filtering)
    for number, frame in enumerate(frames):
        yield from (passed for passed, _ in filters.push(frame, number, None))
    yield from (passed for passed, _ in filters.flush())


def _pads(context: Any, side: str) -> Sequence[object]:
    """Return a filter's inputs or outputs, which PyAV's annotations do not declare."""
    pads: Sequence[object] = getattr(context, side)
    return pads


def _empty(pictures: Pictures) -> VideoFrame:
    frame = av.VideoFrame(pictures.width, pictures.height, pictures.pix_fmt)
    for plane in frame.planes:
        plane_rows(plane)[:] = 1
    return frame
