"""A few frames encoded on trial: how large an output will be, and what time encoding takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.restore import Restorer, restored_frames
from vsrdb_cli.video.container import Demuxer, main_video, open_input
from vsrdb_cli.video.encoders import Encoding
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.images import PictureWriter
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.join import segment_suffix
from vsrdb_cli.video.stream_fates import Fate, StreamPlan
from vsrdb_cli.video.writer import SegmentWriter

# Frames merely enlarged, since restoring so many would take too long.
ENLARGED = 24
# libx264 and its like put a picture of its own into a video at least this often.
_KEY_FRAMES = 250
# How much more or less than its beginning the rest of a video may be taken to hold.
_LARGEST_RATIO = 10.0


@dataclass(frozen=True)
class Output:
    """What an output will be.

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


def measure_video(
    reader: FrameSource,
    restored: Sequence[Frame],
    encoding: Encoding,
    plans: Sequence[StreamPlan],
    *,
    scale: int,
    segment_seconds: float,
) -> Output:
    """Encode the source's first frames, merely enlarged, and the few that were restored.

    The first tell of time and size, the second how much more the restored detail costs. The rest
    of the video is taken to be as much more or less busy as its own packets are.
    """
    info = reader.info
    bicubic = Restorer(BuiltinRunner("bicubic"), scale=scale, tile=None, scene_cuts=True)
    enlarged = restored_frames(reader, bicubic, encoding.bit_depth, last=ENLARGED)
    few: list[Frame] = []

    def watched() -> Iterable[Frame]:
        for frame in enlarged:
            if len(few) < len(restored):
                few.append(frame)
            yield frame

    many_sizes, write_seconds = _encoded(watched(), info, encoding)
    read_seconds = _read_seconds(reader)
    frames = info.frame_count
    if frames is None:
        return Output(None, read_seconds, write_seconds)
    detail = _bytes_of(restored, info, encoding) / _bytes_of(few, info, encoding)
    many = _Packets.of(many_sizes)
    parts = max(1.0, (info.duration_seconds or 0) / segment_seconds)
    keys = min(max(parts, frames / _KEY_FRAMES), frames)
    sides, busy = _source_packets(info, plans)
    video = many.key * busy.key * keys + many.other * busy.other * (frames - keys)
    return Output(round(detail * video) + sides, read_seconds, write_seconds)


def measure_pictures(reader: FrameSource, restored: Sequence[Frame], *, scale: int) -> Output:
    """Write the restored pictures; all are taken to be as large."""
    info = replace(reader.info, frame_count=len(restored), pictures=())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures"
        with PictureWriter(path, info, scale, overwrite=False) as writer:
            write_seconds = _write(restored, writer)
        size = _mean([file.stat().st_size for file in path.iterdir()])
    frames = reader.info.frame_count
    whole = None if frames is None else round(size * frames)
    return Output(whole, _read_seconds(reader), write_seconds)


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
    frames: Iterable[Frame], info: VideoInfo, encoding: Encoding
) -> tuple[list[tuple[bool, int]], float]:
    """(Stands alone, bytes) of each packet, and seconds for each frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{segment_suffix(encoding.codec)}"
        with SegmentWriter(path, info, encoding) as writer:
            seconds = _write(frames, writer)
        with open_input(path) as container:
            packets = container.demux(main_video(container, path))
            return [(packet.is_keyframe, packet.size) for packet in packets if packet.size], seconds


def _bytes_of(frames: Iterable[Frame], info: VideoInfo, encoding: Encoding) -> int:
    sizes, _ = _encoded(frames, info, encoding)
    return sum(size for _, size in sizes)


def _read_seconds(reader: FrameSource) -> float:
    started = time.monotonic()
    count = sum(1 for _ in reader.frames(0, ENLARGED))
    return (time.monotonic() - started) / max(count, 1)


def _source_packets(info: VideoInfo, plans: Sequence[StreamPlan]) -> tuple[int, _Packets]:
    """Bytes of the streams that come along, and the mean size of the video's packets.

    The latter as a ratio to the packets of the beginning. Nothing is decoded.
    """
    if info.pictures:
        return 0, _Packets(1.0, 1.0)
    along = {plan.stream.index for plan in plans if plan.fate is not Fate.DROP}
    sides, sizes = 0, []
    with open_input(info.path) as container:
        video = main_video(container, info.path)
        others = [s for s in container.streams if s.index in along and s.type != "attachment"]
        for packet in Demuxer(container, video, *others):
            if packet.stream.index == video.index:
                if packet.size:
                    sizes.append((packet.is_keyframe, packet.size))
            else:
                sides += packet.size
    total = len(sizes)
    if info.cut is not None:
        sizes = sizes[info.cut.first : info.cut.first + info.cut.count]
        sides = round(sides * len(sizes) / total)
    whole, begin = _Packets.of(sizes), _Packets.of(sizes[:ENLARGED])
    return sides, _Packets(_ratio(whole.key, begin.key), _ratio(whole.other, begin.other))


def _ratio(one: float, other: float) -> float:
    return min(max(one / other, 1 / _LARGEST_RATIO), _LARGEST_RATIO)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
