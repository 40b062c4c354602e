"""Probe a video file before any work is done: its streams, first frame and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from av.stream import Disposition

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import (
    codec_name,
    decoded_frames,
    description,
    is_cover,
    main_video,
    stream_description,
)
from vsrdb_cli.video.containers.encryption import refuse_encrypted
from vsrdb_cli.video.containers.limits import check_size
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.containers.structures import foreign_pids
from vsrdb_cli.video.info import Kind, StreamInfo, VideoInfo
from vsrdb_cli.video.pictures.heif import heif_picture
from vsrdb_cli.video.pictures.picture_file import inspect_picture
from vsrdb_cli.video.pixels.colour import (
    BT709,
    UNSPECIFIED,
    Colour,
    colour_of,
    grey_assumed,
    range_of,
)
from vsrdb_cli.video.pixels.fields import Weaver
from vsrdb_cli.video.pixels.pixel_formats import (
    Transparency,
    bit_depth,
    code_depth,
    declares_alpha,
    has_alpha,
    is_grey,
    is_rgb,
)
from vsrdb_cli.video.pixels.telecine import Finding
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, Crop, ToRgb
from vsrdb_cli.video.reading.film_search import NO_SEARCH, FilmSearch, as_film
from vsrdb_cli.video.reading.frame_changes import FrameDecoder, aspect_ratio_of, aspect_ratio_text
from vsrdb_cli.video.reading.packet_scan import (
    PacketScan,
    end_seconds,
    promised_seconds,
    scan_packets,
)
from vsrdb_cli.video.reading.sampling import NOT_INTERLACED, Interlacing, detect_interlacing
from vsrdb_cli.video.side_data.attachments import (
    DOLBY_VISION,
    FRAME_TIMECODES,
    FURTHER_VIEWS,
    Attachments,
    has_captions,
    side_data,
    unsupported,
)
from vsrdb_cli.video.side_data.hdr import check_dolby_vision, is_dolby_vision, light_of
from vsrdb_cli.video.side_data.immersive import view_of
from vsrdb_cli.video.side_data.orientation import Orientation, is_right_angled, orientation_of
from vsrdb_cli.video.streams.metadata import (
    describe,
    is_its_still,
    kept_metadata,
    timecode_of,
)
from vsrdb_cli.video.timing import output_time_base

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Containers and codecs round differently, and may count the edges of analogue pictures.
CLEARLY_OTHER_SHAPE = Fraction(1, 20)


def probe(path: Path, scale: int = 1, film_search: FilmSearch = NO_SEARCH) -> VideoInfo:
    """Look at what `path` holds: its headers, its first frame, and the times of its packets.

    Args:
        scale: the enlargement.
        film_search: decides whether it is read as film.

    Raises:
        VideoError: it cannot be opened, has no video, is too large, no frame can be decoded, or
            it is not the film that is wanted.
    """
    with open_input(path) as container:
        printed = description(container)
        refuse_encrypted(container, printed, path)
    with open_input(path) as container:
        stream = main_video(container, path)
        check_size(path, stream.codec_context.width, stream.codec_context.height, scale)
        dolby_vision = is_dolby_vision(printed, stream, path)
        frame, is_field = _first_frame(container, stream, path)
        check_dolby_vision(frame, path)
        foreign = frozenset[int]()
        if container.format.name == "mpegts":
            foreign = foreign_pids(path, stream.id)
        times = scan_packets(path)
        if is_field:
            times = _of_frames(times, stream)
        start_seconds = _start(container, stream, frame, foreign)
        info = _video(path, container, stream, frame, times=times, start_seconds=start_seconds)
        info = replace(
            info,
            crop=crop_of(printed, stream.index, frame),
            streams=_others(path, container, stream, times, foreign),
            metadata=kept_metadata(container),
            timecode=timecode_of(container, stream, frame),
            chapters=len(container.chapters()),
            transparent=declares_alpha(stream) or Transparency()(frame),
        )
        top, bottom, left, right = info.crop
        info = replace(info, height=info.height - top - bottom, width=info.width - left - right)
        interlacing = NOT_INTERLACED
        if info.kind is not Kind.STILL:
            interlacing = detect_interlacing(path, look_for_film=film_search.needs_glimpse)
        info = replace(info, interlaced=interlacing.possible)
        found = film_search(info, interlacing)
        info = _with_side_data(info, stream, frame, interlacing, found, dolby_vision=dolby_vision)
        return info if found.film is None else as_film(info, found.film)


def _first_frame(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[VideoFrame, bool]:
    """Decode the first frame, and tell whether it was coded as two fields.

    Raises:
        VideoError: there is none.
    """
    weaver = Weaver(codec_name(stream))
    with FrameDecoder(stream) as decoder:
        pictures = decoded_frames(container, stream, decoder.decode)
        first = next(pictures, None)
        if first is not None:
            return next(weaver.frames(chain([first], pictures))), weaver.is_field(first)
    if _is_still(container, path):
        inspect_picture(path)  # finds out more about what is wrong
    raise VideoError(
        f"{path} contains no frame that can be decoded",
        hint="the file is damaged or was cut off; copy or download it again",
    )


def _video(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    *,
    times: PacketScan,
    start_seconds: Fraction,
) -> VideoInfo:
    """Describe the main video, as if nothing were beside it."""
    assert stream.time_base is not None
    context, codec = stream.codec_context, codec_name(stream)
    matrix = _said(frame.colorspace, context.colorspace)
    range_said = int(frame.color_range) or int(context.color_range)
    colour = colour_of(
        matrix=matrix,
        range_=range_of(range_said, frame.format, codec),
        primaries=_said(frame.color_primaries, context.color_primaries),
        transfer=_said(frame.color_trc, context.color_trc),
        rgb=is_rgb(frame.format),
        height=frame.height,
        width=frame.width,
    )
    depth, ratio = code_depth(frame.format), _sample_aspect_ratio(stream)
    ToRgb(codec, colour, depth)(frame)  # unsupported formats fail now
    return VideoInfo(
        path=path,
        kind=Kind.STILL if _is_still(container, path) else Kind.VIDEO,
        container=container.format.name,
        codec=codec,
        pix_fmt=frame.format.name,
        width=frame.width,
        height=frame.height,
        frame_count=times.frames,
        rate=times.rate,
        usual_seconds=times.usual_seconds,
        in_decode_order=times.in_decode_order,
        coarse_time_base=output_time_base(stream.time_base, times.longest_seconds),
        time_base=stream.time_base,
        start_seconds=start_seconds,
        duration_seconds=None if times.seconds is None else float(times.seconds),
        end_seconds=end_seconds(container, stream, start_seconds),
        promised_seconds=promised_seconds(container, stream, start_seconds),
        bit_depth=depth,
        colour=colour,
        sample_aspect_ratio=ratio,
        stream_index=stream.index,
        main=describe(stream),
        assumed=(
            *_assumed(frame, matrix, range_said, colour),
            *_assumed_shape(frame, ratio),
        ),
    )


def _others(
    path: Path,
    container: InputContainer,
    main: VideoStream,
    times: PacketScan,
    foreign: frozenset[int],
) -> tuple[StreamInfo, ...]:
    """Describe all streams but the main video.

    Args:
        foreign: ids of streams of other programmes.
    """
    return tuple(
        replace(describe(other), styled=other.index in times.styled, foreign=other.id in foreign)
        for other in container.streams
        if other.index != main.index and not is_its_still(other, main, path)
    )


def _with_side_data(
    info: VideoInfo,
    stream: VideoStream,
    frame: VideoFrame,
    interlacing: Interlacing,
    film: Finding,
    *,
    dolby_vision: bool,
) -> VideoInfo:
    """Add what is attached to the first frame, and notices of what is changed or lost."""
    attached = Attachments()(frame)
    view, lost_view = view_of(side_data(frame))
    # FFmpeg decodes a layer of alpha, the other use of layers, with the picture.
    views = bool(stream.disposition & Disposition.multilayer) and not has_alpha(frame.format)
    found = (
        *unsupported(attached),
        *([lost_view] if lost_view else ()),
        *([FURTHER_VIEWS] if views else ()),
        *([DOLBY_VISION] if dolby_vision else ()),
    )
    lost = tuple(dict.fromkeys(found))
    orientation = orientation_of(frame)
    named = (words for words in lost if not (info.timecode and words == FRAME_TIMECODES))
    notices = _notices(interlacing, film, orientation, transparent=info.transparent, attached=named)
    return replace(
        info,
        light=light_of(frame),
        orientation=orientation,
        view=view,
        captions=has_captions(attached),
        attached=lost,
        notices=tuple(notices),
    )


def _notices(
    interlacing: Interlacing,
    film: Finding,
    orientation: Orientation | None,
    *,
    transparent: bool,
    attached: Iterable[str],
) -> Iterator[str]:
    if film.in_part:
        yield (
            "the video is film in 3:2 pulldown only in part: all of it is deinterlaced, and keeps"
            " its frame rate"
        )
    if interlacing.found and film.film is None:
        order = " and ".join(dict.fromkeys(interlacing.orders))
        yield (
            f"the video is interlaced ({order} field first): it becomes progressive at the same"
            " frame rate, so half of the moments in time are lost"
        )
    if transparent:
        yield "transparency (alpha) is dropped: the video becomes opaque"
    for words in attached:
        yield f"{words} is dropped: vsrdb cannot write it"
    if orientation is not None and not is_right_angled(orientation):
        yield "the file rotates its picture by an odd angle, which few players support; kept as is"


def crop_of(description: str, index: int, frame: VideoFrame) -> Crop:
    """Return what a container hides of a stream's picture, unless nothing would be left."""
    ours = stream_description(description, index)
    found = re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", ours)
    if found is None:
        return NO_CROP
    left, right, top, bottom = (int(number) for number in found.groups())
    if top + bottom >= frame.height or left + right >= frame.width:
        return NO_CROP
    return top, bottom, left, right


