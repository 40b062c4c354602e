"""Frames in formats that filters which look at the lines of a picture work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.video.reformatter import VideoReformatter

from vsrdb_cli.video.pixels.colour import BT709, PC, TV, bit_depth, is_grey, is_rgb
from vsrdb_cli.video.pixels.conversion import EXACT

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame

_SHARES = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (4, 1): "411", (4, 4): "410", (1, 2): "440"}
_ONLY_8_BITS = {"411": "422", "410": "420", "440": "444"}  # and what holds them in more
_DEPTHS = (9, 10, 12, 14, 16)


class Planar:
    """Any frame with its luma in a plane of its own. One per thread; keeps swscale's tables.

    Samples of planar, half planar and packed YUV and of grey stay as they are; RGB becomes YUV of
    so many bits that it can be had back. Alpha is left out.
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
    """The planar format of a format's samples."""
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
