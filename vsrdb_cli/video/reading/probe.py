"""Look at a video file: its streams, its first frame, its clock, before any work is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from av.codec.codec import Properties
from av.error import FFmpegError
from av.stream import Discard, Disposition

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import (
    Demuxer,
    codec_name,
    description,
    is_cover,
    main_video,
    stream_description,
)
from vsrdb_cli.video.containers.encryption import refuse_encrypted
from vsrdb_cli.video.containers.limits import check_size
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.containers.structures import strangers
from vsrdb_cli.video.info import CHAPTER_PICTURES, Kind, StreamInfo, VideoInfo
from vsrdb_cli.video.pictures.heif import heif_picture
from vsrdb_cli.video.pictures.picture_file import look_at
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
    announced,
    bit_depth,
    code_depth,
    has_alpha,
    is_grey,
    is_rgb,
)
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, Crop, ToRgb
from vsrdb_cli.video.reading.frame_changes import PixelShapes, shape_of, shape_words
from vsrdb_cli.video.reading.packet_scan import Survey, survey
from vsrdb_cli.video.reading.sampling import Interlacing, look
from vsrdb_cli.video.side_data.attachments import (
    DOLBY_VISION,
    FRAME_TIMECODES,
    FURTHER_VIEWS,
    Attachments,
    dropped,
    has_captions,
    side_data,
)
from vsrdb_cli.video.side_data.hdr import check_dolby_vision, is_dolby_vision, light_of
from vsrdb_cli.video.side_data.orientation import Orientation, is_right_angled, orientation_of
from vsrdb_cli.video.side_data.view import view_of
from vsrdb_cli.video.streams.metadata import kept_metadata, tags_of, timecode_of, title_of
from vsrdb_cli.video.timing import output_time_base

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_STILL = Interlacing(False, ())
# Files and videos round differently, and count the edges of old television's pictures or not.
CLEARLY_OTHER_SHAPE = Fraction(1, 20)
_TEXT = cast("int", Properties.TEXT_SUB.value)


def probe(path: Path, scale: int = 1) -> VideoInfo:
    """What `path` holds, from its headers and its first frame.

    Args:
        scale: by which it is to be enlarged.

    Raises:
        VideoError: it cannot be opened, has no video, is too large, or none of its frames can be
            decoded as the file means them.
    """
    with open_input(path) as container:
        said = description(container)
        refuse_encrypted(container, said, path)
    with open_input(path) as container:
        stream = main_video(container, path)
        check_size(path, stream.codec_context.width, stream.codec_context.height, scale)
        time_base = stream.time_base
        assert time_base is not None
        weaver = Weaver(codec_name(stream))
        dolby_vision = is_dolby_vision(said, stream, path)
        shapes = PixelShapes(stream)
        decoded = _decoded(container, stream, shapes)
        picture = next(decoded, None)
        frame = None if picture is None else next(weaver.frames(chain([picture], decoded)))
        if frame is None or picture is None:
            if _is_still(container, path):
                look_at(path)  # knows more of what is wrong
            raise VideoError(
                f"{path} contains no frame that can be decoded",
                hint="the file is damaged or was cut off; copy or download it again",
            )
        check_dolby_vision(frame, path)
        fields = weaver.is_field(picture)
        context = stream.codec_context
        strange = frozenset[int]()
        if container.format.name == "mpegts":
            strange = strangers(path, stream.id)
        start_seconds = _start(container, stream, frame, strange)
        still = _is_still(container, path)
        times = survey(path)
        if fields:
            times = _of_frames(times, stream)
        interlacing = _STILL if still else look(path)
        orientation = orientation_of(frame)
        transparent = announced(stream) or Transparency()(frame)
        attached = Attachments()(frame)
        view, lost_view = view_of(side_data(frame))
        # A layer of alpha, the other use of layers, FFmpeg gives with the picture.
        views = bool(stream.disposition & Disposition.multilayer) and not has_alpha(frame.format)
        told = ((lost_view, lost_view), (FURTHER_VIEWS, views), (DOLBY_VISION, dolby_vision))
        losses = tuple(
            dict.fromkeys(
                [*dropped(attached), *(words for words, found in told if words and found)]
            )
        )
        timecode = timecode_of(container, stream, frame)
        matrix = _said(frame.colorspace, context.colorspace)
        range_said = int(frame.color_range) or int(context.color_range)
        colour = colour_of(
            matrix=matrix,
            range_=range_of(range_said, frame.format, codec_name(stream)),
            primaries=_said(frame.color_primaries, context.color_primaries),
            transfer=_said(frame.color_trc, context.color_trc),
            rgb=is_rgb(frame.format),
            height=frame.height,
            width=frame.width,
        )
        depth = code_depth(frame.format)
        crop = crop_of(said, stream.index, frame)
        ToRgb(codec_name(stream), colour, depth)(frame)  # what cannot be read is said now
        return VideoInfo(
            path=path,
            kind=Kind.STILL if still else Kind.VIDEO,
            container=container.format.name,
            codec=codec_name(stream),
            pix_fmt=frame.format.name,
            width=frame.width - crop[2] - crop[3],
            height=frame.height - crop[0] - crop[1],
            frame_count=times.frames,
            rate=times.rate,
            usual_seconds=times.usual_seconds,
            in_decode_order=times.in_decode_order,
            coarse_time_base=output_time_base(time_base, times.longest_seconds),
            time_base=time_base,
            start_seconds=start_seconds,
            duration_seconds=None if times.seconds is None else float(times.seconds),
            end_seconds=_end_seconds(container, stream, start_seconds),
            promised_seconds=_promised_seconds(container, stream, start_seconds),
            bit_depth=depth,
            colour=colour,
            light=light_of(frame),
            sample_aspect_ratio=_sample_aspect_ratio(stream),
            orientation=orientation,
            crop=crop,
            view=view,
            captions=has_captions(attached),
            attached=losses,
            interlaced=interlacing.possible,
            transparent=transparent,
            stream_index=stream.index,
            main=describe(stream),
            streams=tuple(
                replace(
                    describe(other),
                    styled=other.index in times.styled,
                    stranger=other.id in strange,
                )
                for other in container.streams
                if other.index != stream.index and not _is_its_still(other, stream, path)
            ),
            metadata=kept_metadata(container),
            timecode=timecode,
            chapters=len(container.chapters()),
            notices=tuple(
                _notices(
                    interlacing,
                    orientation,
                    transparent=transparent,
                    attached=[
                        words for words in losses if not (timecode and words == FRAME_TIMECODES)
                    ],
                )
            ),
            assumed=(
                *_assumed(frame, matrix, range_said, colour),
                *_assumed_shape(frame, _sample_aspect_ratio(stream)),
            ),
        )


def _notices(
    interlacing: Interlacing,
    orientation: Orientation | None,
    *,
    transparent: bool,
    attached: Iterable[str],
) -> Iterator[str]:
    if interlacing.found:
        order = " and ".join(dict.fromkeys(interlacing.orders))
        yield (
            f"the video is interlaced ({order} field first): each frame is deinterlaced, which"
            " keeps their number but half of the moments in time"
        )
    if transparent:
        yield "transparency (alpha) is dropped: the video becomes opaque"
    for words in attached:
        yield f"{words} is dropped: no encoder here writes it"
    if orientation is not None and not is_right_angled(orientation):
        yield "the file rotates its picture by an odd angle, which few players support; kept as is"


def crop_of(description: str, index: int, frame: VideoFrame) -> Crop:
    """What of a stream's picture its container hides, where something is left of it."""
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
        f"the file does not say what its colours mean: they are taken for {name}, as players do"
        " for a picture of this size",
    )


