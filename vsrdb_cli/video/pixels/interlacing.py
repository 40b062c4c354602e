"""Find interlaced frames by their pictures, since flags are unreliable, and deinterlace them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import torch
from av.video.reformatter import VideoReformatter
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.pixels.colour import BT709, PC, TV
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, is_grey, is_rgb
from vsrdb_cli.video.pixels.to_rgb import EXACT

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from torch import Tensor

_SHARES = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (4, 1): "411", (4, 4): "410", (1, 2): "440"}
_ONLY_8_BITS = {"411": "422", "410": "420", "440": "444"}  # and what holds them in more
_DEPTHS = (9, 10, 12, 14, 16)


class Planar:
    """Converts frames to a format with luma in a plane of its own. One per thread.

    Samples of planar, semi-planar and packed YUV and of grey stay as they are; RGB becomes YUV with
    enough bits to convert it back. Alpha is dropped. Keeps swscale's tables.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        name = _planar_name(frame.format)
        if name == frame.format.name:
            return frame
        rgb = is_rgb(frame.format)
        full = rgb or frame.format.name.startswith("yuvj")
        range_ = PC if full else int(frame.color_range) or TV
        planar = self._reformatter.reformat(
            frame,
            format=name,
            interpolation=EXACT,
            dst_colorspace=BT709 if rgb else None,
            src_color_range=range_,
            dst_color_range=range_,
            threads=1,
        )
        planar.colorspace = BT709 if rgb else frame.colorspace
        planar.color_range = PC if full else frame.color_range
        planar.color_primaries, planar.color_trc = frame.color_primaries, frame.color_trc
        return planar


