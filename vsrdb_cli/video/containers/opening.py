"""Open files with FFmpeg, if they are of a format that holds all of itself.

FFmpeg knows other formats, which refer to further files or addresses: playlists, lists of parts,
manifests, session descriptions, numbered pictures. A file name's ending does not tell; none of the
formats allowed here opens anything but the file that was named.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING

import av
from av import logging as av_logging
from av.error import ArgumentError, FFmpegError

from vsrdb_cli.disks import RESUME_HINT
from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import Demuxer, codec_name
from vsrdb_cli.video.containers.ffmpeg_log import listening
from vsrdb_cli.video.containers.limits import check_texts
from vsrdb_cli.video.containers.tag_limits import check_tags

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
# Raw streams without a container.
_RAW = (
    *("h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000"),
    *("vc1", "vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "apv", "ipu", "ingenient"),
)
# image2 is one picture, because its patterns are turned off. svg_pipe is left out: SVG can refer to
# files.
_PICTURES = (
    *("image2", "gif", "apng", "ico", "fits", "iff", "jpegxl_anim", "alias_pix", "xbin"),
    *("bmp_pipe", "cri_pipe", "dds_pipe", "dpx_pipe", "exr_pipe", "gem_pipe", "gif_pipe"),
    *("hdr_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe", "jpegxs_pipe"),
    *("pam_pipe", "pbm_pipe", "pcx_pipe", "pfm_pipe", "pgm_pipe", "pgmyuv_pipe", "pgx_pipe"),
    *("phm_pipe", "photocd_pipe", "pictor_pipe", "png_pipe", "ppm_pipe", "psd_pipe"),
    *("qdraw_pipe", "qoi_pipe", "sgi_pipe", "sunrast_pipe", "tiff_pipe", "vbn_pipe"),
    *("webp_pipe", "xbm_pipe", "xpm_pipe", "xwd_pipe"),
)
# Opened to report that they hold no video, or within others.
_SOUND = (
    *("mp3", "aac", "flac", "wav", "w64", "aiff", "au", "caf", "amr", "ape", "ac3", "eac3"),
    *("dts", "dtshd", "truehd", "mlp", "tta", "tak", "wv", "mpc", "mpc8", "oma", "dsf", "loas"),
    *("sox", "voc", "sbc", "iamf", "spdif", "ilbc", "gsm", "qcp", "aa"),
)
_TEXT = ("srt", "ass", "webvtt", "sup", "lrc", "microdvd", "sami", "mpl2", "subviewer", "stl")

# FFmpeg's options for every file that is opened by name.
AS_NAMED = {
    "format_whitelist": ",".join((*_VIDEO, *_RAW, *_PICTURES, *_SOUND, *_TEXT)),
    "protocol_whitelist": "file",
    "pattern_type": "none",  # else a % or * in a picture's name stands for other pictures
}


# Processor time that FFmpeg may take to open a file, and bytes a second that count on top of it. It
# compares each tag with all before it, in any format: hours for a million of them.
OPENING_SECONDS, OPENING_RATE = 30, 10 << 20


class SourceFile(io.FileIO):
    """A file whose content the system may refuse to give.

    FFmpeg's formats turn a read error into the end of the file or into damage, and report damage as
    system errors. Here the system's error is raised itself, by PyAV when FFmpeg returns; only the
    first one, since FFmpeg may read on before it returns.

    Attributes:
        is_open: whether FFmpeg has opened the file, and may from now on take as long as it needs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        self.is_open = False
        self._begun, self._given = thread_time(), 0
        super().__init__(path, "rb")

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; b"" at the end, and after an error.

        Raises:
            VideoError: the system cannot give them, or FFmpeg takes too long to open the file.
        """
        if self._failed:
            return b""
        allowed = OPENING_SECONDS + self._given / OPENING_RATE
        if not self.is_open and thread_time() - self._begun > allowed:
            self._failed = True
            raise VideoError(
                f"{self._path} cannot be opened within {OPENING_SECONDS} seconds: it is damaged, or"
                " holds more metadata than any video needs",
                hint="download or copy it again",
            )
        try:
            data = super().read(-1 if size is None else size) or b""
            self._given += len(data)
            return data
        except OSError as error:
            self._failed = True
            raise read_error(self._path, error) from error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return -1 if there is none, as damaged files ask for places before 0.

        Raises:
            VideoError: the system cannot go there.
        """
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return -1
            self._failed = True
            raise read_error(self._path, error) from error


