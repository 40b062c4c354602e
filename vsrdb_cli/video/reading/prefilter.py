"""Have a source's frames pass filters of FFmpeg before all else."""

from __future__ import annotations

from dataclasses import replace

from av.video.format import VideoFormat

from vsrdb_cli.video.filtering.filtering import Filtering, Pictures
from vsrdb_cli.video.frame import FrameSource, SeekableSource
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.pixels.colour import colour_of
from vsrdb_cli.video.pixels.pixel_formats import is_rgb
from vsrdb_cli.video.pixels.to_rgb import NO_CROP
from vsrdb_cli.video.reading.picture_reader import PictureReader
from vsrdb_cli.video.reading.y4m_reader import PipeReader
from vsrdb_cli.video.side_data.orientation import upright_size

OPTION = "--prefilter"


def prefiltered(source: FrameSource, graph: str) -> FrameSource:
    """Return a source of the same frames as a graph of filters leaves them.

    They are filtered in the source's pixel format, progressive, in their coded orientation.

    Args:
        graph: in FFmpeg's syntax.

    Raises:
        OptionError, VideoError: it cannot be, or does not give one frame for each.
    """
    assert isinstance(source, SeekableSource | PipeReader)
    info = source.info
    if isinstance(source, PictureReader):
        given, orientation = source.pictures_given()
        filtering = Filtering.tried(OPTION, graph, given, time_base=info.time_base, rate=info.rate)
        height, width = upright_size(*filtering.gives.size, orientation)
        return source.with_info(
            replace(_described(info, filtering), height=height, width=width, colour=info.colour)
        )
    top, _, left, _ = info.crop
    crop = None if info.crop == NO_CROP else f"{info.width}:{info.height}:{left}:{top}:exact=1"
    height, width = info.coded_size
    given = Pictures(
        width,
        height,
        info.pix_fmt,
        info.converted_from or info.colour,
        info.sample_aspect_ratio,
    )
    filtering = Filtering.tried(
        OPTION, graph, given, time_base=info.time_base, rate=info.rate, crop=crop
    )
    return source.with_info(_described(info, filtering))


def _described(info: VideoInfo, filtering: Filtering) -> VideoInfo:
    gives = filtering.gives
    pixels = VideoFormat(gives.pix_fmt)
    to_sdr = info.converted_from is not None
    if not to_sdr:
        filtering.check_hdr()
    colour = colour_of(
        matrix=gives.colour.matrix,
        range_=gives.colour.range,
        primaries=gives.colour.primaries,
        transfer=gives.colour.transfer,
        rgb=is_rgb(pixels),
        height=gives.height,
        width=gives.width,
    )
    return replace(
        info,
        width=gives.width,
        height=gives.height,
        pix_fmt=gives.pix_fmt,
        bit_depth=gives.code_depth,
        sample_aspect_ratio=gives.sample_aspect_ratio,
        colour=info.colour if to_sdr else colour,
        converted_from=colour if to_sdr else None,
        crop=NO_CROP,
        prefilter=filtering,
        unfiltered=info,
        notices=(*info.notices, *filtering.rounding),
        assumed=(*info.assumed, f"before the network ({OPTION}): {filtering.graph.text}"),
    )
