"""Interlaced video: found by looking at the pictures, since flags lie both ways, and undone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from av.error import FFmpegError
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.container import AV_TIME_BASE, Demuxer, main_video, open_input
from vsrdb_cli.video.filters import FilterChain

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Where to look, as parts of the file's length, and at how many frames of each place: a film may
# begin with a still title, in which nothing tells the fields apart.
PLACES = (0.0, 0.25, 0.5, 0.75)
FRAMES_A_PLACE = 10
FEWEST_COMBED = 3
# A comb: lines that go up and down by this much (of 255), five of them in a row, in this part of
# the picture. Real pictures hold stripes as fine, but not where idet sees two moments in time.
COMB_STEP = 12
COMB_SHARE = 2e-4
# What the filters work in without a conversion.
_PLANAR = ("yuv4", "yuvj4")
_FLAGGED = range(2, 6)  # AV_FIELD_TT to AV_FIELD_BT
_VERDICT = "lavfi.idet.multiple.current_frame"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Interlacing:
    """What a look at some frames shows.

    Attributes:
        flagged: the file says it is interlaced.
        top_first, bottom_first, progressive: frames seen to be so; a still picture is none.
    """

    flagged: bool
    top_first: int
    bottom_first: int
    progressive: int

    @property
    def found(self) -> bool:
        """Whether the pictures themselves are interlaced, at least in part."""
        combed = self.top_first + self.bottom_first
        # Video has one order of its fields; what seems to have both is something else.
        one_order = min(self.top_first, self.bottom_first) * 10 <= combed
        return combed >= FEWEST_COMBED and combed * 4 >= self.progressive and one_order

    @property
    def possible(self) -> bool:
        """Whether every frame has to be looked at."""
        return self.flagged or self.found


def look(path: Path) -> Interlacing:
    """Look at a few frames of the file's beginning and of its parts further on."""
    flagged = False
    verdicts = Counter[str]()
    with open_input(path) as container:
        stream = main_video(container, path)
        flagged = stream.codec_context.field_order in _FLAGGED
        length = (container.duration or 0) / AV_TIME_BASE
        start = (container.start_time or 0) / AV_TIME_BASE
        short = length * float(stream.average_rate or 25) < 2 * len(PLACES) * FRAMES_A_PLACE
        for place in PLACES[: 1 if short else None]:
            try:
                if place:
                    container.seek(int((start + place * length) * AV_TIME_BASE))
                frames = list(_some_frames(container, stream))
            except FFmpegError:
                continue
            flagged |= any(frame.interlaced_frame for frame in frames)
            chain = FilterChain(("idet", ""))
            looked_at = [done for frame in frames for done in chain.push(frame)] + chain.flush()
            verdicts.update(map(_verdict, looked_at, frames))
    return Interlacing(flagged, verdicts["tff"], verdicts["bff"], verdicts["progressive"])


def _some_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    left = FRAMES_A_PLACE
    for packet in Demuxer(container, stream):
        try:
            frames = packet.decode()[:left]
        except FFmpegError:
            continue
        yield from (frame for frame in frames if _known(frame))
        left -= len(frames)
        if not left:
            return


def _known(frame: VideoFrame) -> bool:
    return frame.format.name.startswith(_PLANAR)


def _verdict(looked_at: VideoFrame, frame: VideoFrame) -> str:
    """What idet says of a frame, where the picture itself does not speak against it."""
    verdict = looked_at.metadata[_VERDICT]
    return "progressive" if verdict in ("tff", "bff") and not is_combed(frame) else verdict


def is_combed(frame: VideoFrame) -> bool:
    """Whether a planar YUV frame shows a comb anywhere."""
    lines = from_dlpack(frame.planes[0]).to(torch.int32)
    steps = lines[1:] - lines[:-1]
    threshold = COMB_STEP << (frame.format.components[0].bits - 8)
    # Every other step turned over: a comb then goes one way.
    steps[1::2] *= -1
    combs = 0
    for way in (steps > threshold, steps < -threshold):
        combs += int((way[:-3] & way[1:-2] & way[2:-1] & way[3:]).sum()) if len(way) > 3 else 0
    return combs > COMB_SHARE * lines.numel()


class Deinterlacer(Generic[Item]):
    """Combed frames made whole, one out for one in; the others pass untouched.

    Attributes:
        count: how many were combed.
    """

    def __init__(self) -> None:
        self._chain = FilterChain(("idet", ""), ("bwdif", "mode=send_frame:deint=all"))
        self._waiting: deque[tuple[VideoFrame, Item]] = deque()
        self.count = 0

    def push(self, frame: VideoFrame, item: Item) -> Iterator[tuple[VideoFrame, Item]]:
        """Take a frame and what belongs to it; gives those that are ready."""
        if not _known(frame):
            yield from self.flush()
            yield frame, item
            return
        self._waiting.append((frame, item))
        yield from self._chosen(self._chain.push(frame))

    def flush(self) -> Iterator[tuple[VideoFrame, Item]]:
        """The frames still held."""
        yield from self._chosen(self._chain.flush())

    def _chosen(self, deinterlaced: list[VideoFrame]) -> Iterator[tuple[VideoFrame, Item]]:
        for whole in deinterlaced:
            frame, item = self._waiting.popleft()
            combed = _verdict(whole, frame) in ("tff", "bff")
            self.count += combed
            yield (whole if combed else frame), item