def _assumed_shape(frame: VideoFrame, ratio: Fraction | None) -> Iterator[str]:
    """What is taken for the picture's shape, where file and video clearly disagree."""
    own, said = shape_of(frame), Fraction(frame.width, frame.height) * (ratio or 1)
    if abs(said / own - 1) > CLEARLY_OTHER_SHAPE:
        yield (
            f"the file says that the picture is {shape_words(said)}, the video in it that it is"
            f" {shape_words(own)}: taken for {shape_words(said)}, as players do"
        )


def describe(stream: Stream) -> StreamInfo:
    """A stream beside the main one."""
    codec = None if stream.codec_context is None else stream.codec_context.codec
    timecode = stream.type == "data" and "timecode" in stream.metadata
    # mp4 and mov keep chapters in a track that FFmpeg reads by itself and then hides.
    hidden = stream.type == "data" and stream.discard is Discard.all
    chapters = hidden and bool(cast("InputContainer", stream.container).chapters())
    # That it has several views is told of the pictures.
    marks = tuple(str(m.name) for m in stream.disposition if m is not Disposition.multilayer)
    return StreamInfo(
        index=stream.index,
        type=stream.type,
        codec=codec_name(stream) or _data_name(stream),
        language=stream.metadata.get("language", ""),
        title=title_of(stream),
        cover=stream.type == "video" and is_cover(stream) and CHAPTER_PICTURES not in marks,
        text=codec is not None and stream.type == "subtitle" and bool(codec.properties & _TEXT),
        marks=marks,
        tags=tags_of(stream),
        remade=timecode or chapters,
    )


