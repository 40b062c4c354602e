"""Write a video: frames encoded, all else of the source beside them, named when whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
from av.error import FFmpegError

from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import (
    DISK_HINT,
    check_file,
    check_space,
    put_in_place,
    suffix_of,
    temporary_beside,
)
from vsrdb_cli.video.codecs import CONTAINERS
from vsrdb_cli.video.container import open_input, reason, url
from vsrdb_cli.video.encoders import EncoderOptions, Encoding, choose
from vsrdb_cli.video.frame import Frame, FrameSink
from vsrdb_cli.video.frame_encoder import FrameEncoder, start
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.metadata import copy_stream_metadata, keeps_timecode, unusual_keys
from vsrdb_cli.video.stream_fates import StreamPlan, has_cover, plan_streams
from vsrdb_cli.video.streams import SideStreams
from vsrdb_cli.video.verify import Expected, Sounds, first_sounds, mismatches

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

LARGEST_TIMESCALE = 2**31 - 1


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
    at its end) or a name ending in .png gives pictures; "-" is y4m on stdout.

    Raises:
        OutputError, OptionError: it cannot be written as asked; nothing has been written then.
    """
    from vsrdb_cli.video.images import PictureWriter
    from vsrdb_cli.video.pipe import PIPE, PipeWriter

    if Path(path) == PIPE:
        return PipeWriter(info, scale)
    folder = str(path).endswith("/")
    path = Path(path)
    if folder or path.is_dir() or path.suffix in ("", ".png"):
        return PictureWriter(path, info, scale, overwrite=overwrite)
    return VideoWriter(path, info, scale, options or EncoderOptions(), overwrite=overwrite)


def describe_video(stream: VideoStream, info: VideoInfo, container_format: str) -> None:
    """Give the output's video what the source's says of itself: language, title, timecode."""
    with open_input(info.path) as source:
        copy_stream_metadata(source.streams[info.stream_index], stream)
    if info.timecode and keeps_timecode(info.timecode, info.rate, container_format):
        stream.metadata["timecode"] = info.timecode


def metadata_notices(
    info: VideoInfo, plans: tuple[StreamPlan, ...], container_format: str
) -> Iterator[str]:
    """What the output does not hold of what the source says of itself, one line each."""
    if info.timecode and not keeps_timecode(info.timecode, info.rate, container_format):
        yield (
            f"the timecode {info.timecode} is dropped: {container_format} files have none at"
            f" {float(info.rate):.6g} frames a second; a .mkv output keeps it"
        )
    unusual = unusual_keys(info.metadata, container_format)
    if unusual and has_cover(plans):
        yield (
            f"metadata is dropped ({', '.join(unusual)}): {container_format} files do not hold it"
            " together with a cover picture; a .mkv output keeps it"
        )


class OutputFile:
    """A container file under a temporary name, beside the one it gets when it is whole."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        plans: tuple[StreamPlan, ...] = (),
        *,
        overwrite: bool,
    ) -> None:
        self.path = path
        self._overwrite = overwrite
        self._temporary = temporary_beside(path)
        container_format = CONTAINERS[suffix_of(path)][0]
        settings = {}
        if unusual_keys(info.metadata, container_format) and not has_cover(plans):
            settings["movflags"] = "use_metadata_tags"
        if container_format in ("mp4", "mov"):
            # Else a start later than 0 is rounded to a millisecond.
            settings["movie_timescale"] = str(min(info.time_base.denominator, LARGEST_TIMESCALE))
        self.container: OutputContainer = av.open(
            url(self._temporary), "w", format=container_format, container_options=settings
        )
        self.container.metadata.update(info.metadata)
        self._open = True

    def mux(self, packets: Iterable[Packet[av.VideoStream]]) -> None:
        """Write packets of the video.

        Raises:
            OutputError: the disk is full, or the container refuses them.
        """
        with self.failing():
            for packet in packets:
                self.container.mux(packet)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Errors of writing, in words."""
        try:
            yield
        except FFmpegError as error:
            raise self.failure(error) from error

    def failure(self, error: FFmpegError) -> OutputError:
        """An error of writing, in words."""
        return OutputError(
            f"{self.path} cannot be written: {reason(error)}",
            hint=DISK_HINT,
        )

    def commit(self, expected: Expected) -> Path:
        """Finish the file, compare it with what it has to be, and give it its name.

        Raises:
            OutputError: it cannot be finished, or it is not as expected; then it is kept under a
                name that says so.
        """
        try:
            self._open = False
            self.container.close()
        except FFmpegError as error:
            self._temporary.unlink(missing_ok=True)
            raise self.failure(error) from error
        wrong = list(mismatches(self._temporary, expected))
        if wrong:
            kept = self.path.with_name(f"{self.path.stem}.MISMATCH{self.path.suffix}")
            self._temporary.replace(kept)
            raise OutputError(
                f"{self.path.name} does not match its source: {'; '.join(wrong)}",
                hint=f"the file is kept as {kept}; please report this with the source",
            )
        put_in_place(self._temporary, self.path, overwrite=self._overwrite)
        return self.path

    def abort(self) -> None:
        """Remove what was written; nothing after `commit`."""
        if self._open:
            self._open = False
            with suppress(FFmpegError):  # its trailer no longer matters
                self.container.close()
            self._temporary.unlink(missing_ok=True)


