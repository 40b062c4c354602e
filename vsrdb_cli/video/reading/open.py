"""Open any kind of source as the options ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.video.format import VideoFormat

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.options import Hdr, RestoreOptions
from vsrdb_cli.video.frame import FrameSource, SeekableSource
from vsrdb_cli.video.info import PIPE, Kind, VideoInfo
from vsrdb_cli.video.pictures.formats import picture_files
from vsrdb_cli.video.pictures.metadata import coded_primaries
from vsrdb_cli.video.pictures.picture_file import frames_of_animation, inspect_picture
from vsrdb_cli.video.pixels.colour import BT2020_NCL, SDR
from vsrdb_cli.video.pixels.pixel_formats import is_rgb
from vsrdb_cli.video.reading.film_search import NO_SEARCH, FilmSearch
from vsrdb_cli.video.reading.picture_reader import PictureReader
from vsrdb_cli.video.reading.prefilter import prefiltered
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.reading.trim import trim
from vsrdb_cli.video.reading.video_reader import VideoReader
from vsrdb_cli.video.reading.y4m_reader import PipeReader, is_stream_input
from vsrdb_cli.video.side_data.hdr import Light


def open_source(
    path: Path | str,
    *,
    rate: Fraction | None = None,
    hdr: Hdr = Hdr.REFUSE,
    scale: int = 1,
    film_search: FilmSearch = NO_SEARCH,
) -> FrameSource:
    """Open a video file, a folder of pictures, a single picture, or a stream of y4m.

    A stream is "-", which is stdin, or anything that is not a regular file, such as a named pipe.

    Args:
        rate: frames per second of pictures, which have no timestamps; 24 by default.
        hdr: what to do with HDR video.
        scale: the enlargement, for which it must be small enough.
        film_search: decides whether a video file is read as film.

    Raises:
        VideoError: it cannot be read, or is not the film that is wanted.
        OptionError: a rate is given for a source with timestamps, or film is wanted of another.
    """
    path = Path(path)
    if is_stream_input(path):
        name = "stdin" if path == PIPE else str(path)
        _refuse_rate(rate, name)
        _refuse_film(film_search, f"{name} is a stream")
        return PipeReader(path=path)
    return _for_hdr(_open_file(path, rate, scale, film_search), hdr)


def _open_file(
    path: Path, rate: Fraction | None, scale: int, film_search: FilmSearch
) -> SeekableSource:
    """Open what can be opened again; see `open_source`."""
    if path.is_dir():
        _refuse_film(film_search, f"{path} is a folder of pictures")
        return PictureReader.of_folder(path, rate)
    info = probe(path, scale, film_search)
    if info.kind is Kind.STILL:
        return PictureReader.of_still(path, rate)
    _refuse_rate(rate, str(path))
    if info.container in ("gif", "apng"):
        said = inspect_picture(path).colour
        info = replace(info, frame_count=frames_of_animation(path), picture_colour=said)
        if said.profile:
            primaries = coded_primaries(said.profile) or SDR.primaries
            info = replace(info, colour=replace(info.colour, primaries=primaries))
    return VideoReader(info)


def open_again(info: VideoInfo) -> FrameSource:
    """Open a file or folder that `open_requested` has described; nothing is looked for again."""
    if info.kind is Kind.PICTURES:
        return PictureReader(info, picture_files(info.path))
    return VideoReader(info)


def _for_hdr(source: SeekableSource, hdr: Hdr) -> SeekableSource:
    """Return the source with HDR kept or converted as asked.

    Raises:
        VideoError: it is HDR and `hdr` refuses that, or it cannot be converted.
    """
    info = source.info
    if not info.colour.hdr or hdr is Hdr.KEEP:
        return source
    name = info.colour.hdr_name
    kind = "HDR video" if info.kind is Kind.VIDEO else "an HDR picture"
    convertible = not is_rgb(VideoFormat(info.pix_fmt))
    if hdr is Hdr.REFUSE or not convertible:
        why = (
            "the network has not been trained on"
            if hdr is Hdr.REFUSE
            else "cannot be converted, since it is RGB already"
        )
        to_sdr = "--hdr sdr (converted to BT.709) or " if convertible else ""
        raise VideoError(
            f"{info.path} is {kind} ({name}), which {why}",
            hint=f"add {to_sdr}--hdr keep (restored as it is, 10-bit"
            f" {'BT.2020' if info.colour.matrix == BT2020_NCL else 'HDR'} out)",
        )
    return source.with_info(replace(info, colour=SDR, converted_from=info.colour, light=Light()))


def _refuse_rate(rate: Fraction | None, name: str) -> None:
    if rate is not None:
        raise OptionError(
            f"--fps applies to pictures, and {name} is a video, which has its own timestamps",
            hint="omit --fps",
        )


def _refuse_film(film_search: FilmSearch, what: str) -> None:
    if film_search.wanted:
        raise OptionError(
            f"--detelecine applies to video files, and {what}", hint="omit --detelecine"
        )


def open_requested(
    source: Path,
    options: RestoreOptions,
    *,
    on_frame: Callable[[int, int | None], None] = ignore,
) -> FrameSource:
    """Open `source`, or the part of it, as the options ask.

    Args:
        on_frame: called during a search for film, as `FilmSearch` does.

    Raises:
        VideoError, OptionError: it cannot be read, or has no such part.
    """
    whole = open_source(
        source,
        rate=options.fps,
        hdr=options.hdr,
        scale=options.scale,
        film_search=FilmSearch(options.detelecine, on_frame),
    )
    part = trim(whole, start=options.start, end=options.end, sample=options.sample)
    return part if options.prefilter is None else prefiltered(part, options.prefilter)
