"""Choose an output, list what it cannot hold, and open or join it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsrdb_cli.files import check_file, check_space, followed
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.text import count
from vsrdb_cli.video.containers.capabilities import CONTAINERS, suffix_of
from vsrdb_cli.video.filtering.filtering import Filtering
from vsrdb_cli.video.frame import FrameSink, ReadReport
from vsrdb_cli.video.info import PIPE, Kind, VideoInfo
from vsrdb_cli.video.pictures.formats import WRITTEN
from vsrdb_cli.video.side_data.orientation import upright_ratio, upright_size
from vsrdb_cli.video.streams.plan import StreamAction, StreamPlan
from vsrdb_cli.video.streams.policy import metadata_notices, plan_streams
from vsrdb_cli.video.writing.encoding import (
    Encoding,
    choose_encoding,
    usual_encoder,
)
from vsrdb_cli.video.writing.frame_converter import (
    NO_POSTFILTERS,
    OPTION,
    Postfilters,
    try_postfilters,
)
from vsrdb_cli.video.writing.frame_encoder import check_encoder_options
from vsrdb_cli.video.writing.hardware import pixel_formats
from vsrdb_cli.video.writing.join import join, segment_suffix
from vsrdb_cli.video.writing.muxer import muxing_notices
from vsrdb_cli.video.writing.picture_writer import (
    METADATA_LOST,
    PictureWriter,
    check_pictures,
    join_pictures,
    picture_notices,
    written_suffix,
)
from vsrdb_cli.video.writing.video_writer import VideoOnlyWriter, VideoWriter
from vsrdb_cli.video.writing.y4m_writer import (
    PipeWriter,
    check_stream,
    is_stream_output,
    y4m_notices,
    y4m_pix_fmt,
)

OnCount = Callable[[int], None]
OnLine = Callable[[str], None]


class Output(ABC):
    """A destination for a source's enlarged frames. Can be sent to another process.

    Attributes:
        path: the file or folder; "-" for stdout.
        info: of the source.
        scale: of the restored pictures.
        filterings: what these pass before they are written.
    """

    path: Path
    info: VideoInfo
    scale: int
    filterings: tuple[Filtering, ...]

    @property
    @abstractmethod
    def notices(self) -> tuple[str, ...]:
        """What it cannot hold, or only changed, one line each."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The encoder and its settings."""

    @property
    def bit_depth(self) -> int:
        """Bit depth of the frames to write: 8 for uint8 codes, 16 for uint16 codes."""
        return self.info.bit_depth

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what is written."""
        if not self.filterings:
            return output_size(self.path, self.info, self.scale)
        return self.filterings[-1].gives.size

    @property
    def filter_notices(self) -> tuple[str, ...]:
        """The graph that the user has restored pictures pass, in one line."""
        return tuple(
            f"before the encoder ({filtering.option}): {filtering.graph.text}"
            for filtering in self.filterings
            if filtering.option == OPTION
        )

    @property
    def lead_in(self) -> int:
        """Number of restored frames on either side that its filters are also given."""
        return sum(filtering.graph.memory for filtering in self.filterings)

    @property
    def stream_plans(self) -> tuple[StreamPlan, ...]:
        """What is done with the streams beside the video."""
        return tuple(StreamPlan(stream, StreamAction.DROP) for stream in self.info.streams)

    def lost(self, read: ReadReport) -> tuple[str, ...]:
        """Return what reading found that it does not hold and `notices` did not name."""
        if not read.captions:
            return ()
        return (f"closed captions of {count(read.captions, 'frame')} dropped",)

    @abstractmethod
    def open(self) -> FrameSink:
        """Open a writer of the whole output."""

    def segment(self, folder: Path, index: int) -> Path:
        """Return the path of a segment."""
        raise NotImplementedError

    def open_segment(self, path: Path, frames: int) -> FrameSink:
        """Open a writer of a segment with this number of frames."""
        raise NotImplementedError

    def join(
        self,
        segments: Sequence[Path],
        folder: Path,
        *,
        frames: int,
        on_segment: OnCount,
        on_damage: OnLine,
    ) -> Path:
        """Join all segments in `folder`; return what is to get the output's name."""
        raise NotImplementedError


