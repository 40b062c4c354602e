"""Interlaced video: found by looking at the pictures, since flags lie both ways, and undone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
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
    from torch import Tensor

# Where to look, as parts of the file's length, and at how many frames of each place: a film may
# begin with a still title, in which nothing tells the fields apart.
PLACES = (0.0, 0.25, 0.5, 0.75)
FRAMES_A_PLACE = 10
FEWEST_COMBED = 3
# A comb: lines that go up and down by this much (of 255), five of them in a row, in this part of
# the picture. Real pictures hold stripes as fine, but not where idet sees two moments in time.
COMB_STEP = 12
COMB_SHARE = 2e-4
FEWEST_LINES = 5
# How much more one way of weaving combs than the other, where fields are of different moments.
CLEARLY = 1.5
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
        top_woven, bottom_woven: frames whose later field fits the next frame's earlier one, which
            is what makes interlaced video; of so many `moving` ones.
    """

    flagged: bool
    top_first: int
    bottom_first: int
    progressive: int
    top_woven: int
    bottom_woven: int
    moving: int

    @property
    def found(self) -> bool:
        """Whether the pictures themselves are interlaced, at least in part."""
        combed = self.top_first + self.bottom_first
        # Video has one order of its fields; what seems to have both is something else.
        one_order = min(self.top_first, self.bottom_first) * 10 <= combed
        # Fine patterns that move look combed too, but weave with the next frame as badly both ways.
        less, more = sorted((self.top_woven, self.bottom_woven))
        woven = more * 4 >= max(self.moving, 1) and less * 4 <= more
        return combed >= FEWEST_COMBED and combed * 4 >= self.progressive and one_order and woven

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
            verdicts.update(_weave(*pair) for pair in pairwise(map(_lines, frames)))
    return Interlacing(
        flagged,
        verdicts["tff"],
        verdicts["bff"],
        verdicts["progressive"],
        verdicts["top woven"],
        verdicts["bottom woven"],
        verdicts["top woven"] + verdicts["bottom woven"] + verdicts["woven alike"],
    )


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
    lines = _lines(frame)
    return int(_combs(lines).sum()) > COMB_SHARE * lines.numel()


def combing(luma: Tensor) -> float:
    """Share of a picture, (H, W) in 8-bit codes, that lies in combs."""
    return float(_combs(luma.round().to(torch.int32)).float().mean()) if luma.numel() else 0.0


def _lines(frame: VideoFrame) -> Tensor:
    """Luma, in 8-bit codes."""
    luma = from_dlpack(frame.planes[0]).to(torch.int32)
    return luma >> (frame.format.components[0].bits - 8)


def _combs(lines: Tensor) -> Tensor:
    """Where five lines go up and down, (H - 4, W), by the middle one."""
    if len(lines) < FEWEST_LINES:
        return torch.zeros(0, lines.shape[1], dtype=torch.bool)
    steps = lines[1:] - lines[:-1]
    # Every other step turned over: a comb then goes one way.
    steps[1::2] *= -1
    up, down = (
        way[:-3] & way[1:-2] & way[2:-1] & way[3:]
        for way in (steps > COMB_STEP, steps < -COMB_STEP)
    )
    return up | down


def _weave(lines: Tensor, following: Tensor) -> str:
    """Which fields of two frames show neighbouring moments: those that comb less, woven anew."""
    if lines.shape != following.shape or len(lines) < FEWEST_LINES:
        return "still"
    moved = (lines - following).abs() > COMB_STEP
    moved = moved[1:-3] | moved[2:-2] | moved[3:-1]
    top, bottom = lines.clone(), lines.clone()
    top[::2] = following[::2]  # with the next frame's upper field, which comes first
    bottom[1::2] = following[1::2]
    combs_top, combs_bottom = (int((_combs(woven) & moved).sum()) for woven in (top, bottom))
    if not combs_top + combs_bottom:
        return "still"
    if combs_bottom > combs_top * CLEARLY:
        return "top woven"
    return "bottom woven" if combs_top > combs_bottom * CLEARLY else "woven alike"


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