def _of_frames(times: Survey, stream: VideoStream) -> Survey:
    """What was measured on fields, of the frames that two of them make."""
    # Of a raw stream the mean is FFmpeg's invention.
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


def _is_its_still(other: Stream, stream: VideoStream, path: Path) -> bool:
    """Whether a stream is the first frame once more, as animated AVIF has it for plain viewers."""
    if other.type != "video" or other.frames != 1 or other.duration is not None:
        return False
    first: dict[int, bytes] = {}
    with open_input(path) as container:
        for packet in container.demux(*(container.streams[s.index] for s in (stream, other))):
            first.setdefault(packet.stream.index, bytes(packet))
            if len(first) > 1:
                break
    return first.get(other.index) == first.get(stream.index)


def _data_name(stream: Stream) -> str:
    """FFmpeg's name of what no decoder reads, such as a camera's measurements."""
    return str(getattr(stream, "name", None) or "") if stream.type == "data" else ""


def _said(of_frame: int, of_stream: int) -> int:
    return int(of_frame) if int(of_frame) not in (0, 2) else int(of_stream)


def _decoded(
    container: InputContainer, stream: VideoStream, shapes: PixelShapes
) -> Iterator[VideoFrame]:
    for packet in Demuxer(container, stream):
        with suppress(FFmpegError):
            yield from shapes.decode(packet)


def _start(
    container: InputContainer, stream: VideoStream, first: VideoFrame, strange: frozenset[int]
) -> Fraction:
    """The file's own time to call 0, a whole number of video ticks.

    Streams that start late are moved forward together, so that nothing changes between them.
    A video that starts before 0 is moved too, since players hide such frames; sound that does
    so (an encoder's priming samples) is left alone, since containers say so in their own way.

    Args:
        strange: ids of streams that do not count: of other programmes.
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
        and other.id not in strange
    ]
    if first.pts is not None:
        starts.append(first.pts * time_base)
    earliest = min(starts, default=Fraction(0))
    video_hidden = first.pts is not None and first.pts < 0
    if earliest > 0 or video_hidden:
        return earliest // time_base * time_base
    return Fraction(0)


def _end_seconds(
    container: InputContainer, stream: VideoStream, start_seconds: Fraction
) -> Fraction | None:
    """mp4 and mov count ticks; other containers' durations are rounded or estimated."""
    if not container.format.name.startswith("mov") or not stream.duration:
        return None
    assert stream.time_base is not None
    return ((stream.start_time or 0) + stream.duration) * stream.time_base - start_seconds


def _promised_seconds(
    container: InputContainer, stream: VideoStream, start_seconds: Fraction
) -> Fraction | None:
    """When the file says the video ends, on our clock; None where it means all streams together."""
    end = _end_seconds(container, stream, start_seconds)
    if end is not None:
        return end
    # Matroska, as FFmpeg and mkvmerge write it: hours, minutes and seconds from the file's 0.
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in tag.groups())
    return 3600 * hours + 60 * minutes + seconds - start_seconds


def _sample_aspect_ratio(stream: VideoStream) -> Fraction | None:
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and ratio > 0 else None