def _planar_name(pixels: VideoFormat) -> str:
    """Return the planar format for a format's samples."""
    if is_rgb(pixels):
        return "yuv444p16le"
    bits = bit_depth(pixels)
    if is_grey(pixels):
        return "gray" if bits <= 8 else "gray16le"
    shares = _SHARES[16 // pixels.chroma_width(16), 16 // pixels.chroma_height(16)]
    if bits > 8:
        depth = next((depth for depth in _DEPTHS if depth >= bits), 16)
        return f"yuv{_ONLY_8_BITS.get(shares, shares)}p{depth}le"
    # Full range by its name, by which swscale goes; there is no filter for yuvj411p.
    full = "j" if pixels.name.startswith("yuvj") and shares not in ("411", "410") else ""
    return f"yuv{full}{shares}p"


FRAMES_A_PLACE = 10
FEWEST_COMBED = 3
# A comb: five lines in a row that alternate by this much (of 255), in this share of the picture.
# Real pictures hold stripes as fine, but not where idet sees two moments in time.
COMB_STEP = 12
COMB_SHARE = 2e-4
FEWEST_LINES = 5
# How much more one way of weaving combs than the other, where fields are of different moments.
CLEARLY = 1.5
# How many combs moving things have at least, of those they have when woven with the next frame's
# fields: in interlaced video about as many, in patterns that look like combs and move next to none.
APART = 1 / 8
FAR_APART = APART / 2  # for two frames, which prove less than ten
# Two moments make combs whose lines are alike within either field, by this part of their steps.
ALIKE = 4
_COLUMNS = 480
_INTERLACED = ("tff", "bff")
_VERDICT = "lavfi.idet.multiple.current_frame"

Item = TypeVar("Item")


def field_order(frames: Sequence[VideoFrame]) -> str | None:
    """Return which fields of frames in a row are shown first, "top" or "bottom".

    None if their pictures do not look interlaced.
    """
    planar = Planar()
    frames = [planar(frame) for frame in frames]
    chain = FilterChain(("idet", ""))
    looked_at = [done for frame in frames for done in chain.push(frame)] + chain.flush()
    verdicts = Counter(map(_verdict, looked_at, frames))
    # Video has one field order; apparent combs with both are something else.
    less, combed = sorted((verdicts["tff"], verdicts["bff"]))
    combed += less
    enough = combed >= FEWEST_COMBED and combed * 4 >= verdicts["progressive"]
    if not enough or less * 10 > combed:
        return None
    weaves = [_weave(*pair) for pair in pairwise(map(luma_lines, frames))]
    # Fine patterns that move look combed too. They weave with the next frame as badly both ways,
    orders = Counter(weave.order for weave in weaves if weave.order != "still")
    less, more = sorted((orders["top"], orders["bottom"]))
    woven = more * 3 >= max(orders.total(), 1) and less * 4 <= more
    order = "top" if verdicts["tff"] > verdicts["bff"] else "bottom"
    woven = woven and orders[order] == more  # both see the same one
    # or far worse than the frames as they are, whose fields are of one moment then.
    own, others = sum(weave.own for weave in weaves), sum(weave.woven for weave in weaves)
    if not woven or own < others * APART:
        return None
    return order


def _verdict(looked_at: VideoFrame, frame: VideoFrame) -> str:
    """Return idet's verdict on a frame, unless the picture itself contradicts it."""
    verdict = looked_at.metadata[_VERDICT]
    return "progressive" if verdict in _INTERLACED and not is_combed(frame) else verdict


def is_combed(frame: VideoFrame) -> bool:
    """Return whether a planar frame shows a comb anywhere."""
    lines = luma_lines(frame)
    return int(combs(lines).sum()) > COMB_SHARE * lines.numel()


def combing(luma: Tensor) -> float:
    """Return the share of a picture, (H, W) in 8-bit codes, that lies in combs."""
    return float(combs(luma.round().to(torch.int32)).float().mean()) if luma.numel() else 0.0


def luma_lines(frame: VideoFrame) -> Tensor:
    """Return the luma of a planar frame, in 8-bit codes."""
    luma = from_dlpack(frame.planes[0])
    if luma.dtype != torch.uint8:
        luma = luma.to(torch.int32) >> (frame.format.components[0].bits - 8)
    return luma.to(torch.int16)


def some_columns(frame: VideoFrame, columns: int = _COLUMNS) -> Tensor:
    """Return `luma_lines`; of a large picture only some columns, which suffice."""
    lines = luma_lines(frame)
    return lines[:, :: max(1, lines.shape[1] // columns)].contiguous()


def moved_pixels(lines: Tensor, other: Tensor) -> Tensor:
    """Return where two frames differ, (H - 4, W), in any of the three middle lines of `combs`."""
    moved = (lines - other).abs() > COMB_STEP
    return moved[1:-3] | moved[2:-2] | moved[3:-1]


def both_weaves(lines: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return a frame with the upper field of another, and with its lower field."""
    with_top, with_bottom = lines.clone(), lines.clone()
    with_top[::2], with_bottom[1::2] = other[::2], other[1::2]
    return with_top, with_bottom


def combs(lines: Tensor) -> Tensor:
    """Return where five lines alternate up and down, (H - 4, W), by the middle line."""
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


def combs_of_moments(lines: Tensor) -> Tensor:
    """Return the combs, as `combs`, in which every other line is alike."""
    steps = (lines[1:] - lines[:-1]).abs()
    within = (lines[2:] - lines[:-2]).abs()
    least = torch.stack((steps[:-3], steps[1:-2], steps[2:-1], steps[3:])).amin(0)
    most = torch.stack((within[:-2], within[1:-1], within[2:])).amax(0)
    return combs(lines) & (most * ALIKE <= least)


class _Weave(NamedTuple):
    """A frame woven with the next one's fields."""

    order: str
    """"top" if its lower field and the next frame's upper one show neighbouring moments, as in
    interlaced video with the top field first; "bottom"; "alike", or "still".
    """
    before: int = 0
    """Pixels that moved and lie in combs of two moments, in the first frame as it is."""
    after: int = 0
    """The same in the next one."""
    woven: int = 0
    """The same in the better of both ways to weave."""

    @property
    def own(self) -> float:
        """Mean number of combs of the frames before deinterlacing."""
        return (self.before + self.after) / 2


def _weave(lines: Tensor, following: Tensor) -> _Weave:
    if lines.shape != following.shape or len(lines) < FEWEST_LINES:
        return _Weave("still")
    moved = moved_pixels(lines, following)
    weaves = both_weaves(lines, following)
    with_top, with_bottom = (int((combs(woven) & moved).sum()) for woven in weaves)
    if not with_top + with_bottom:
        return _Weave("still")
    order = "alike"
    if with_bottom > with_top * CLEARLY:
        order = "top"
    elif with_top > with_bottom * CLEARLY:
        order = "bottom"
    before, after, *woven = (
        int((combs_of_moments(picture) & moved).sum()) for picture in (lines, following, *weaves)
    )
    return _Weave(order, before, after, min(woven))


class _Looked(NamedTuple, Generic[Item]):
    """A frame with what belongs to it, its deinterlaced version, and what was seen."""

    frame: VideoFrame
    """As it came."""
    item: Item
    """What belongs to it."""
    whole: VideoFrame
    """Deinterlaced."""
    verdict: str
    """That of idet."""
    combed: bool


class Deinterlacer(Generic[Item]):
    """Deinterlaces combed frames, one out for one in; the others pass untouched.

    Attributes:
        count: how many were combed.
    """

    def __init__(self) -> None:
        self._chain = FilterChain(("idet", ""), ("bwdif", "mode=send_frame:deint=all"))
        self._planar = Planar()
        self._waiting: deque[tuple[VideoFrame, VideoFrame, Item]] = deque()
        self._undecided: list[_Looked[Item]] = []
        self._before: Tensor | None = None  # lines of the frame before
        self._interlaced: bool | None = None  # the frames before; None as long as it is not known
        self.count = 0

    def push(self, frame: VideoFrame, item: Item) -> Iterator[tuple[VideoFrame, Item]]:
        """Take a frame and what belongs to it; yield those that are ready."""
        planar = self._planar(frame)
        self._waiting.append((frame, planar, item))
        yield from self._chosen(self._chain.push(planar))

    def flush(self) -> Iterator[tuple[VideoFrame, Item]]:
        """Yield the frames still held."""
        yield from self._chosen(self._chain.flush())
        yield from self._decided()

    def _chosen(self, deinterlaced: list[VideoFrame]) -> Iterator[tuple[VideoFrame, Item]]:
        for whole in deinterlaced:
            frame, planar, item = self._waiting.popleft()
            combed = is_combed(planar) and not self._is_pattern(planar)
            self._before = some_columns(planar)
            looked = _Looked(frame, item, whole, str(whole.metadata[_VERDICT]), combed)
            # Where idet is undecided, frames are like those before; the first ones like those
            # after.
            self._undecided.append(looked)
            if looked.verdict != "undetermined":
                self._interlaced = looked.verdict in _INTERLACED
            if self._interlaced is not None or len(self._undecided) == FRAMES_A_PLACE:
                yield from self._decided()

    def _is_pattern(self, planar: VideoFrame) -> bool:
        """Return whether apparent combs are a fine pattern: neither neighbour's fields fit."""
        before, lines = self._before, some_columns(planar)
        weaves = [] if before is None else [_weave(before, lines)]
        if self._waiting:
            weaves.append(_weave(lines, some_columns(self._waiting[0][1])))
        few = COMB_SHARE * lines.numel()
        return bool(weaves) and all(w.woven > few and w.own < w.woven * FAR_APART for w in weaves)

    def _decided(self) -> Iterator[tuple[VideoFrame, Item]]:
        undecided, self._undecided = self._undecided, []
        for looked in undecided:
            combed = bool(self._interlaced) and looked.combed
            self.count += combed
            yield (looked.whole if combed else looked.frame), looked.item
