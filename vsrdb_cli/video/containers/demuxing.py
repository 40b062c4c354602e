"""The streams and packets of an open file, and damage that decoders do not report."""

from __future__ import annotations

import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av import logging as av_logging
from av.error import FFmpegError
from av.stream import Disposition

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.encryption import refuse_packet
from vsrdb_cli.video.containers.limits import check_picture_texts, limit_decoder
from vsrdb_cli.video.timing import REORDER_FRAMES, RESTART_SECONDS, WRAP_SECONDS, ticks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

AV_TIME_BASE = 1_000_000  # ticks a second of a container's own times

# It may take several calls to get past an unreadable place; a file that gives only errors has
# ended.
READ_ERRORS_IN_A_ROW = 16


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """Choose the stream to restore: the one players choose.

    Raises:
        VideoError: there is none; a cover picture is not one.
    """
    stream = container.streams.best("video")
    if container.format.name == "ico":
        # One picture in several sizes, of which FFmpeg takes the first.
        stream = max(container.streams.video, key=lambda size: size.width)
    if stream is None:
        kinds = sorted({s.type for s in container.streams})
        found = f"only: {', '.join(kinds)}" if kinds else "no streams at all"
        raise VideoError(
            f"{path} has no video stream; it holds {found}",
            hint="choose a file that contains video",
        )
    if is_cover(stream):
        raise VideoError(
            f"{path} has no video: its only picture is an audio file's cover",
            hint="choose a file that contains video",
        )
    if stream.codec_context is None:
        raise VideoError(
            f"{path}: its video codec ({codec_tag(stream)}) cannot be decoded here",
            hint="convert it to H.264 first",
        )
    limit_decoder(stream, path)  # type: ignore[arg-type]
    return stream  # type: ignore[return-value]


def is_cover(stream: Stream) -> bool:
    """Return whether a video stream is an attached picture."""
    return bool(stream.disposition & Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """Return the codec's own name, not its decoder's ("av1", not "libdav1d"); "" if unknown."""
    if stream.codec_context is None:
        return ""
    return str(stream.codec_context.codec.canonical_name)


def codec_tag(stream: Stream) -> str:
    """Return the container's four letters for a codec without a name."""
    try:
        return str(stream.codec_tag)
    except (AttributeError, ValueError):
        return "unknown"


def description(container: InputContainer) -> str:
    """Return what FFmpeg's programs print of an open file; PyAV does not show some of it."""
    level = av_logging.get_level()
    av_logging.set_level(av_logging.INFO)
    try:
        opened: Any = container  # PyAV's annotations lack the method
        return str(opened.dumps_format())
    finally:
        av_logging.set_level(level)


def stream_description(description: str, index: int) -> str:
    """Return the part of a `description` that is about one stream."""
    ours = rf"^  Stream #0:{index}\b.*?(?=^  \S|\Z)"
    found = re.search(ours, description, re.DOTALL | re.MULTILINE)
    return found[0] if found else ""


def decoded_frames(
    container: InputContainer,
    stream: VideoStream,
    decode: Callable[[Packet[Any]], Iterable[VideoFrame]] | None = None,
) -> Iterator[VideoFrame]:
    """Decode a stream to its end, leaving out packets that FFmpeg cannot decode."""
    for packet in Demuxer(container, stream):
        with suppress(FFmpegError):
            yield from packet.decode() if decode is None else decode(packet)


class Demuxer:
    """The packets of an open file; places that cannot be read are skipped.

    Attributes:
        errors: how often reading failed so far.
        is_complete: False if the file held packets of a stream that nothing announced; they are
            left out. Known at the end.
    """

    def __init__(self, container: InputContainer, *streams: Stream) -> None:
        self._container = container
        self._streams = streams
        self.errors = 0
        self.is_complete = True

    def __iter__(self) -> Iterator[Packet[Any]]:
        """Yield packets in file order; the last of each stream are empty and flush its decoder.

        Raises:
            VideoError: they are encrypted, perhaps after a clear beginning.
        """
        failures = 0
        while True:
            try:
                for packet in self._container.demux(*self._streams):
                    refuse_packet(packet, self._container.name)
                    if packet.size and codec_name(packet.stream) == "png":
                        check_picture_texts(bytes(packet), self._container.name)
                    yield packet
                    failures = 0
            except FFmpegError:
                self.errors += 1
                failures += 1
                if failures < READ_ERRORS_IN_A_ROW:
                    continue
            except IndexError:
                # PyAV raises it at the end, when it meets a stream after flushing those it knows.
                self.is_complete = False
            return


# FFV1 checksums take the highest bit of a byte first, zlib the lowest.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_TRAILER = 8  # of an FFV1 slice: 3 bytes of length, 1 of status, 4 of checksum
_INTACT = 0xFFFFFFFF


class Holes:
    """A counter of places where part of a stream is missing from its file.

    FFmpeg marks packets of a transport stream where its counter jumps, also where recordings were
    joined and nothing is missing. So a mark counts as a hole only if times are missing nearby.

    Args:
        usual: ticks of a packet without a duration.
    """

    REACH = 32  # packets on either side: a frame's neighbours in time, a hole's edges

    def __init__(self, usual: int = 0) -> None:
        self._usual = usual
        self._near: deque[tuple[int, int]] = deque(maxlen=2 * self.REACH + 1)
        self._wait = 0  # packets until a marked one is judged
        self.count = 0

    def look(self, packet: Packet[Any]) -> None:
        """Take the stream's next packet, its times as in the file."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            step = time - self._near[-1][0] if self._near else 0
            limit_decoder = ticks(RESTART_SECONDS, packet.time_base)
            if step < -limit_decoder or step > ticks(WRAP_SECONDS / 2, packet.time_base):
                self.end()  # another recording's clock
            self._near.append((time, packet.duration or self._usual))
        if packet.is_corrupt:
            self._wait = self.REACH
        elif self._wait:
            self._wait -= 1
            self.count += not self._wait and self._is_gap_near(ahead=REORDER_FRAMES)

    def end(self) -> None:
        """Note that no packet follows, or none with this clock."""
        self.count += bool(self._wait) and self._is_gap_near(ahead=0)
        self._wait = 0
        self._near.clear()

    def _is_gap_near(self, ahead: int) -> bool:
        """Return whether times are missing; the last `ahead` may still get neighbours."""
        behind = REORDER_FRAMES if len(self._near) == self._near.maxlen else 0
        near = sorted(self._near)[behind : len(self._near) - ahead]
        return any(
            later - (time + length) > length // 2 for (time, length), (later, _) in pairwise(near)
        )


class Ffv1Checksums:
    """A check of FFV1 packets by their slices' checksums, where the file has them.

    Source: RFC 9043, 4.9 (slice footer). FFmpeg's decoder checks them too, but only logs it.
    """

    def __init__(self) -> None:
        self._used: bool | None = None

    def damaged(self, packet: bytes) -> bool:
        """Return whether the stream's next packet fails; the first shows if there are checksums."""
        intact = _all_slices_intact(packet)
        if self._used is None:
            self._used = intact
        return self._used and not intact


def _all_slices_intact(packet: bytes) -> bool:
    end = len(packet)
    while end > 0:
        length = int.from_bytes(packet[max(0, end - _TRAILER) : end][:3]) + _TRAILER
        if length > end:
            return False
        part = packet[end - length : end].translate(_REVERSED)
        # With 0 at the start and its checksum at the end, an intact slice leaves 0.
        if zlib.crc32(part, _INTACT) != _INTACT:
            return False
        end -= length
    return True