def resolve_output(
    path: Path | str,
    info: VideoInfo,
    scale: int,
    options: EncoderOptions | None = None,
    *,
    postfilters: Postfilters = NO_POSTFILTERS,
    overwrite: bool = False,
) -> Output:
    """Choose an output for the frames of a source, `scale` times as large; nothing is written.

    They pass `postfilters` first, which may change their size.

    A video's extension gives a video; a folder (an existing one, or a name without an extension) or
    a picture's extension gives pictures; "-" is y4m on stdout, and anything else that is not a
    regular file, such as a named pipe, gets y4m, too.

    Raises:
        OutputError, OptionError: it cannot be written as asked.
    """
    path = Path(path)
    if is_stream_output(path):
        check_stream(path, info.path)
        filterings = _try_turned(postfilters, info, scale, y4m_pix_fmt(info.bit_depth))
        return StreamOutput(_as_filtered(info, filterings), scale, path, filterings)
    if _is_pictures(path):
        check_pictures(path, info, scale, overwrite=overwrite)
        pix_fmt = WRITTEN[written_suffix(path, info)].pix_fmts[info.bit_depth > 8]
        filterings = _try_turned(postfilters, info, scale, pix_fmt)
        return PicturesOutput(path, _as_filtered(info, filterings), scale, overwrite, filterings)
    options = options or EncoderOptions()
    suffix = suffix_of(path)
    height, width = info.height * scale, info.width * scale
    filterings, options = _try_encoded(postfilters, info, (height, width), options, suffix)
    if filterings:
        gives = filterings[-1].gives
        height, width = gives.size
        info = replace(info, sample_aspect_ratio=gives.sample_aspect_ratio)
    info = _as_filtered(info, filterings)
    encoding = choose_encoding(options, suffix, info, height, width)
    check_file(path, info.path, overwrite=overwrite)
    pixels = height * width * (info.frame_count or 1)
    check_space(followed(path).parent, pixels * encoding.encoder.bits_per_pixel / 8)
    if encoding.asked:
        check_encoder_options(encoding, info, CONTAINERS[suffix].format)
    plans = plan_streams(info, suffix)
    return FileOutput(path, info, scale, options, encoding, plans, overwrite, filterings)


def _as_filtered(info: VideoInfo, filterings: Sequence[Filtering]) -> VideoInfo:
    """Describe a source in the colours that filters leave."""
    return replace(info, colour=filterings[-1].gives.colour) if filterings else info


def _try_turned(
    asked: Postfilters, info: VideoInfo, scale: int, pix_fmt: str
) -> tuple[Filtering, ...]:
    """Try filters on pictures that are turned upright."""
    size = upright_size(info.height * scale, info.width * scale, info.orientation)
    ratio = upright_ratio(info.sample_aspect_ratio, info.orientation)
    return try_postfilters(asked, replace(info, sample_aspect_ratio=ratio), size, pix_fmt)


def _try_encoded(
    asked: Postfilters,
    info: VideoInfo,
    size: tuple[int, int],
    options: EncoderOptions,
    suffix: str,
) -> tuple[tuple[Filtering, ...], EncoderOptions]:
    """Try filters on what an encoder gets, which encodes the pixel format that they give."""
    if asked == NO_POSTFILTERS:
        return (), options
    encoder, pix_fmt = usual_encoder(options, suffix, info)
    filterings = try_postfilters(asked, info, size, pix_fmt)
    gives = filterings[-1].gives.pix_fmt
    free = options.pix_fmt is None and options.hardware == "none" and not info.colour.hdr
    if free and gives != pix_fmt and gives in pixel_formats(encoder):
        options = replace(options, pix_fmt=gives)
        # Made of RGB at once, not of another format's samples, where the filters take it, too.
        again = try_postfilters(asked, info, size, gives)
        if again[-1].gives.pix_fmt == gives:
            filterings = again
    return filterings, options


