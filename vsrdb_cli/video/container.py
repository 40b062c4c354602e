"""Opening files with FFmpeg, its errors said in our words, and the packets of a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av import logging as av_logging
from av.error import FFmpegError
from av.stream import Disposition

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.encryption import refuse_packet

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

AV_TIME_BASE = 1_000_000  # ticks a second of a container's own times

# One unreadable place may take several calls to get over; a file that gives nothing but errors
# has ended.
READ_ERRORS_IN_A_ROW = 16


def library_versions() -> dict[str, tuple[int, int, int]]:
    """FFmpeg's libraries by name, with their versions."""
    return dict(av.library_versions)


def url(path: Path) -> str:
    """A name FFmpeg takes for a file, whatever colons or percent signs are in it."""
    return f"file:{path.absolute()}"


def reason(error: FFmpegError) -> str:
    """FFmpeg's own words for an error."""
    return error.strerror or str(error)


def open_input(path: Path, **options: str) -> InputContainer:
    """Open a file for reading.

    Raises:
        VideoError: it is missing, empty, or nothing FFmpeg can read.
    """
    if not path.exists():
        raise VideoError(f"{path} does not exist", hint="check the name and the folder")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)", hint="copy or download it again")
    try:
        return av.open(url(path), options=options, metadata_errors="replace")
    except FFmpegError as error:
        raise VideoError(
            f"{path} cannot be read as a video: {reason(error)}",
            hint="check with ffprobe; a file that was cut off or is still being written has often"
            " lost its index",
        ) from error


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The stream to restore: the one players choose.

    Raises:
        VideoError: there is none; a cover picture is not one.
    """
    stream = container.streams.best("video")
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
    return stream  # type: ignore[return-value]


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is an attached picture."""
    return bool(stream.disposition & Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """The codec's own name, not its decoder's ("av1", not "libdav1d"); "" if FFmpeg has none."""
    if stream.codec_context is None:
        return ""
    return str(stream.codec_context.codec.canonical_name)


def codec_tag(stream: Stream) -> str:
    """Four letters from the container, for a codec without a name."""
    try:
        return str(stream.codec_tag)
    except (AttributeError, ValueError):
        return "unknown"


def description(container: InputContainer) -> str:
    """What FFmpeg's programs print of an open file: some of it PyAV does not show otherwise."""
    level = av_logging.get_level()
    av_logging.set_level(av_logging.INFO)
    try:
        opened: Any = container  # which PyAV's annotations leave out
        return str(opened.dumps_format())
    finally:
        av_logging.set_level(level)


def stream_description(description: str, index: int) -> str:
    """The part of a `description` that is about one stream."""
    ours = rf"^  Stream #0:{index}\b.*?(?=^  \S|\Z)"
    found = re.search(ours, description, re.DOTALL | re.MULTILINE)
    return found[0] if found else ""


class Demuxer:
    """The packets of an open file, going on after places that cannot be read.

    Attributes:
        errors: how often reading failed so far.
    """

    def __init__(self, container: InputContainer, *streams: Stream) -> None:
        self._container = container
        self._streams = streams
        self.errors = 0

    def __iter__(self) -> Iterator[Packet[Any]]:
        """Packets in file order; the last of each stream are empty and flush its decoder.

        Raises:
            VideoError: they are encrypted, perhaps after a clear beginning.
        """
        failures = 0
        while True:
            try:
                for packet in self._container.demux(*self._streams):
                    refuse_packet(packet, self._container.name)
                    yield packet
                    failures = 0
            except FFmpegError:
                self.errors += 1
                failures += 1
                if failures < READ_ERRORS_IN_A_ROW:
                    continue
            return
