"""Opening files with FFmpeg, its errors said in our words, and the packets of a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av import logging as av_logging
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.encryption import refuse_packet
from vsrdb_cli.video.containers.formats import AS_NAMED
from vsrdb_cli.video.containers.limits import check_picture_texts, check_texts, limit
from vsrdb_cli.video.containers.source_file import opener

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

AV_TIME_BASE = 1_000_000  # ticks a second of a container's own times

# Formats in which a stream is known by its first packet, or by a table that may change: FFmpeg
# stops looking after five seconds and PyAV cannot read what appears later.
_STREAMS_APPEAR = {"mpeg", "mpegts", "flv", "live_flv", "dv", "wtv", "nsv", "swf"}
_WHOLE_FILE = {
    "probesize": str(1 << 60),
    "analyzeduration": str(1 << 60),
    "scan_all_pmts": "1",  # of transport streams, also of later versions
}
_PROBE_MARGIN = 1 << 20  # bytes, for a decoder to tell what a stream is

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


def open_input(path: Path) -> InputContainer:
    """Open a file for reading, and no other, whatever is in it.

    Raises:
        VideoError: it is missing, empty, nothing FFmpeg can read, or names other files; from here
            on, whenever the system cannot read it.
    """
    if not path.exists():
        raise VideoError(f"{path} does not exist", hint="check the name and the folder")
    stat = path.stat()
    if path.is_file() and stat.st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)", hint="copy or download it again")
    try:
        if path.is_file():
            _check_texts(path, stat.st_size, stat.st_mtime_ns)
        container = _opened(path, AS_NAMED)
        if container.format.name not in _STREAMS_APPEAR or not path.is_file():
            return container
        container.close()
        return _opened(path, {**AS_NAMED, **_probing(path, stat.st_size, stat.st_mtime_ns)})
    except FFmpegError as error:
        kind = _kind_refused(path) if isinstance(error, ArgumentError) else ""
        if kind:
            raise VideoError(
                f"{path} is no video by itself: it is of a kind ({kind}) that can name other files",
                hint="give the files that it names, or make one of them with ffmpeg",
            ) from error
        raise VideoError(
            f"{path} cannot be read as a video: {reason(error)}",
            hint="check with ffprobe; a file that was cut off or is still being written has often"
            " lost its index",
        ) from error


def _opened(path: Path, options: Mapping[str, str]) -> InputContainer:
    # FFmpeg only looks at the name, whose bytes PyAV cannot hand back if they are no text.
    name = url(path).encode("utf-8", "replace").decode()
    return av.open(
        name, options=dict(options), metadata_errors="replace", io_open=opener(path, name)
    )


def _kind_refused(path: Path) -> str:
    """FFmpeg's name for a kind of file that is not opened; "" if it was refused for another reason.

    It tells no one but its log.
    """
    level = av_logging.get_level()
    av_logging.set_level(av_logging.ERROR)
    try:
        with av_logging.Capture() as logs, suppress(FFmpegError):
            av.open(url(path), options=AS_NAMED).close()
    finally:
        av_logging.set_level(level)
    return next((kind for _, kind, text in logs if "whitelist" in text), "")


@lru_cache(maxsize=64)
def _check_texts(path: Path, size: int, modified: int) -> None:  # noqa: ARG001
    """`check_texts`, once for a file as it is."""
    check_texts(path)


@lru_cache(maxsize=64)
def _probing(path: Path, size: int, modified: int) -> Mapping[str, str]:  # noqa: ARG001
    """How deep a file must be probed for all its streams to be known: options of FFmpeg.

    Reads a file whose format allows streams to appear late to its end once; nothing is decoded but
    what tells their kind, and memory does not grow.

    Args:
        size, modified: of the file, by which a changed one is looked at again.
    """
    with _opened(path, AS_NAMED) as container:
        known = _kinds(container)
    whole = {**AS_NAMED, **_WHOLE_FILE, "fflags": "nobuffer"}
    with _opened(path, whole) as container:
        if _kinds(container) == known:
            return {}
        container.seek(0, backward=False, unsupported_byte_offset=True)
        begins: dict[int, int] = {}
        for packet in Demuxer(container, *container.streams):
            if packet.size and packet.stream_index not in begins:
                begins[packet.stream_index] = packet.pos or 0
                if len(begins) == len(container.streams):
                    break
    return {**_WHOLE_FILE, "probesize": str(max(begins.values(), default=0) + _PROBE_MARGIN)}


def _kinds(container: InputContainer) -> list[tuple[object, ...]]:
    """What is known of the streams; of one whose packets were not met it is little."""
    contexts = ((stream, stream.codec_context) for stream in container.streams)
    return [
        (
            stream.type,
            codec_name(stream),
            *(getattr(context, name, 0) for name in ("sample_rate", "width", "height")),
        )
        for stream, context in contexts
    ]


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The stream to restore: the one players choose.

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
    limit(stream, path)  # type: ignore[arg-type]
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
        is_complete: False if the file held packets of a stream that nothing announced; they are
            left out. Known at the end.
    """

    def __init__(self, container: InputContainer, *streams: Stream) -> None:
        self._container = container
        self._streams = streams
        self.errors = 0
        self.is_complete = True

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
                # PyAV, at the end: once it has flushed the streams it knows, it meets another.
                self.is_complete = False
            return