class SegmentWriter:
    """Frames to a file that holds nothing but the video. Used from one thread at a time.

    The encoder and the file are opened at once, so that what cannot work fails early.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        plans: tuple[StreamPlan, ...] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        self._info = info
        self._file = OutputFile(path, info, plans, overwrite=overwrite)
        self._encoding = encoding
        self._frames = self._first_pts = self._end = 0
        try:
            self._encoder = FrameEncoder(self._file.container, info, encoding)
            self._add_streams()
            start(self._file.container, path.name, encoding)
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
        return self._encoding.notices

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the source's other streams could not be copied; known after `commit`."""
        return ()

    def _add_streams(self) -> None:
        """Add what goes beside the video, before the header is written."""

    def write(self, frame: Frame) -> None:
        """Encode one HR frame at its time."""
        if not self._frames:
            self._first_pts = frame.pts
        self._frames += 1
        self._end = frame.pts + frame.duration
        self._file.mux(self._encoder.encode(frame))

    def commit(self, frames: int | None = None) -> Path:
        """Finish the file, compare it with its source, and give it its name."""
        self._file.mux(self._encoder.finish())
        return self._file.commit(self._expected(frames))

    def _expected(self, frames: int | None, sounds: Sounds = ()) -> Expected:
        seconds = (self._end - self._first_pts) * self._info.time_base
        return Expected(self._frames if frames is None else frames, seconds, sounds)

    def abort(self) -> None:
        """Remove what was written; nothing after `commit`."""
        self._file.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


class VideoWriter(SegmentWriter):
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
        self._plans = plan_streams(info, suffix)
        self._side: SideStreams | None = None
        super().__init__(path, info, encoding, self._plans, overwrite=overwrite)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the output cannot hold or holds changed, one line each."""
        dropped = (plan.notice for plan in self._plans if plan.notice)
        container_format = CONTAINERS[suffix_of(self._file.path)][0]
        said = metadata_notices(self._info, self._plans, container_format)
        return (*super().notices, *dropped, *said)

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the source's other streams could not be copied; known after `commit`."""
        return self._side.damage if self._side is not None else ()

    def _add_streams(self) -> None:
        if self._info.kind is not Kind.VIDEO:
            return
        container = self._file.container
        describe_video(self._encoder.stream, self._info, container.format.name)
        self._side = SideStreams(self._info, self._plans, container, suffix_of(self._file.path))

    def write(self, frame: Frame) -> None:
        """Encode one HR frame at its time, and what belongs before it of the other streams."""
        super().write(frame)
        if self._side is not None:
            with self._file.failing():
                self._side.mux_until(frame.pts * self._info.time_base)

    def commit(self, frames: int | None = None) -> Path:
        """Finish the file, compare it with its source, and give it its name."""
        self._file.mux(self._encoder.finish())
        sounds: Sounds = ()
        if self._side is not None:
            with self._file.failing():
                self._side.finish()
            self._side.close()
            begin = self._first_pts * self._info.time_base
            sounds = first_sounds(self._info, self._plans, begin, self._side.copied)
        return self._file.commit(self._expected(frames, sounds))

    def abort(self) -> None:
        """Remove what was written; nothing after `commit`."""
        if self._side is not None:
            self._side.close()
        super().abort()
