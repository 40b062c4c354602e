"""Write a video: frames encoded, all else of the source beside them, named when whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from vsrdb_cli.files import check_file, check_space
from vsrdb_cli.video.containers import suffix_of
from vsrdb_cli.video.encoders import EncoderOptions, Encoding, choose
from vsrdb_cli.video.frame import Frame, FrameSink
from vsrdb_cli.video.frame_encoder import FrameEncoder, start
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.muxer import Muxer
from vsrdb_cli.video.stream_fates import StreamPlan, plan_streams


def open_sink(
    path: Path | str,
    info: VideoInfo,
    scale: int,
    options: EncoderOptions | None = None,
    *,
    overwrite: bool = False,
) -> FrameSink:
    """Open an output for the frames of a source, `scale` times as large.

    A name with a video's ending gives a video; a folder (a name without an ending, or with a /
    at its end) or a picture's ending gives pictures; "-" is y4m on stdout.

    Raises:
        OutputError, OptionError: it cannot be written as asked; nothing has been written then.
    """
    from vsrdb_cli.video.images import WRITTEN, PictureWriter
    from vsrdb_cli.video.pipe import PIPE, PipeWriter

    if Path(path) == PIPE:
        return PipeWriter(info, scale)
    folder = str(path).endswith("/")
    path = Path(path)
    if folder or path.is_dir() or path.suffix.lower() in ("", *WRITTEN):
        return PictureWriter(path, info, scale, overwrite=overwrite)
    return VideoWriter(path, info, scale, options or EncoderOptions(), overwrite=overwrite)


class _Writer:
    """Frames to a file. The encoder and the file are opened at once: what cannot work fails early.

    Used from one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        plans: tuple[StreamPlan, ...] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._info = info
        self._encoding = encoding
        self._frames = self._first_pts = self._end = 0
        self._muxer = Muxer(path, info, plans, overwrite=overwrite)
        try:
            self._encoder = FrameEncoder(self._muxer.container, info, encoding)
            self._muxer.add_others(self._encoder.stream)
            start(self._muxer.container, path.name, encoding)
        except BaseException:
            self.abort()
            raise

    @property
    def bit_depth(self) -> int:
        """Depth of the frames to write: 8 for uint8 codes, 16 for uint16 ones."""
        return self._encoding.bit_depth

    @property
    def notices(self) -> tuple[str, ...]:
        """What the output cannot hold or holds changed, one line each."""
        return (*self._encoding.notices, *self._muxer.notices)

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the source's other streams could not be copied; known after `commit`."""
        return self._muxer.damage

    def write(self, frame: Frame) -> None:
        """Encode one HR frame at its time, and write what belongs before it beside the video."""
        if not self._frames:
            self._first_pts = frame.pts
        self._frames += 1
        self._end = frame.pts + frame.duration
        self._muxer.mux(self._encoder.encode(frame))
        self._muxer.mux_others(frame.pts * self._info.time_base)

    def commit(self, frames: int | None = None) -> Path:
        """Finish the file, compare it with its source, and give it its name."""
        self._muxer.mux(self._encoder.finish())
        begin, end = (pts * self._info.time_base for pts in (self._first_pts, self._end))
        return self._muxer.commit(self._frames if frames is None else frames, begin, end)

    def abort(self) -> None:
        """Remove what was written; nothing after `commit`."""
        self._muxer.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


class VideoOnlyWriter(_Writer):
    """Frames to a file that holds nothing but the video, such as a segment."""

    def __init__(
        self, path: Path, info: VideoInfo, encoding: Encoding, *, overwrite: bool = False
    ) -> None:
        super().__init__(path, info, encoding, None, overwrite=overwrite)


class VideoWriter(_Writer):
    """Frames to a whole video, with all that was in the source beside its main video."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        scale: int,
        options: EncoderOptions,
        *,
        overwrite: bool = False,
    ) -> None:
        suffix = suffix_of(path)
        height, width = info.height * scale, info.width * scale
        encoding = choose(options, suffix, info, height, width)
        check_file(path, info.path, overwrite=overwrite)
        pixels = height * width * (info.frame_count or 1)
        check_space(path.parent, pixels * encoding.encoder.bits_per_pixel / 8)
        super().__init__(path, info, encoding, plan_streams(info, suffix), overwrite=overwrite)
