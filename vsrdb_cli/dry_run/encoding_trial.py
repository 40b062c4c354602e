"""A few frames encoded on trial: how large an output will be, and what time encoding takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.pipeline.frames import restore_range
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.reading.packet_scan import packets_of
from vsrdb_cli.video.streams.plan import Fate, StreamPlan
from vsrdb_cli.video.writing.output import FileOutput, Output, PicturesOutput

# Frames merely enlarged, since restoring so many would take too long.
ENLARGED = 24
# Few of them do if they are large: no more are begun after this time.
LONGEST_SECONDS = 5.0
_FEWEST = 3
# libx264 and its like put a picture of its own into a video at least this often.
_KEY_FRAMES = 250
# How much more or less than its beginning the rest of a video may be taken to hold.
_LARGEST_RATIO = 10.0


@dataclass(frozen=True)
class Trial:
    """What an output will be, by what was tried.

    size: in bytes, None where nobody knows. read_seconds, write_seconds: of each frame.
    """

    size: int | None
    read_seconds: float
    write_seconds: float


@dataclass(frozen=True)
class _Packets:
    """Mean bytes of a video's pictures: of those that stand alone, and of the others."""

    key: float
    other: float

    @classmethod
    def of(cls, sizes: Sequence[tuple[bool, int]]) -> _Packets:
        """From (stands alone, bytes) of each, in the file's order; the first one does."""
        key = [size for index, (alone, size) in enumerate(sizes) if alone or index == 0]
        other = [size for alone, size in sizes[1:] if not alone]
        return cls(_mean(key) or 1.0, _mean(other) or _mean(key) or 1.0)


def measure(
    output: Output,
    reader: FrameSource,
    restored: Sequence[Frame],
    *,
    scale: int,
    segment_seconds: float,
) -> Trial:
    """How large an output will be, and how long its frames take to read and write."""
    match output:
        case FileOutput():
            return _measure_video(output, reader, restored, scale, segment_seconds)
        case PicturesOutput():
            return _measure_pictures(output, reader, restored)
        case _:
            return Trial(None, 0.0, 0.0)


def _measure_video(
    output: FileOutput,
    reader: FrameSource,
    restored: Sequence[Frame],
    scale: int,
    segment_seconds: float,
) -> Trial:
    """Encode the source's first frames, merely enlarged, and the few that were restored.

    The first tell of time and size, the second how much more the restored detail costs. The rest
    of the video is taken to be as much more or less busy as its own packets are.
    """
    info = reader.info
    bicubic = Restorer(BuiltinRunner("bicubic"), scale=scale, tile=None)
    enlarged = restore_range(reader, bicubic, output.bit_depth, last=ENLARGED)
    few: list[Frame] = []

    def watched() -> Iterable[Frame]:
        started = time.monotonic()
        for number, frame in enumerate(enlarged, 1):
            if len(few) < len(restored):
                few.append(frame)
            yield frame
            if number >= _FEWEST and time.monotonic() - started > LONGEST_SECONDS:
                return

    many_sizes, write_seconds = _encoded(watched(), output)
    read_seconds = _read_seconds(reader)
    tried = len(many_sizes)
    frames = info.frame_count
    if frames is None:
        return Trial(None, read_seconds, write_seconds)
    detail = _bytes_of(restored, output) / _bytes_of(few, output)
    many = _Packets.of(many_sizes)
    parts = max(1.0, (info.duration_seconds or 0) / segment_seconds)
    keys = min(max(parts, frames / _KEY_FRAMES), frames)
    sides, busy = _source_packets(info, output.fates, tried)
    video = many.key * busy.key * keys + many.other * busy.other * (frames - keys)
    return Trial(round(detail * video) + sides, read_seconds, write_seconds)


def _measure_pictures(
    output: PicturesOutput, reader: FrameSource, restored: Sequence[Frame]
) -> Trial:
    """Write the restored pictures; all are taken to be as large."""
    with tempfile.TemporaryDirectory() as folder:
        path = output.segment(Path(folder), 0)
        with output.open_segment(path, len(restored)) as writer:
            write_seconds = _write(restored, writer)
        size = _mean([file.stat().st_size for file in path.iterdir()])
    frames = reader.info.frame_count
    whole = None if frames is None else round(size * frames)
    return Trial(whole, _read_seconds(reader), write_seconds)


def _write(frames: Iterable[Frame], sink: FrameSink) -> float:
    """Write and finish; seconds for each frame."""
    seconds, count = 0.0, 0
    for frame in frames:
        started = time.monotonic()
        sink.write(frame)
        seconds += time.monotonic() - started
        count += 1
    started = time.monotonic()
    sink.commit()
    return (seconds + time.monotonic() - started) / count


def _encoded(
    frames: Iterable[Frame], output: FileOutput
) -> tuple[Sequence[tuple[bool, int]], float]:
    """(Stands alone, bytes) of each packet, and seconds for each frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = output.segment(Path(folder), 0)
        with output.open_segment(path, 0) as writer:
            seconds = _write(frames, writer)
        return packets_of(path)[0], seconds


def _bytes_of(frames: Iterable[Frame], output: FileOutput) -> int:
    sizes, _ = _encoded(frames, output)
    return sum(size for _, size in sizes)


def _read_seconds(reader: FrameSource) -> float:
    started = time.monotonic()
    count = sum(1 for _ in reader.frames(0, ENLARGED))
    return (time.monotonic() - started) / max(count, 1)


def _source_packets(
    info: VideoInfo, plans: Sequence[StreamPlan], tried: int
) -> tuple[int, _Packets]:
    """Bytes of the streams that come along, and the mean size of the video's packets.

    The latter as a ratio to the packets of the beginning. Nothing is decoded.
    """
    if info.pictures:
        return 0, _Packets(1.0, 1.0)
    along = {plan.stream.index for plan in plans if plan.fate is not Fate.DROP}
    sizes, sides = packets_of(info.path, along)
    total = len(sizes)
    if info.cut is not None:
        sizes = sizes[info.cut.frames.start : info.cut.frames.stop]
        sides = round(sides * len(sizes) / total)
    whole, begin = _Packets.of(sizes), _Packets.of(sizes[:tried])
    return sides, _Packets(_ratio(whole.key, begin.key), _ratio(whole.other, begin.other))


def _ratio(one: float, other: float) -> float:
    return min(max(one / other, 1 / _LARGEST_RATIO), _LARGEST_RATIO)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
