"""Excerpts of a source as bytes: all that a machine without the file needs to read them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import av
from av.error import FFmpegError

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import Demuxer, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.reading.picture_reader import PictureReader
from vsrdb_cli.video.reading.video_reader import VideoReader
from vsrdb_cli.video.timing import Clock

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

_HINT = "put it into a folder that all nodes can read under the same path"


class Excerpt(Protocol):
    """Frames of a source that can be sent to another machine."""

    def open(self, folder: Path) -> FrameSource:
        """Open a reader of these frames by their indices in the source.

        Args:
            folder: for files, kept until the reader is closed.
        """


class Excerpts(Protocol):
    """A source that can be cut into excerpts, best in order."""

    def excerpt(self, first: int, last: int) -> Excerpt:
        """Cut out the frames with index `first` <= i < `last` that exist."""


def excerpts_of(reader: FrameSource) -> Excerpts:
    """Return what can cut this source.

    Raises:
        VideoError: its frames do not match its packets.
    """
    if isinstance(reader, PictureReader):
        return _Pictures(reader)
    return _Video(reader.info)


class _Packet(NamedTuple):
    """A packet on our clock, in ticks."""

    data: bytes
    pts: int
    dts: int | None
    duration: int


class _Decoder(NamedTuple):
    """What a decoder must know beside the packets."""

    name: str
    tag: str
    extradata: bytes | None
    width: int
    height: int
    pix_fmt: str


@dataclass(frozen=True)
class _VideoExcerpt:
    """Packets of a video, and the times of the frames wanted of them."""

    info: VideoInfo
    begin: int
    """The index of the first frame in `times`."""
    times: tuple[int, ...]
    """The `pts` of all frames wanted."""
    decoder: _Decoder
    packets: tuple[_Packet, ...]

    def open(self, folder: Path) -> FrameSource:  # noqa: ARG002
        return _ExcerptReader(self)


class _ExcerptReader(VideoReader):
    """Decodes an excerpt and checks that each frame is the expected one."""

    def __init__(self, excerpt: _VideoExcerpt) -> None:
        super().__init__(excerpt.info)
        self._excerpt = excerpt
        self.begin = excerpt.begin

    def _decode(self) -> Generator[VideoFrame]:
        """Yield the frames wanted; those decoded before them are lead-in."""
        times = iter(self._excerpt.times)
        expected = next(times, None)
        for decoded in self._all():
            if expected is None or decoded.pts is None or decoded.pts < expected:
                continue
            if decoded.pts != expected:
                break
            yield decoded
            expected = next(times, None)
        if expected is not None:
            raise VideoError(
                f"{self.info.path} cannot be decoded in parts: a frame is missing at"
                f" {float(expected * self.info.time_base):.3f} s",
                hint=_HINT,
            )

    def _all(self) -> Iterator[VideoFrame]:
        wanted = self._excerpt.decoder
        context = cast("VideoCodecContext", av.CodecContext.create(wanted.name, "r"))
        context.codec_tag = wanted.tag
        context.extradata = wanted.extradata
        context.width, context.height = wanted.width, wanted.height
        context.pix_fmt = wanted.pix_fmt
        # Threads that each decode a frame free packets, for which they wait for Python's lock,
        # which PyAV holds while it waits for them to end.
        context.thread_type = "SLICE"
        for data, pts, dts, duration in self._excerpt.packets:
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.time_base = self.info.time_base
            try:
                yield from context.decode(packet)
            except FFmpegError:  # in the lead-in; elsewhere the missing frame is noticed
                continue
        yield from context.decode(None)


class _Video:
    """The packets of a video. Scans the file once, then reads forward for each excerpt.

    Raises:
        VideoError: not every packet is a frame with a time of its own.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        clock = Clock(info.timeline)
        shown: list[int | None] = []
        self._keys: list[int] = []  # places in the file where decoding can begin
        discarded = False
        with open_input(info.path) as container:
            stream = main_video(container, info.path)
            context = stream.codec_context
            self._decoder = _Decoder(
                context.name,
                context.codec_tag,
                context.extradata,
                context.width,
                context.height,
                context.pix_fmt or (info.unfiltered or info).pix_fmt,
            )
            for packet in Demuxer(container, stream):
                if packet.size:
                    clock.repair(packet)
                    if packet.is_keyframe:
                        self._keys.append(len(shown))
                    shown.append(packet.pts)
                    discarded |= packet.is_discard
        times = [pts for pts in shown if pts is not None]
        self._times = sorted(set(times))
        alone = len(self._times) == len(shown) and not clock.restarts and not discarded
        if not alone or info.interlaced or info.transparent:
            raise VideoError(
                f"{info.path} cannot be sent in parts: its packets are not one frame each,"
                " or have no clear times",
                hint=_HINT,
            )
        self._places = {pts: place for place, pts in enumerate(times)}
        self._shown = times
        self._running: Iterator[_Packet] = iter(())
        self._following = 0  # place of the next packet of the running pass
        self._kept: deque[tuple[int, _Packet]] = deque()

    def excerpt(self, first: int, last: int) -> Excerpt:
        before = self._info.frames_before
        begin = max(0, first + before)
        # One more frame shows how long the last one lasts.
        times = tuple(self._times[begin : last + before + 1])
        place = self._places[times[0]]
        # Not the nearest beginning but the one before: after an open one, frames refer further
        # back, and where pictures are refreshed bit by bit it takes a while until all is there.
        keys = [key for key in self._keys if key <= place and self._shown[key] <= times[0]]
        lead = keys[-2] if len(keys) > 1 else 0
        end = max(self._places[pts] for pts in times) + 1
        packets = tuple(self._packets(lead, end))
        return _VideoExcerpt(self._info, begin - before, times, self._decoder, packets)

    def _packets(self, first: int, last: int) -> Iterator[_Packet]:
        """Yield the packets at places `first` <= i < `last` of the file."""
        oldest = self._kept[0][0] if self._kept else self._following
        if first < oldest or not self._following:
            self._kept.clear()
            self._running, self._following = self._read(), 0
        while self._following < last:
            self._kept.append((self._following, next(self._running)))
            self._following += 1
            if self._kept[0][0] < first:
                self._kept.popleft()
        while self._kept and self._kept[0][0] < first:
            self._kept.popleft()
        yield from (packet for place, packet in self._kept if place < last)

    def _read(self) -> Iterator[_Packet]:
        clock = Clock(self._info.timeline)
        with open_input(self._info.path) as container:
            for packet in Demuxer(container, main_video(container, self._info.path)):
                if packet.size:
                    clock.repair(packet)
                    assert packet.pts is not None  # all have one, or we would have refused
                    yield _Packet(bytes(packet), packet.pts, packet.dts, packet.duration or 0)


@dataclass(frozen=True)
class _PicturesExcerpt:
    """Some pictures of a folder."""

    info: VideoInfo
    before: int
    """The number of pictures before these in the folder."""
    files: tuple[tuple[str, bytes], ...]
    """Names and contents."""

    def open(self, folder: Path) -> FrameSource:
        paths = [Path()] * self.before  # never looked at
        for name, content in self.files:
            paths.append(folder / name)
            paths[-1].write_bytes(content)
        return PictureReader(self.info, paths)


class _Pictures:
    """The pictures of a folder."""

    def __init__(self, reader: PictureReader) -> None:
        self._reader = reader

    def excerpt(self, first: int, last: int) -> Excerpt:
        info = self._reader.info
        before = max(0, first + info.frames_before)
        paths = self._reader.files[before : last + info.frames_before]
        files = tuple((path.name, path.read_bytes()) for path in paths)
        return _PicturesExcerpt(info, before, files)
