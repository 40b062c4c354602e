"""Open files with FFmpeg: only those that hold all of themselves, with clear errors."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av import logging as av_logging
from av.error import ArgumentError, FFmpegError

from vsrdb_cli.disks import RESUME_HINT
from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import Demuxer, codec_name
from vsrdb_cli.video.containers.limits import check_texts

if TYPE_CHECKING:
    from av.container import InputContainer

_VIDEO = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "asf", "flv", "live_flv", "ogg", "mxf", "nut"),
    *("dv", "wtv", "gxf", "ivf", "rm", "nsv", "swf", "yuv4mpegpipe", "av1", "obu", "lxf", "r3d"),
    *("cine", "ser", "dhav", "luodat", "kux", "ivr", "ty", "nuv", "pmp", "mtv", "mv"),
    *("smjpeg", "mpjpeg", "film_cpk", "filmstrip", "flic", "4xm", "roq", "smk", "bink", "thp"),
    *("wc3movie", "vmd", "yop", "bethsoftvid", "ipmovie", "dxa", "ea", "mvi", "rl2", "vivo"),
    *("vividas", "moflex", "rpl", "sga", "gdv", "bmv", "psxstr", "xmv", "siff", "cdxl", "jv"),
)
# One stream with nothing around it.
_RAW = (
    *("h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000"),
    *("vc1", "vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "apv", "ipu", "ingenient"),
)
# image2 is one picture, because its patterns are turned off. Of svg_pipe a picture may name others.
_PICTURES = (
    *("image2", "gif", "apng", "ico", "fits", "iff", "jpegxl_anim", "alias_pix", "xbin"),
    *("bmp_pipe", "cri_pipe", "dds_pipe", "dpx_pipe", "exr_pipe", "gem_pipe", "gif_pipe"),
    *("hdr_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe", "jpegxs_pipe"),
    *("pam_pipe", "pbm_pipe", "pcx_pipe", "pfm_pipe", "pgm_pipe", "pgmyuv_pipe", "pgx_pipe"),
    *("phm_pipe", "photocd_pipe", "pictor_pipe", "png_pipe", "ppm_pipe", "psd_pipe"),
    *("qdraw_pipe", "qoi_pipe", "sgi_pipe", "sunrast_pipe", "tiff_pipe", "vbn_pipe"),
    *("webp_pipe", "xbm_pipe", "xpm_pipe", "xwd_pipe"),
)
# Opened to be told that there is no video in them, or within others.
_SOUND = (
    *("mp3", "aac", "flac", "wav", "w64", "aiff", "au", "caf", "amr", "ape", "ac3", "eac3"),
    *("dts", "dtshd", "truehd", "mlp", "tta", "tak", "wv", "mpc", "mpc8", "oma", "dsf", "loas"),
    *("sox", "voc", "sbc", "iamf", "spdif", "ilbc", "gsm", "qcp", "aa"),
)
_TEXT = ("srt", "ass", "webvtt", "sup", "lrc", "microdvd", "sami", "mpl2", "subviewer", "stl")

# Options of FFmpeg for whatever is opened by a name.
AS_NAMED = {
    "format_whitelist": ",".join((*_VIDEO, *_RAW, *_PICTURES, *_SOUND, *_TEXT)),
    "protocol_whitelist": "file",
    "pattern_type": "none",  # else a % or * in a picture's name stands for other pictures
}


class SourceFile(io.FileIO):
    """A file whose content the system may refuse.

    FFmpeg's formats make an error of reading into the end of the file, or into damage, and give
    errors of the system for damage. Here it is raised as what it is, by PyAV on return from
    whatever has read; only the first one, since FFmpeg may read on before it returns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        super().__init__(path, "rb")

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; b"" at the end, and after an error.

        Raises:
            VideoError: the system cannot give them.
        """
        if self._failed:
            return b""
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            self._failed = True
            raise unreadable(self._path, error) from error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; -1 where there is none, as damaged files ask for some before the first.

        Raises:
            VideoError: the system cannot go there.
        """
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return -1
            self._failed = True
            raise unreadable(self._path, error) from error


def opener(path: Path, name: str) -> Callable[[str, int, Mapping[str, str]], Any]:
    """What opens a file for FFmpeg; other names that are asked for by its formats are refused.

    Args:
        name: what FFmpeg calls it.
    """

    def open_named(asked: str, flags: int, options: Mapping[str, str]) -> SourceFile:  # noqa: ARG001
        if asked != name:
            raise VideoError(
                f"{path} is a list of other files, such as {asked.removeprefix('file:')}",
                hint="give the file itself that holds the video",
            )
        try:
            return SourceFile(path)
        except OSError as error:
            raise unreadable(path, error) from error

    return open_named


def unreadable(path: Path, error: OSError) -> VideoError:
    """What to say where the system, not the content of a file, is to blame."""
    return VideoError(f"{path} cannot be read: {error.strerror or error}", hint=RESUME_HINT)


# Formats in which a stream is known by its first packet, or by a table that may change: FFmpeg
# stops looking after five seconds and PyAV cannot read what appears later.
_STREAMS_APPEAR = {"mpeg", "mpegts", "flv", "live_flv", "dv", "wtv", "nsv", "swf"}
_WHOLE_FILE = {
    "probesize": str(1 << 60),
    "analyzeduration": str(1 << 60),
    "scan_all_pmts": "1",  # of transport streams, also of later versions
}
_PROBE_MARGIN = 1 << 20  # bytes, for a decoder to tell what a stream is


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
