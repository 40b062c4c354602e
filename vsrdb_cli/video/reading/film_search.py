"""Decide whether a video is read as the film that was telecined to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import VideoError
from vsrdb_cli.text import count
from vsrdb_cli.video.pixels.telecine import (
    FRAMES_OF_FILM,
    QUARTERS,
    Film,
    Finding,
    has_telecined_rate,
)
from vsrdb_cli.video.reading.video_reader import VideoReader
from vsrdb_cli.video.timing import output_time_base

if TYPE_CHECKING:
    from vsrdb_cli.video.info import VideoInfo
    from vsrdb_cli.video.reading.sampling import Interlacing


@dataclass(frozen=True)
class FilmSearch:
    """A search for film in 3:2 pulldown, for which all of a video is decoded."""

    wanted: bool | None = False
    """Whether there must be film; None if it is looked for where a glimpse has shown some."""
    on_frame: Callable[[int, int | None], None] = ignore
    """Called with the number of frames decoded, and that of all frames if known."""

    @property
    def needs_glimpse(self) -> bool:
        """True if a glimpse of the video decides whether all of it is searched."""
        return self.wanted is None

    def __call__(self, info: VideoInfo, glimpse: Interlacing) -> Finding:
        """Search a video.

        Args:
            info: of the video.
            glimpse: signs of interlacing, and of film if it `needs_glimpse`, in some of its frames.

        Raises:
            VideoError: film is wanted, and not all of the video is film.
        """
        telecined = has_telecined_rate(info.rate)
        found = Finding()
        if telecined and (self.wanted or glimpse.film):
            with VideoReader(info) as reader:
                found = reader.find_film(lambda done: self.on_frame(done, info.frame_count))
        if not self.wanted or found.film is not None:
            return found
        if not telecined:
            problem = f"has {float(info.rate):.6g} frames a second, and film in 3:2 pulldown 29.97"
        elif found.in_part:
            problem = "is film in 3:2 pulldown only in part"
        else:
            problem = "is not film in 3:2 pulldown: no repeated fields were found"
        raise VideoError(
            f"{info.path} {problem}",
            hint="omit --detelecine: interlaced frames are deinterlaced without it",
        )


def as_film(info: VideoInfo, film: Film) -> VideoInfo:
    """Describe a video as the film in it."""
    rate, time_base = info.rate * FRAMES_OF_FILM, info.time_base / QUARTERS
    return replace(
        info,
        film=film,
        frame_count=film.count,
        rate=rate,
        usual_seconds=None,
        time_base=time_base,
        coarse_time_base=output_time_base(time_base, 1 / rate),
        timecode=None,
        captions=False,
        notices=(*_changes(info, film, rate), *info.notices),
    )


def _changes(info: VideoInfo, film: Film, rate: Fraction) -> Iterator[str]:
    order = "top" if film.top_first else "bottom"
    yield (
        f"the video is film in 3:2 pulldown ({order} field first): its"
        f" {count(film.count, 'frame')} are brought back, at {float(rate):.6g} instead of"
        f" {float(info.rate):.6g} frames a second"
    )
    if info.timecode:
        yield "the timecode is dropped, because it counts the frames of video, not of film"
    if info.captions:
        yield "closed captions are dropped, because they belong to the frames of video, not of film"


NO_SEARCH = FilmSearch()
