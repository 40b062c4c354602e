"""Decode a few frames from several places of a source, without decoding what lies between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from vsrdb_cli.video.containers.demuxing import AV_TIME_BASE, codec_name, decoded_frames, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.filtering.filtering import filtered
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.pixels.fields import Weaver
from vsrdb_cli.video.pixels.interlacing import FRAMES_A_PLACE, Deinterlacer, field_order
from vsrdb_cli.video.pixels.telecine import CadenceFinder, Finding, has_telecined_rate
from vsrdb_cli.video.pixels.to_rgb import ToRgb

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from torch import Tensor

    from vsrdb_cli.video.frame import FrameSource
    from vsrdb_cli.video.info import VideoInfo

# Where to look, as shares of the file's length: a film may begin with a still title, whose fields
# do not differ.
PLACES = (0.0, 0.25, 0.5, 0.75)
# Pixels of a frame, of which memory has to hold some: larger video is never interlaced.
LARGEST_INTERLACED = 4096 * 2304
_FLAGGED = range(2, 6)  # AV_FIELD_TT to AV_FIELD_BT


@dataclass(frozen=True, slots=True)
class Interlacing:
    """Signs of interlacing in some frames of a file."""

    flagged: bool
    """Whether the file is marked as interlaced."""
    orders: tuple[str, ...]
    """The field shown first, "top" or "bottom", for each place whose pictures are interlaced."""
    film: bool = False
    """Whether film in 3:2 pulldown was seen in one of the places."""

    @property
    def found(self) -> bool:
        """True if pictures are interlaced anywhere."""
        return bool(self.orders)

    @property
    def possible(self) -> bool:
        """True if every frame has to be checked."""
        return self.flagged or self.found


NOT_INTERLACED = Interlacing(flagged=False, orders=())


def detect_interlacing(path: Path, *, look_for_film: bool = False) -> Interlacing:
    """Look for interlacing in a few frames from several places of a file.

    All frames of a short file are checked.
    """
    orders: list[str | None] = []
    film = False
    with open_input(path) as container:
        stream = main_video(container, path)
        flagged = stream.codec_context.field_order in _FLAGGED
        if stream.width * stream.height > LARGEST_INTERLACED:
            return Interlacing(flagged, ())
        length = (container.duration or 0) / AV_TIME_BASE
        start = (container.start_time or 0) / AV_TIME_BASE
        most = 2 * len(PLACES) * FRAMES_A_PLACE
        telecined = look_for_film and has_telecined_rate(stream.average_rate)
        short = length * float(stream.average_rate or 25) < most
        for place in PLACES[: 1 if short else None]:
            try:
                if place:
                    container.seek(int((start + place * length) * AV_TIME_BASE))
                frames = islice(_woven(container, stream), most if short else FRAMES_A_PLACE)
                while taken := list(islice(frames, FRAMES_A_PLACE)):
                    flagged |= any(frame.interlaced_frame for frame in taken)
                    orders.append(field_order(taken))
                    film = film or (telecined and _is_film(taken))
            except FFmpegError:
                continue
    return Interlacing(flagged, tuple(order for order in orders if order is not None), film)


def _is_film(frames: list[VideoFrame]) -> bool:
    finder = CadenceFinder()
    for frame in frames:
        finder.push(frame)
    return finder.finding() != Finding()


def sample_runs(source: FrameSource, places: int, count: int) -> Iterator[list[Tensor]]:
    """Yield runs of up to `count` frames in a row, from `places` places evenly over a source.

    A source with no more frames than that is given whole, as one run. Frames that cannot be decoded
    are left out; if none can, since the only keyframe is the first, as many frames from the
    beginning are given instead.

    Yields:
        (3, H, W) codes as those of a `Frame`, as `source.frames` would give them.
    """
    info = source.info
    known = info.frame_count
    if known is None and info.duration_seconds is not None:
        known = round(info.duration_seconds * info.rate)
    if known is None or known <= places * count:
        yield [frame.rgb for frame in source.frames(0, places * count)]
        return
    # Which frame of film a seek leads to, only counting from the beginning tells.
    seeks = info.kind is Kind.VIDEO and info.film is None
    seen = False
    for place in range(places):
        share = (place + 0.5) / places
        if seeks:
            run = _seen(info, share, count)
            seen = seen or bool(run)
            yield run
        else:
            first = int(share * (known - count))
            yield [frame.rgb for frame in source.frames(first, first + count)]
    if seeks and not seen:
        yield [frame.rgb for frame in source.frames(0, places * count)]


def _seen(info: VideoInfo, share: float, count: int) -> list[Tensor]:
    """Return the frames from a keyframe on, near a share of a file's length."""
    to_rgb = ToRgb(
        info.codec,
        info.converted_from or info.colour,
        info.bit_depth,
        crop=info.crop,
        to_sdr=info.converted_from is not None,
    )
    with open_input(info.path) as container:
        stream = main_video(container, info.path)
        # The container's own length is that of its longest stream, perhaps a subtitle's.
        seconds = float(info.start_seconds) + share * (info.duration_seconds or 0)
        try:
            container.seek(int(seconds * AV_TIME_BASE))
        except FFmpegError:
            return []
        frames: Iterator[VideoFrame] = islice(_woven(container, stream), count)
        if info.interlaced:
            frames = _progressive(frames)
        return [to_rgb(frame) for frame in filtered(frames, info.prefilter)]


def _woven(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode a stream and weave fields that were coded separately."""
    return Weaver(codec_name(stream)).frames(decoded_frames(container, stream))


def _progressive(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    deinterlacer: Deinterlacer[None] = Deinterlacer()
    for frame in frames:
        for whole, _ in deinterlacer.push(frame, None):
            yield whole
    for whole, _ in deinterlacer.flush():
        yield whole
