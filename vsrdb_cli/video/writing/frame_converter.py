"""Convert restored frames for an encoder, and have them pass the postfilter on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from av.video.format import VideoFormat

from vsrdb_cli.video.filtering.filtering import Filtering, FrameFilter, Pictures
from vsrdb_cli.video.filtering.grain import grain_graph
from vsrdb_cli.video.pixels.colour import PC
from vsrdb_cli.video.pixels.from_rgb import TWO_PLANES, FromRgb
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, is_rgb
from vsrdb_cli.video.pixels.to_rgb import ToRgb

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from vsrdb_cli.video.frame import Frame
    from vsrdb_cli.video.info import VideoInfo

OPTION = "--postfilter"

Converted = tuple["Frame", "VideoFrame"]


@dataclass(frozen=True)
class Postfilters:
    """What restored pictures pass before the encoder: the user's graph, then grain."""

    graph: str | None = None
    grain: float | None = None


NO_POSTFILTERS = Postfilters()


def try_postfilters(
    asked: Postfilters, info: VideoInfo, size: tuple[int, int], pix_fmt: str
) -> tuple[Filtering, ...]:
    """Try the filters that restored pictures pass one after another.

    Args:
        asked: by the user.
        info: of the source.
        size: (height, width) of the restored pictures.
        pix_fmt: of the encoder. Filters are given planar YUV: where it is RGB, 4:4:4 of full range.

    Raises:
        OptionError, VideoError: one is not valid, or does not give one frame for each.
    """
    pixels, colour = VideoFormat(pix_fmt), info.colour
    if is_rgb(pixels):
        pix_fmt = "yuv444p" if bit_depth(pixels) <= 8 else "yuv444p16le"
        colour = replace(colour, range=PC)
    height, width = size
    given = Pictures(
        width, height, TWO_PLANES.get(pix_fmt, pix_fmt), colour, info.sample_aspect_ratio
    )
    tried = partial(Filtering.tried, time_base=info.time_base, rate=info.rate)
    filterings = []
    if asked.graph is not None:
        filterings.append(tried(OPTION, asked.graph, given))
        filterings[0].check_hdr()
        given = filterings[0].gives
    if asked.grain is not None:
        graph = grain_graph(asked.grain, given.pix_fmt)
        filterings.append(tried("--grain", graph, given))
    return tuple(filterings)


class FrameConverter:
    """Converts restored frames to those of an encoder. One per thread.

    Args:
        pix_fmt: of the encoder.
        info: of the source.
        postfilters: the filters that they pass, if any.
        turned: called with (3, H, W) codes first.
        convert: as `FromRgb`, in its place where there are no filters.
    """

    def __init__(
        self,
        pix_fmt: str,
        info: VideoInfo,
        postfilters: Sequence[Filtering],
        *,
        turned: Callable[[Tensor], Tensor] = lambda rgb: rgb,
        convert: Callable[[Tensor], VideoFrame] | None = None,
    ) -> None:
        self._pix_fmt, self._turned = pix_fmt, turned
        self._filters: list[FrameFilter[Frame]] = [FrameFilter(each) for each in postfilters]
        if not postfilters:
            self._from_rgb = convert or FromRgb(pix_fmt, info.colour)
            return
        given, gives = postfilters[0].given, postfilters[-1].gives
        self._from_rgb = FromRgb(given.pix_fmt, given.colour)
        self._to_rgb = ToRgb("", gives.colour, gives.code_depth)
        self._last = FromRgb(pix_fmt, info.colour)

    def push(self, frame: Frame) -> list[Converted]:
        """Take a frame; return those that are ready, with what each was made of."""
        picture = self._from_rgb(self._turned(frame.rgb))
        if not self._filters:
            return [(frame, picture)]
        return list(self._finished(self._passed([(picture, frame)])))

    def flush(self) -> list[Converted]:
        """Return the frames still held."""
        return list(self._finished(self._passed([], flush=True)))

    def _passed(
        self, pictures: Iterable[tuple[VideoFrame, Frame]], *, flush: bool = False
    ) -> Iterable[tuple[VideoFrame, Frame]]:
        for filters in self._filters:
            passed = [
                done for each in pictures for done in filters.push(each[0], each[1].pts, each[1])
            ]
            pictures = [*passed, *filters.flush()] if flush else passed
        return pictures

    def _finished(self, filtered: Iterable[tuple[VideoFrame, Frame]]) -> Iterator[Converted]:
        for picture, frame in filtered:
            if frame.around:
                continue
            made = picture
            if picture.format.name != self._pix_fmt:
                made = self._last(self._to_rgb(picture))
            made.pict_type = 0  # the encoder would obey it
            yield frame, made
