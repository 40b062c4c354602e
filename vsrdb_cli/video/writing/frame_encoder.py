"""Encode frames to packets of one video stream, at their own times."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
from av import logging as av_logging
from av.codec.context import Flags
from av.error import FFmpegError

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.files import DISK_HINT
from vsrdb_cli.runtime import environment
from vsrdb_cli.video.containers.capabilities import container_of
from vsrdb_cli.video.containers.ffmpeg_log import listening
from vsrdb_cli.video.containers.opening import reason
from vsrdb_cli.video.pixels.pixel_formats import is_rgb
from vsrdb_cli.video.side_data.attachments import Captioner
from vsrdb_cli.video.side_data.immersive import View, add_immersive_stream
from vsrdb_cli.video.side_data.orientation import set_orientation
from vsrdb_cli.video.timing import ticks
from vsrdb_cli.video.writing.frame_converter import FrameConverter

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from torch import Tensor

    from vsrdb_cli.video.filtering.filtering import Filtering
    from vsrdb_cli.video.frame import Frame
    from vsrdb_cli.video.info import VideoInfo
    from vsrdb_cli.video.writing.encoding import Encoding
    from vsrdb_cli.video.writing.frame_converter import Converted

# Between a packet's decode time and its picture; more is garbage, even at one frame a minute.
LONGEST_DELAY_SECONDS = Fraction(3600)
# In frames a second, of encoders that refuse more.
HIGHEST_RATES = {"libsvtav1": Fraction(240)}
PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE
# Beginnings of encoders' complaints about their parameter lists; they ignore what they do not know.
_COMPLAINTS = ("Error parsing option", "Unknown option", "Invalid value")


class FrameEncoder:
    """Encodes frames to packets of one video stream of an open output.

    A frame is converted in a thread of its own while the one before it is encoded.

    Args:
        container: the output; the stream is added to it.
        info: of the source.
        encoding: from `choose_encoding`.
        convert: as `FromRgb`.
        postfilters: what restored frames pass before they are encoded.
    """

    def __init__(
        self,
        container: OutputContainer,
        info: VideoInfo,
        encoding: Encoding,
        convert: Callable[[Tensor], VideoFrame] | None = None,
        postfilters: Sequence[Filtering] = (),
    ) -> None:
        self._info = info
        given = postfilters[0].given if postfilters else None
        self._size = (given or encoding).height, (given or encoding).width
        self.stream, self._context = _add_stream(container, info, encoding)
        self._converter = FrameConverter(encoding.pix_fmt, info, postfilters, convert=convert)
        self._captioned = (
            Captioner(encoding.width, encoding.height, encoding.pix_fmt)
            if encoding.captions
            else None
        )
        self._converting = ThreadPoolExecutor(1)
        self._begun: Future[list[Converted]] | None = None
        self._durations: dict[int, int] = {}
        self._last_dts: int | None = None
        self._first_dts: int | None = None
        self._first_pts: int | None = None
        self._last_pts: int | None = None
        self._end = 0
        self._longest_delay = ticks(LONGEST_DELAY_SECONDS, info.output_time_base)

    def encode(self, frame: Frame) -> Iterator[Packet[Any]]:
        """Yield the packets that are ready; this frame is encoded while the next is converted."""
        if tuple(frame.rgb.shape[1:]) != self._size:
            raise ValueError(f"frame of {tuple(frame.rgb.shape[1:])}, wanted {self._size}")
        begun, self._begun = self._begun, self._converting.submit(self._converter.push, frame)
        if begun is not None:
            yield from self._encoded(begun.result())

    def _encoded(self, converted: list[Converted]) -> Iterator[Packet[Any]]:
        for frame, picture in converted:
            if self._captioned is not None and frame.captions is not None:
                yield from self._encoded_picture(frame, self._captioned(picture, frame.captions))
            else:
                yield from self._encoded_picture(frame, picture)

    def _encoded_picture(self, frame: Frame, picture: VideoFrame) -> Iterator[Packet[Any]]:
        # Times must rise: a step in the source may be none in coarser ticks.
        pts = self._ticks(frame.pts)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        end = max(self._ticks(frame.pts + frame.duration), pts + 1)
        picture.pts, picture.duration = pts, end - pts
        picture.time_base = self._info.output_time_base
        self._durations[pts] = end - pts
        if self._first_pts is None:
            self._first_pts = pts
        self._last_pts, self._end = pts, end
        for packet in self._context.encode(picture):
            yield self._repaired(packet)

    def finish(self) -> Iterator[Packet[Any]]:
        """Yield the packets that are left."""
        if self._begun is not None:
            yield from self._encoded(self._begun.result())
        yield from self._encoded(self._converter.flush())
        self._converting.shutdown()
        held = [self._repaired(packet) for packet in self._context.encode(None)]
        if held and self._first_dts is not None and self._first_pts is not None:
            end_track(held[-1], self._end, self._first_pts, self._first_dts)
        yield from held

    def _ticks(self, pts: int) -> int:
        """Convert a time of the source to ticks of the output."""
        return ticks(pts * self._info.time_base, self._info.output_time_base)

    def _repaired(self, packet: Packet[Any]) -> Packet[Any]:
        packet.stream = self.stream
        pts = packet.pts
        assert pts is not None
        # SVT-AV1 ignores durations whatever the flag.
        packet.duration = self._durations.pop(pts, self._ticks(self._info.frame_ticks))
        # libx265 gives garbage decode times for one- and two-frame videos.
        if packet.dts is None or packet.dts > pts or pts - packet.dts > self._longest_delay:
            packet.dts = pts
        if self._last_dts is not None and packet.dts <= self._last_dts:
            packet.dts = self._last_dts + 1
        if self._first_dts is None:
            self._first_dts = packet.dts
        self._last_dts = packet.dts
        return packet


def _add_stream(
    container: OutputContainer, info: VideoInfo, encoding: Encoding
) -> tuple[VideoStream, VideoCodecContext]:
    """Add the stream to an output; return it with the context that encodes it."""
    name, options = encoding.encoder.name, dict(encoding.settings)
    view = info.view.held_by(container_of(container))
    if not view:
        stream: VideoStream = container.add_stream(name, rate=info.rate, options=options)  # type: ignore[assignment]
        context = stream.codec_context
        _set_up(context, info, encoding)
    else:
        context = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
        context.options = options
        context.flags |= Flags.global_header.value
        _set_up(context, info, encoding)
        with _refusals(name):
            context.open()
        scale = Fraction(encoding.height, info.height)
        stream = add_immersive_stream(container, encoding.codec, view, context, scale)
    stream.time_base = info.output_time_base
    tag_for_players(stream, encoding.codec, container)
    if info.orientation is not None:
        set_orientation(stream, info.orientation)
    return stream, context


def _set_up(context: VideoCodecContext, info: VideoInfo, encoding: Encoding) -> None:
    context.width, context.height = encoding.width, encoding.height
    context.pix_fmt = encoding.pix_fmt
    # It only guides rate control; every frame has its own time.
    context.framerate = min(info.rate, HIGHEST_RATES.get(encoding.encoder.name, info.rate))
    context.time_base = info.output_time_base
    context.thread_count = encoding.threads
    # Without it packets have no durations, and that of the last frame is arbitrary.
    context.flags |= Flags.frame_duration.value
    if not is_rgb(av.VideoFormat(encoding.pix_fmt)):
        context.colorspace = info.colour.matrix
        context.color_range = info.colour.range
    context.color_primaries = info.colour.primaries
    context.color_trc = info.colour.transfer
    context.field_order = PROGRESSIVE
    if info.sample_aspect_ratio is not None:
        context.sample_aspect_ratio = info.sample_aspect_ratio


def end_track(packet: Packet[Any], end: int, first_pts: int, first_dts: int) -> None:
    """Make a track end exactly with its last picture; `packet` is the last one to be muxed.

    mp4 stores two lengths: of decode times, and of what is shown (the latest pts + duration).
        Players and FFmpeg take the shorter, so the first must not be less than the second. The last
        packet need not be the last picture, and its decode time may lag more than the first's did.
    """
    assert packet.pts is not None
    assert packet.dts is not None
    packet.dts = max(packet.dts, packet.pts - (first_pts - first_dts))
    packet.duration = max(packet.duration or 1, end - first_pts - (packet.dts - first_dts))


def tag_for_players(stream: VideoStream, codec: str, container: OutputContainer) -> None:
    """Name HEVC as Apple's players want it: they refuse "hev1", which FFmpeg would take."""
    if codec == "hevc" and container_of(container).iso:
        stream.codec_context.codec_tag = "hvc1"


