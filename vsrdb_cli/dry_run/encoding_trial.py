"""Encode a few frames to estimate the size of an output and the time encoding takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.pipeline.frames import restore_beginning
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.reading.packet_scan import packet_sizes
from vsrdb_cli.video.streams.plan import StreamAction, StreamPlan
from vsrdb_cli.video.writing.output import FileOutput, Output, PicturesOutput

# Frames to encode, only enlarged, since restoring so many would take too long.
ENLARGED = 24
# After this time no more are encoded, but for the fewest.
ENCODING_SECONDS = 5.0
_FEWEST = 3
# libx264 and others insert a key frame at least this often.
_KEY_FRAMES = 250
# Limit of how much busier, or calmer, than its beginning the rest of a video may be.
_LARGEST_RATIO = 10.0


@dataclass(frozen=True)
class EncodingTrial:
    """Estimates from encoding a few frames."""

    size: int | None
    """Bytes of the output; None if they cannot be estimated."""
    read_seconds: float
    """Per frame."""
    write_seconds: float
    """Per frame."""


@dataclass(frozen=True)
class _Packets:
    """Mean bytes of a video's packets: key frames, and all others."""

    key: float
    other: float

    @classmethod
    def of(cls, sizes: Sequence[tuple[bool, int]]) -> _Packets:
        """Average (is a key frame, bytes) in the file's order; the first is one."""
        key = [size for index, (is_key, size) in enumerate(sizes) if is_key or index == 0]
        other = [size for is_key, size in sizes[1:] if not is_key]
        return cls(_mean(key) or 1.0, _mean(other) or _mean(key) or 1.0)


def try_encoding(
    output: Output,
    reader: FrameSource,
    restored: Sequence[Frame],
    *,
    segment_seconds: float,
    seconds: float = ENCODING_SECONDS,
) -> EncodingTrial:
    """Estimate the size of an output, and the time its frames take to read and write.

    Args:
        output: chosen for the run.
        reader: the source.
        restored: its first frames.
        segment_seconds: length of the run's segments, each of which starts with a key frame.
        seconds: encode no more frames after this time.
    """
    match output:
        case FileOutput():
            return _try_video(output, reader, restored, segment_seconds, longest_seconds=seconds)
        case PicturesOutput():
            return _try_pictures(output, reader, restored)
        case _:
            return EncodingTrial(None, 0.0, 0.0)


def _try_video(
    output: FileOutput,
    reader: FrameSource,
    restored: Sequence[Frame],
    segment_seconds: float,
    *,
    longest_seconds: float,
) -> EncodingTrial:
    """Encode the source's first frames, only enlarged, and the few that were restored.

    The former give time and size, the latter the extra size of restored detail. The rest of the
    video is assumed to differ from its beginning as the source's own packets do.
    """
    info = reader.info
    bicubic = Restorer(BuiltinRunner("bicubic"), scale=output.scale, tile=None)
    enlarged = restore_beginning(reader, bicubic, output.bit_depth, ENLARGED)
    few: list[Frame] = []

    def watched() -> Iterable[Frame]:
        started = time.monotonic()
        for number, frame in enumerate(enlarged, 1):
            if len(few) < len(restored):
                few.append(frame)
            yield frame
            if number >= _FEWEST and time.monotonic() - started > longest_seconds:
                return

    many_sizes, write_seconds = _encoded(watched(), output)
    read_seconds = _read_seconds(reader)
    tried = len(many_sizes)
    frames = info.frame_count
    if frames is None:
        return EncodingTrial(None, read_seconds, write_seconds)
    detail = _bytes_of(restored, output) / _bytes_of(few, output)
    many = _Packets.of(many_sizes)
    parts = max(1.0, (info.duration_seconds or 0) / segment_seconds)
    keys = min(max(parts, frames / _KEY_FRAMES), frames)
    sides, busy = _source_packets(info, output.stream_plans, tried)
    video = many.key * busy.key * keys + many.other * busy.other * (frames - keys)
    return EncodingTrial(round(detail * video) + sides, read_seconds, write_seconds)


def _try_pictures(
    output: PicturesOutput, reader: FrameSource, restored: Sequence[Frame]
) -> EncodingTrial:
    """Write the restored pictures; all others are assumed to be as large."""
    with tempfile.TemporaryDirectory() as folder:
        path = output.segment(Path(folder), 0)
        with output.open_segment(path, len(restored)) as writer:
            write_seconds = _write(restored, writer)
        size = _mean([file.stat().st_size for file in path.iterdir()])
    frames = reader.info.frame_count
    whole = None if frames is None else round(size * frames)
    return EncodingTrial(whole, _read_seconds(reader), write_seconds)


def _write(frames: Iterable[Frame], sink: FrameSink) -> float:
    """Write and finish; return the seconds per frame."""
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
    """Return (is a key frame, bytes) of each packet, and the seconds per frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = output.segment(Path(folder), 0)
        with output.open_segment(path, 0) as writer:
            seconds = _write(frames, writer)
        return packet_sizes(path)[0], seconds


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
    """Return the bytes of the other streams that are kept, and the mean size of packets.

    The latter as a ratio to the packets of the beginning. Nothing is decoded.
    """
    if info.pictures:
        return 0, _Packets(1.0, 1.0)
    along = {plan.stream.index for plan in plans if plan.action is not StreamAction.DROP}
    sizes, sides = packet_sizes(info.path, along)
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