def _assumed(frame: VideoFrame, matrix: int, range_: int, colour: Colour) -> tuple[str, ...]:
    if is_grey(frame.format) and not range_ and bit_depth(frame.format) > 1:
        return (grey_assumed(colour.range),)
    if matrix not in (0, UNSPECIFIED) or is_rgb(frame.format) or is_grey(frame.format):
        return ()
    name = "BT.709" if colour.matrix == BT709 else "BT.601"
    return (
        f"the file does not specify its colours: {name} is assumed, as players do for a picture"
        " of this size",
    )


def _assumed_shape(frame: VideoFrame, ratio: Fraction | None) -> Iterator[str]:
    """Describe which aspect ratio is assumed if file and video clearly disagree."""
    own, said = aspect_ratio_of(frame), Fraction(frame.width, frame.height) * (ratio or 1)
    if abs(said / own - 1) > CLEARLY_OTHER_SHAPE:
        yield (
            f"the file gives the aspect ratio as {aspect_ratio_text(said)}, its video stream as"
            f" {aspect_ratio_text(own)}: {aspect_ratio_text(said)} is assumed, as players do"
        )


def _of_frames(times: PacketScan, stream: VideoStream) -> PacketScan:
    """Convert what was measured on fields to the frames that two of them make."""
    # FFmpeg makes up the mean rate of a raw stream.
    rate = max(times.rate, stream.guessed_rate or times.rate)
    return replace(
        times,
        frames=None if times.frames is None else -(-times.frames // 2),
        rate=rate / 2,
        usual_seconds=2 * times.usual_seconds * times.rate / rate,
    )


def _is_still(container: InputContainer, path: Path) -> bool:
    name = container.format.name
    alone = name in ("image2", "ico") or name.endswith("_pipe")
    return alone or heif_picture(path) is not None


def _said(of_frame: int, of_stream: int) -> int:
    return int(of_frame) if int(of_frame) not in (0, 2) else int(of_stream)


def _start(
    container: InputContainer, stream: VideoStream, first: VideoFrame, foreign: frozenset[int]
) -> Fraction:
    """Return the file's time that becomes 0, a whole number of video ticks.

    Streams that start late are moved forward together, so that they stay in sync. A video that
    starts before 0 is moved too, since players hide such frames; sound that does so (an encoder's
    priming) is left alone, since containers declare it in their own way.

    Args:
        foreign: ids of streams of other programmes, which do not count.
    """
    time_base = stream.time_base
    assert time_base is not None
    starts = [
        other.start_time * other.time_base
        for other in container.streams
        if other.type in ("video", "audio")
        and other.start_time is not None
        and other.time_base is not None
        and not is_cover(other)
        and other.id not in foreign
    ]
    if first.pts is not None:
        starts.append(first.pts * time_base)
    earliest = min(starts, default=Fraction(0))
    video_hidden = first.pts is not None and first.pts < 0
    if earliest > 0 or video_hidden:
        return earliest // time_base * time_base
    return Fraction(0)


def _sample_aspect_ratio(stream: VideoStream) -> Fraction | None:
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and ratio > 0 else None
