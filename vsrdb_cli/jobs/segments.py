"""Restoring segments: one decoding pass, one network, a file for each segment."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import VideoError
from vsrdb_cli.jobs.division import Plan, Segment
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.restore import RestoreOptions, restored_frames, restorer_for
from vsrdb_cli.video.encoders import Encoding
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.images import PictureWriter
from vsrdb_cli.video.info import ReadReport, VideoInfo
from vsrdb_cli.video.join import segment_suffix
from vsrdb_cli.video.writer import SegmentWriter


@dataclass(frozen=True)
class Job:
    """All that must be known to restore segments of one output; can be sent to a process.

    folder: where the segments go. encoding: of the output's video; None where it is pictures.
    tile: side of the tiles, settled for all segments.
    """

    source: Path
    folder: Path
    options: RestoreOptions
    encoding: Encoding | None
    plan: Plan
    tile: int | None

    def path(self, segment: Segment) -> Path:
        """The file of a segment; a folder where the output is pictures."""
        name = f"segment-{segment.index:05d}"
        if self.encoding is None:
            return self.folder / name
        return self.folder / f"{name}{segment_suffix(self.encoding.codec)}"

    def sink(self, segment: Segment, info: VideoInfo) -> FrameSink:
        """A writer of a segment's frames."""
        if self.encoding is None:
            part = replace(info, frame_count=segment.count)
            return PictureWriter(self.path(segment), part, self.options.scale, overwrite=True)
        return SegmentWriter(self.path(segment), info, self.encoding, overwrite=True)


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
    segments: Iterable[Segment],
    reader: FrameSource,
    runner: Runner,
    *,
    on_frame: Callable[[Segment], None],
    on_tile: Callable[[int], None],
    on_done: Callable[[Segment], None],
) -> None:
    """Restore segments one after another, each into a file that appears when it is whole.

    Args:
        segments: asked for the next one as soon as the network is free, in a thread of its own,
            while the frames of the one before are still being encoded.
        on_frame: called after every frame written, in the caller's thread, as the others.
        on_tile: called with the new side of the tiles when memory ran out.
        on_done: called when a segment's file is whole and on the disk.
    """
    info = reader.info
    restorer = restorer_for(info, job.options, runner, job.tile)
    forward = ForwardSource(reader, overlap=2 * restorer.reach)
    bit_depth = info.bit_depth if job.encoding is None else job.encoding.bit_depth

    def results() -> Iterator[tuple[Segment, Frame]]:
        for segment in segments:
            count = 0
            for frame in restored_frames(
                forward,
                restorer,
                bit_depth,
                first=segment.first,
                last=segment.last,
                cuts=job.plan.cuts,
            ):
                yield segment, frame
                count += 1
            if count != segment.count:
                raise VideoError(
                    f"{job.source} gave {segment.first + count} frames, but {job.plan.bounds[-1]}"
                    " when it was looked through",
                    hint="it changed meanwhile; add --restart to begin anew",
                )

    shrunk_to: int | None = None
    with Prefetch(results()) as ready:
        for segment, first in ready:
            with job.sink(segment, info) as sink:
                for _, frame in chain([(segment, first)], islice(ready, segment.count - 1)):
                    sink.write(frame)
                    if restorer.shrunk_to is not None and restorer.shrunk_to != shrunk_to:
                        shrunk_to = restorer.shrunk_to
                        on_tile(shrunk_to)
                    on_frame(segment)
                _to_disk(sink.commit(segment.count))
            on_done(segment)


def _to_disk(path: Path) -> None:
    """Wait until a finished file would survive a power cut, before the journal relies on it."""
    for file in path.iterdir() if path.is_dir() else (path,):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