def check_encoder_options(encoding: Encoding, info: VideoInfo, container_format: str) -> None:
    """Check by trying that an encoder takes the options the user gave by name.

    Raises:
        OptionError, OutputError: it refuses them.
    """
    with av.open(io.BytesIO(), "w", format=container_format) as container:
        _add_stream(container, replace(info, view=View()), encoding)
        start_encoding(container, encoding.encoder.name, encoding)


def start_encoding(container: OutputContainer, name: str, encoding: Encoding | None = None) -> None:
    """Open the encoders and write the header, so that what cannot work fails before the work.

    Raises:
        OutputError: the encoder or the container refused.
        OptionError: the encoder does not know an option the user gave.
    """
    asked = () if encoding is None else encoding.asked
    with _refusals(name):
        if asked:
            complaints = _start_listening(container)
        else:
            container.start_encoding()
            complaints = []
    if encoding is None:
        return
    context = container.streams.video[0].codec_context
    unknown = [f"no option '{option}'" for option in context.options if option in asked]
    if unknown or complaints:
        raise OptionError(
            f"{encoding.encoder.name}: {'; '.join(unknown + complaints)}",
            hint="list its options with: ffmpeg -h encoder=" + encoding.encoder.name,
        )


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turn what an encoder or a file refuses into our errors."""
    try:
        # SVT-AV1 prints its settings by itself; 1 leaves errors.
        with environment(SVT_LOG="1"), _keep_scheduling():
            yield
    except (FFmpegError, ValueError) as error:
        words = reason(error) if isinstance(error, FFmpegError) else str(error)
        hint = "check --codec, --pix-fmt and --encoder-option, or try a .mkv output"
        raise OutputError(
            f"{name} cannot be written: {words}",
            hint=DISK_HINT if isinstance(error, OSError) else hint,
        ) from error


def _start_listening(container: OutputContainer) -> list[str]:
    """Start, and return complaints from FFmpeg's log, which is off otherwise."""
    with listening(av_logging.WARNING) as log:
        container.start_encoding()
    lines = (text.strip().rstrip(".") for _, _, text in log)
    return [line for line in lines if line.startswith(_COMPLAINTS)]


@contextmanager
def _keep_scheduling() -> Iterator[None]:
    """Undo what SVT-AV1, opened by root, does: it puts every thread on real-time priority."""
    before = _schedulers()
    try:
        yield
    finally:
        for thread, scheduler in _schedulers().items():
            own = before.get(thread, os.SCHED_OTHER)
            if scheduler == os.SCHED_FIFO and own != scheduler:
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, own, os.sched_param(0))


def _schedulers() -> dict[int, int]:
    """Return the scheduling policy of each thread of this process, on Linux."""
    tasks = Path("/proc/self/task")
    found: dict[int, int] = {}
    if sys.platform != "linux" or not tasks.is_dir():
        return found
    for thread in (int(task.name) for task in tasks.iterdir()):
        with suppress(ProcessLookupError):  # it may end while they are listed
            found[thread] = os.sched_getscheduler(thread)
    return found
