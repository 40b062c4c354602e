"""Restoring segments: one decoding pass, one network, a file for each segment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import VideoError
from vsrdb_cli.jobs.division import Division, Segment
from vsrdb_cli.jobs.journal import require_unchanged
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.frames import restore_range, restorer_for
from vsrdb_cli.pipeline.write_behind import WriteBehind
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.info import ReadReport, VideoInfo
from vsrdb_cli.video.output import Output

# Bytes of frames that may wait to be written beside a GPU, which is not to stand still while a
# segment is finished. A network on the CPU is slower than that, and plans with the memory.
_ROOM = 128 << 20


@dataclass(frozen=True)
class Job:
    """All that must be known to restore one output, or segments of it; can be sent to a process.

    tile: side of the tiles, settled for all segments. division: into segments, which go into
    `folder`; both None where the source goes straight into its output, as one segment. known: the
    identity of such a source, which must be the same in the end; None of what is no file.
    """

    source: Path
    options: RestoreOptions
    output: Output
    tile: int | None
    division: Division | None = None
    folder: Path | None = None
    known: Mapping[str, str] | None = None

    def path(self, segment: Segment) -> Path:
        """The file of a segment; a folder where the output is pictures."""
        assert self.folder is not None
        return self.output.segment(self.folder, segment.index)

    def open(self, segment: Segment) -> FrameSink:
        """A writer of a segment's frames."""
        if segment.count is None:
            return self.output.open()
        return self.output.open_segment(self.path(segment), segment.count)


@dataclass(frozen=True)
class Listener:
    """Told, in the caller's thread, how the work goes.

    on_frame: after every frame. on_tile: memory ran out; the new side of the tiles. on_done: a
    segment's file is whole and on the disk; with what of the source's other streams could not be
    copied, one line each. on_lost: a segment is begun anew, its frames will come again. on_notice:
    one line.
    """

    on_frame: Callable[[Segment], None]
    on_tile: Callable[[int], None]
    on_done: Callable[[Segment, tuple[str, ...]], None]
    on_lost: Callable[[Segment], None]
    on_notice: Callable[[str], None]


class ForwardSource:
    """A source read once for many ranges of frames, as long as they go forward.

    Otherwise every segment would decode the video from its beginning.

    Args:
        overlap: how many frames before a range's end may be asked for again with the next.
    """

    def __init__(self, source: FrameSource, overlap: int) -> None:
        self._source = source
        self._running: Iterator[Frame] | None = None
        self._following = 0  # index of the next frame of the running pass
        self._kept: deque[tuple[int, Frame]] = deque(maxlen=overlap)

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    @property
    def report(self) -> ReadReport:
        return self._source.report

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """The frames with index `first` <= i < `last`."""
        oldest = self._kept[0][0] if self._kept else self._following
        if self._running is None or first < oldest:
            self._kept.clear()
            self._running, self._following = self._source.frames(first), first
        for index, frame in list(self._kept):
            if index >= first and (last is None or index < last):
                yield frame
        while last is None or self._following < last:
            frame_or_end = next(self._running, None)
            if frame_or_end is None:
                return
            index, self._following = self._following, self._following + 1
            self._kept.append((index, frame_or_end))
            if index >= first:
                yield frame_or_end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def restore_segments(
    job: Job,
    segments: Iterable[Segment | None],
    reader: FrameSource,
    runner: Runner,
    listener: Listener,
    *,
    share: float = 1.0,
) -> None:
    """Restore segments one after another, each into a file that appears when it is whole.

    The network works in the caller's thread, which owns torch's threads; reading and writing each
    have one of their own. The next segment is asked for as soon as the network is free, while the
    frames of the one before are still being encoded.

    Args:
        segments: None among them means that there is no next one yet.
        share: of the device's free memory that is this process's.
    """
    restorer = restorer_for(
        runner,
        job.options,
        job.tile,
        (reader.info.height, reader.info.width),
        bit_depth=job.output.bit_depth,
        share=share,
        on_shrink=listener.on_tile,
    )
    source: FrameSource = reader
    if job.division is not None:
        source = ForwardSource(reader, overlap=2 * restorer.reach)

    def write(
        items: Iterator[tuple[Segment, Frame]], tell: Callable[[Callable[[], None]], None]
    ) -> None:
        for segment, first in items:
            others = None if segment.count is None else segment.count - 1
            with job.open(segment) as sink:
                for _, frame in chain([(segment, first)], islice(items, others)):
                    sink.write(frame)
                    tell(partial(listener.on_frame, segment))
                if job.known is not None:
                    require_unchanged(job.source, job.known)
                if segment.count is None:
                    sink.commit(_frames_read(reader))
                else:
                    sink.commit(segment.count)
            tell(partial(listener.on_done, segment, sink.damage))

    on_cpu = runner.info.device == "cpu"
    with WriteBehind(
        write, room=0 if on_cpu else _ROOM, size=lambda item: item[1].rgb.nbytes
    ) as behind:
        for segment in segments:
            if segment is None:
                behind.hear()
                continue
            count = 0
            for frame in restore_range(
                source,
                restorer,
                job.output.bit_depth,
                first=segment.first,
                last=segment.last,
                cuts=None if job.division is None else job.division.cuts,
            ):
                behind.put((segment, frame))
                count += 1
            _check_count(job, segment, count)


def _frames_read(reader: FrameSource) -> int:
    """Of the whole source; the context of a part was read too, beyond the frames it has."""
    cut = reader.info.cut
    return reader.report.frames if cut is None else cut.count


def _check_count(job: Job, segment: Segment, count: int) -> None:
    if segment.count is None:
        if not count:
            raise VideoError(f"{job.source} has no frames", hint="check it with ffprobe")
    elif count != segment.count:
        assert job.division is not None
        raise VideoError(
            f"{job.source} gave {segment.first + count} frames, but {job.division.bounds[-1]}"
            " when it was looked through",
            hint="the file has changed; add --restart to start over",
        )
