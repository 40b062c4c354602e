"""Trim a source to a part: between two times or frames, or the busiest seconds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import FrameNumber, Position
from vsrdb_cli.video.frame import FrameSource, SeekableSource
from vsrdb_cli.video.info import Cut


def trim(
    source: FrameSource,
    *,
    start: Position | None = None,
    end: Position | None = None,
    sample: Fraction | None = None,
) -> FrameSource:
    """Return a source of a part of another's frames; frames around it can be read as context.

    Args:
        start: at or before the first frame wanted.
        end: at or before the first frame no longer wanted.
        sample: the seconds wanted of the busiest part, instead of the others.

    Raises:
        OptionError: the source has no such part.
    """
    if start is None and end is None and sample is None:
        return source
    if not isinstance(source, SeekableSource):
        raise OptionError(
            "--start, --end and --sample need a file, not a stream",
            hint="trim it before piping it in",
        )
    if sample is not None:
        if start is not None or end is not None:
            raise OptionError(
                "--sample cannot be combined with --start or --end", hint="omit --start and --end"
            )
        start = busiest(source, sample)
        end = start + sample
    cut, end_pts = _find(source, start or FrameNumber(0), end)
    info = source.info
    begin_seconds = cut.begin * info.time_base
    lost = ("the timecode is dropped, because only a part is restored",) if info.timecode else ()
    cut_info = replace(
        info,
        cut=cut,
        frame_count=cut.count,
        start_seconds=info.start_seconds + begin_seconds,
        duration_seconds=float((end_pts - cut.begin) * info.time_base),
        end_seconds=_later(info.end_seconds, begin_seconds, cut),
        promised_seconds=_later(info.promised_seconds, begin_seconds, cut),
        pictures=info.pictures[cut.frames.start : cut.frames.stop],
        timecode=None,
        notices=(*info.notices, *lost),
    )
    return source.with_info(cut_info)


def index_of(source: SeekableSource, position: Position) -> int:
    """Find the first frame at or after a place; decode no further.

    Raises:
        OptionError: there is none.
    """
    index, pts = -1, 0
    for index, pts in enumerate(source.times()):
        if _reached(position, index, pts * source.info.time_base):
            return index
    last = float(pts * source.info.time_base)
    raise OptionError(
        f"{source.info.path} has no frame at {position_text(position)}",
        hint=f"its last one is frame {index}, at {last:.3f} s; frames count from 0",
    )


def _later(end: Fraction | None, begin: Fraction, cut: Cut) -> Fraction | None:
    """Return the source's end on the part's clock; None if the part ends before."""
    return None if end is None or cut.seconds is not None else end - begin


def _find(source: SeekableSource, start: Position, end: Position | None) -> tuple[Cut, int]:
    """Return the part between two places, and its end in ticks of the whole source."""
    time_base = source.info.time_base
    first = begin = after = last_pts = None
    count = 0
    for index, pts in enumerate(source.times()):
        count, last_pts = index + 1, pts
        seconds = pts * time_base
        if first is None and _reached(start, index, seconds):
            first, begin = index, pts
        if end is not None and _reached(end, index, seconds):
            after = index, pts
            break
    if first is None or begin is None or last_pts is None or (after and after[0] <= first):
        length = float((last_pts or 0) * time_base)
        where = (
            f"up to {position_text(end)}" if first is not None else f"after {position_text(start)}"
        )
        raise OptionError(
            f"{source.info.path} has no frames from {position_text(start)} "
            + (f"to {position_text(end)}" if end is not None else "on"),
            hint=f"no frame is left {where}; the last one seen is at {length:.3f} s"
            f" (frame {count - 1})",
        )
    if after is None:
        frame_ticks = source.info.frame_ticks
        return Cut(first, count - first, begin, None), last_pts + frame_ticks
    seconds_long = (after[1] - begin) * time_base
    return Cut(first, after[0] - first, begin, seconds_long), after[1]


def _reached(position: Position, index: int, seconds: Fraction) -> bool:
    return index >= position if isinstance(position, int) else seconds >= position


def position_text(position: Position | None) -> str:
    """Return a position as messages write it; None is the beginning."""
    if isinstance(position, int):
        return f"frame {position}"
    return f"{float(position or 0):.3f} s"


def busiest(source: SeekableSource, seconds: Fraction) -> Fraction:
    """Find where the part of a given length begins that takes the most bytes.

    Motion and fine detail cost an encoder most, and are what a trial should show. Nothing is
    decoded. For pictures, file sizes count.
    """
    sizes = sorted(source.sizes())
    best, best_bytes, inside = Fraction(0), -1, 0
    following = 0
    for index, (begin, _) in enumerate(sizes):
        while following < len(sizes) and sizes[following][0] < begin + seconds:
            inside += sizes[following][1]
            following += 1
        if inside > best_bytes:
            best, best_bytes = begin, inside
        inside -= sizes[index][1]
        if following == len(sizes):
            break
    return best