def _is_pictures(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in ("", *WRITTEN)


def output_size(path: Path, info: VideoInfo, scale: int) -> tuple[int, int]:
    """Return (height, width) of an output; formats without a rotation tag are upright."""
    size = info.height * scale, info.width * scale
    turns = not is_stream_output(path) and not _is_pictures(path)
    return size if turns else upright_size(*size, info.orientation)


def _picture_facts_lost(info: VideoInfo) -> Iterator[str]:
    """Yield what videos cannot hold of pictures, one line each."""
    lost = info.picture_colour.uncoded
    if lost:
        yield f"{lost} is dropped, and colours look different; PNG output keeps it"
    if info.picture_metadata:
        yield METADATA_LOST


def _rounding(filterings: Sequence[Filtering]) -> tuple[str, ...]:
    """Return a line for each filtering that leaves fewer bits; `choose_encoding` has its own."""
    return tuple(line for filtering in filterings for line in filtering.rounding)


@dataclass(frozen=True)
class FileOutput(Output):
    """A video file."""

    path: Path
    info: VideoInfo
    scale: int
    options: EncoderOptions
    encoding: Encoding
    plans: tuple[StreamPlan, ...]
    overwrite: bool
    filterings: tuple[Filtering, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        suffix = suffix_of(self.path)
        video = self.info.main if self.info.kind is Kind.VIDEO else None
        said = metadata_notices(video, suffix) if video else ()
        of_file = muxing_notices(self.info, self.plans, CONTAINERS[suffix])
        return (*self.encoding.notices, *said, *of_file, *_picture_facts_lost(self.info))

    @property
    def bit_depth(self) -> int:
        if self.filterings:
            return self.filterings[0].given.code_depth
        return self.encoding.bit_depth

    @property
    def stream_plans(self) -> tuple[StreamPlan, ...]:
        return self.plans

    def lost(self, read: ReadReport) -> tuple[str, ...]:
        return () if self.encoding.captions else super().lost(read)

    @property
    def description(self) -> str:
        settings = (f"{name} {value}" for name, value in self.encoding.settings.items())
        return " ".join([self.encoding.encoder.name, self.encoding.pix_fmt, *settings])

    def open(self) -> FrameSink:
        return VideoWriter(
            self.path,
            self.info,
            self.encoding,
            self.plans,
            self.filterings,
            overwrite=self.overwrite,
        )

    def segment(self, folder: Path, index: int) -> Path:
        return folder / f"segment-{index:05d}{segment_suffix(self.encoding.codec)}"

    def open_segment(self, path: Path, frames: int) -> FrameSink:  # noqa: ARG002
        return VideoOnlyWriter(path, self.info, self.encoding, self.filterings, overwrite=True)

    def join(
        self,
        segments: Sequence[Path],
        folder: Path,
        *,
        frames: int,
        on_segment: OnCount,
        on_damage: OnLine,
    ) -> Path:
        return join(
            segments,
            self.info,
            folder / f"joined{suffix_of(self.path)}",
            plans=self.plans,
            frames=frames,
            overwrite=True,
            on_segment=on_segment,
            on_damage=on_damage,
        )


@dataclass(frozen=True)
class PicturesOutput(Output):
    """A folder of PNG pictures, or a single one."""

    path: Path
    info: VideoInfo
    scale: int
    overwrite: bool
    filterings: tuple[Filtering, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        return (*picture_notices(self.info, self._suffix), *_rounding(self.filterings))

    @property
    def description(self) -> str:
        return WRITTEN[self._suffix].codec

    @property
    def _suffix(self) -> str:
        return written_suffix(self.path, self.info)

    def open(self) -> FrameSink:
        return PictureWriter(
            self.path, self.info, self.scale, self.filterings, overwrite=self.overwrite
        )

    def segment(self, folder: Path, index: int) -> Path:
        return folder / f"segment-{index:05d}"

    def open_segment(self, path: Path, frames: int) -> FrameSink:
        part = replace(self.info, frame_count=frames)
        return PictureWriter(path, part, self.scale, self.filterings, overwrite=True)

    def join(
        self,
        segments: Sequence[Path],
        folder: Path,
        *,
        frames: int,  # noqa: ARG002
        on_segment: OnCount,
        on_damage: OnLine,  # noqa: ARG002
    ) -> Path:
        joined = join_pictures(segments, folder / "joined", named=bool(self.info.pictures))
        on_segment(len(segments))
        return joined


@dataclass(frozen=True)
class StreamOutput(Output):
    """y4m on stdout or through a pipe, written in one pass."""

    info: VideoInfo
    scale: int
    path: Path = PIPE
    filterings: tuple[Filtering, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        lost = (*y4m_notices(self.info), *_picture_facts_lost(self.info))
        return (*lost, *_rounding(self.filterings))

    @property
    def description(self) -> str:
        return "y4m"

    def open(self) -> FrameSink:
        return PipeWriter(self.info, self.scale, path=self.path, postfilters=self.filterings)
