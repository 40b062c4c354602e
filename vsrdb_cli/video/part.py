"""A part of a source: from one time or frame to another, or the part that is most worth a try."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from vsrdb_cli.errors import OptionError
from vsrdb_cli.video.container import Demuxer, main_video, open_input
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.images import PictureReader
from vsrdb_cli.video.info import Cut, VideoInfo
from vsrdb_cli.video.reader import VideoReader
from vsrdb_cli.video.timing import Clock

# A place in a video: seconds, or the number of a frame, counted from 0.
Position = Fraction | int

_TIME = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)s?")
_FRAME = re.compile(r"(\d+)f")


def parse_position(text: str) -> Position:
    """ "90", "90.5s", "1:30" and "0:01:30" are times, "2250f" is a frame.

    Raises:
        ValueError: it is none of these.
    """
    if frame := _FRAME.fullmatch(text):
        return int(frame[1])
    time = _TIME.fullmatch(text)
    if time is None:
        raise ValueError(f"'{text}' is neither a time (90.5 or 0:01:30.5) nor a frame (2250f)")
    hours, minutes, seconds = (Fraction(part or 0) for part in time.groups())
    return 3600 * hours + 60 * minutes + seconds


def trimmed(
    source: FrameSource,
    *,
    start: Position | None = None,
    end: Position | None = None,
    sample: Fraction | None = None,
) -> FrameSource:
    """A source of a part of another's frames; the frames around it can be read as context.

    Args:
        start: of the first frame wanted, or before it.
        end: of the first frame no longer wanted, or before it.
        sample: how many seconds of the busiest part are wanted; then neither of the others.

    Raises:
        OptionError: that is no part of the source.
    """
    if start is None and end is None and sample is None:
        return source
    if not isinstance(source, VideoReader | PictureReader):
        raise OptionError(
            "only files can be cut, not a stream on stdin", hint="cut it before it gets here"
        )
    if sample is not None:
        if start is not None or end is not None:
            raise OptionError(
                "--sample chooses its part by itself", hint="leave --start and --end away"
            )
        start = busiest(source, sample)
        end = start + sample
    cut, end_pts = _find(source, start or 0, end)
    info = source.info
    begin_seconds = cut.begin * info.time_base
    lost = ("the timecode is left out of a part of the video",) if info.timecode else ()
    cut_info = replace(
        info,
        cut=cut,
        frame_count=cut.count,
        start_seconds=info.start_seconds + begin_seconds,
        duration_seconds=float((end_pts - cut.begin) * info.time_base),
        end_seconds=_later(info.end_seconds, begin_seconds, cut),
        promised_seconds=_later(info.promised_seconds, begin_seconds, cut),
        pictures=info.pictures[cut.first : cut.first + cut.count],
        timecode=None,
        notices=(*info.notices, *lost),
    )
    return source.with_info(cut_info)


def _later(end: Fraction | None, begin: Fraction, cut: Cut) -> Fraction | None:
    """The end of the source on the clock of the part; None where the part ends before."""
    return None if end is None or cut.seconds is not None else end - begin


def _find(
    source: VideoReader | PictureReader, start: Position, end: Position | None
) -> tuple[Cut, int]:
    """The part between two places, and the time of its end in ticks of the whole source."""
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
        where = f"up to {_words(end)}" if first is not None else f"after {_words(start)}"
        raise OptionError(
            f"{source.info.path} has no frames there: from {_words(start)} "
            + (f"to {_words(end)}" if end is not None else "on"),
            hint=f"nothing is left {where}; the last frame seen is at {length:.3f} s"
            f" (frame {count - 1})",
        )
    if after is None:
        frame_ticks = source.info.frame_ticks
        return Cut(first, count - first, begin, None), last_pts + frame_ticks
    seconds_long = (after[1] - begin) * time_base
    return Cut(first, after[0] - first, begin, seconds_long), after[1]


def _reached(position: Position, index: int, seconds: Fraction) -> bool:
    return index >= position if isinstance(position, int) else seconds >= position


def _words(position: Position | None) -> str:
    if isinstance(position, int):
        return f"frame {position}"
    return f"{float(position or 0):.3f} s"


def busiest(source: VideoReader | PictureReader, seconds: Fraction) -> Fraction:
    """When the part of a length begins that its encoder spent the most bytes on.

    Much motion and fine detail cost an encoder most, and are what a try should show. Takes no
    decoding, however long the video. Of pictures it is the size of the files.
    """
    info = source.info
    sizes = source.sizes() if isinstance(source, PictureReader) else _packet_sizes(info)
    sizes.sort()
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


def _packet_sizes(info: VideoInfo) -> list[tuple[Fraction, int]]:
    clock = Clock(info.time_base, info.frame_ticks, info.start_seconds)
    sizes: list[tuple[Fraction, int]] = []
    with open_input(info.path) as container:
        for packet in Demuxer(container, main_video(container, info.path)):
            if packet.size:
                clock.mend(packet)
                time = packet.pts if packet.pts is not None else packet.dts
                if time is None:  # a raw stream
                    time = len(sizes) * info.frame_ticks
                sizes.append((time * info.time_base, packet.size))
    return sizes