class _Opener:
    """Opens one file for FFmpeg, and refuses all others.

    Args:
        path: of the file.
        name: what FFmpeg calls it.

    Attributes:
        opened: the file, as often as it was opened.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self.opened: list[SourceFile] = []

    def __call__(self, asked: str, _flags: int, _options: Mapping[str, str]) -> SourceFile:
        if asked != self._name:
            raise VideoError(
                f"{self._path} is a list of other files, such as {asked.removeprefix('file:')}",
                hint="give the file that holds the video itself",
            )
        try:
            self.opened.append(SourceFile(self._path))
        except OSError as error:
            raise read_error(self._path, error) from error
        return self.opened[-1]


def read_error(path: Path, error: OSError) -> VideoError:
    """Return the error for a file that the system cannot read, whatever its content."""
    return VideoError(f"{path} cannot be read: {error.strerror or error}", hint=RESUME_HINT)


# Formats that announce a stream by its first packet, or by a table that may change: FFmpeg stops
# looking after five seconds, and PyAV cannot read streams that appear later.
LATE_STREAMS = {"mpeg", "mpegts", "flv", "live_flv", "dv", "wtv", "nsv", "swf"}
_WHOLE_FILE = {
    "probesize": str(1 << 60),
    "analyzeduration": str(1 << 60),
    "scan_all_pmts": "1",  # of transport streams, also of later versions
}
_PROBE_MARGIN = 1 << 20  # bytes, for a decoder to identify a stream


def library_versions() -> dict[str, tuple[int, int, int]]:
    """Return FFmpeg's libraries by name, with their versions."""
    return dict(av.library_versions)


def url(path: Path) -> str:
    """Return a name that FFmpeg takes for a file, whatever colons or percent signs are in it."""
    return f"file:{path.absolute()}"


def reason(error: FFmpegError) -> str:
    """Return FFmpeg's text for an error."""
    return error.strerror or str(error)


def open_input(path: Path) -> InputContainer:
    """Open a file for reading, and no other, whatever is in it.

    Raises:
        VideoError: it is missing, empty, unreadable for FFmpeg, or refers to other files; later,
            whenever the system cannot read it.
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
        if container.format.name not in LATE_STREAMS or not path.is_file():
            return container
        container.close()
        return _opened(path, {**AS_NAMED, **_probing(path, stat.st_size, stat.st_mtime_ns)})
    except FFmpegError as error:
        kind = _kind_refused(path) if isinstance(error, ArgumentError) else ""
        if kind:
            raise VideoError(
                f"{path} is not a video: its format ({kind}) can refer to other files",
                hint="give the files it refers to, or join them with ffmpeg",
            ) from error
        raise VideoError(
            f"{path} cannot be read as a video: {reason(error)}",
            hint="check it with ffprobe; a file that was cut off or is still being written often"
            " has no index",
        ) from error


def _opened(path: Path, options: Mapping[str, str]) -> InputContainer:
    # FFmpeg only compares the name, and PyAV cannot hand back bytes that are not valid text.
    name = url(path).encode("utf-8", "replace").decode()
    opener = _Opener(path, name)
    container = av.open(name, options=dict(options), metadata_errors="replace", io_open=opener)
    for file in opener.opened:
        file.is_open = True
    return container


def _kind_refused(path: Path) -> str:
    """Return FFmpeg's name for a format that is not allowed; "" if that is not the reason.

    It reports this only to its log.
    """
    with listening(av_logging.ERROR) as logs, suppress(FFmpegError):
        av.open(url(path), options=AS_NAMED).close()
    return next((kind for _, kind, text in logs if "whitelist" in text), "")


@lru_cache(maxsize=64)
def _check_texts(path: Path, _size: int, _modified: int) -> None:
    """Run `check_texts` and `check_tags` once for each state of a file."""
    check_texts(path)
    check_tags(path)


@lru_cache(maxsize=64)
def _probing(path: Path, _size: int, _modified: int) -> Mapping[str, str]:
    """Return FFmpeg's options for probing a file deep enough to know all its streams.

    If its format allows streams to appear late, the file is read once to its end; only what
    identifies streams is decoded, and memory does not grow.

    Args:
        _size, _modified: of the file, so that a changed one is probed again.
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
    """Return what is known of the streams; little where no packet was met."""
    contexts = ((stream, stream.codec_context) for stream in container.streams)
    return [
        (
            stream.type,
            codec_name(stream),
            *(getattr(context, name, 0) for name in ("sample_rate", "width", "height")),
        )
        for stream, context in contexts
    ]
