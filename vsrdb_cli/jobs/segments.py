"""Restores segments: one pass of decoding, one network, a file for each segment."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Self

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import VideoError
from vsrdb_cli.jobs.events import FrameRestored, OnEvent, SegmentFinished, TileShrunk
from vsrdb_cli.jobs.journal import require_unchanged
from vsrdb_cli.jobs.plan import Plan, Segment
from vsrdb_cli.pipeline.frames import restore_range, restorer_for
from vsrdb_cli.pipeline.repeats import shared
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.write_behind import WriteBehind
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource, ReadReport
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.writing.output import Output

# Bytes of frames that may wait to be written beside a GPU, which is not to stand still while a
# segment is finished. A network on the CPU is slower than that, and plans with the memory.
_ROOM = 128 << 20


@dataclass(frozen=True)
class Job:
    """All that must be known to restore an output, or segments of it; can be sent to a process."""

    source: VideoInfo
    """The source as it was opened; `open_again` opens it in another process."""

    output: Output
    spec: RestoreSpec
    tile: int | None
    """Side of the tiles of all segments; None for whole pictures."""

    plan: Plan | None = None
    """The segments; None where the source goes straight into its output, as one segment."""

    folder: Path | None = None
    """The folder of the segments."""

    identity: Mapping[str, str] | None = None
    """`identity` of a source without a plan, to be the same in the end; None of a stream."""

    def path(self, segment: Segment) -> Path:
        """Return the file of a segment; a folder where the output is pictures."""
        assert self.folder is not None
        return self.output.segment(self.folder, segment.index)

    def widened(self, segment: Segment) -> Segment:
        """Return a segment with the frames around it that postfilters are given, too."""
        lead_in = self.output.lead_in
        if self.plan is None or segment.last is None or not lead_in:
            return segment
        begin, end = self.plan.bounds[0], self.plan.bounds[-1]
        return Segment(
            segment.index, max(begin, segment.first - lead_in), min(end, segment.last + lead_in)
        )

    @property
    def overlap(self) -> int:
        """Frames before the end of what is read for a segment that the next may ask for again."""
        assert self.plan is not None
        return 2 * (self.plan.margin + self.output.lead_in)

    def open(self, segment: Segment) -> FrameSink:
        """Open a segment for writing."""
        if segment.count is None:
            return self.output.open()
        return self.output.open_segment(self.path(segment), segment.count)


class ForwardSource:
    """A source that is decoded once for many ranges of frames, as long as they go forward.

    Without it every segment would be decoded from the beginning of the video.

    Args:
        overlap: how many frames before a range's end the next range may ask for again.
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
        """Yield the frames with index `first` <= i < `last`."""
        oldest = self._kept[0][0] if self._kept else self._following
        if self._running is None or first < oldest:
            self._kept.clear()
            # Beyond the end of a part, too: its last windows reach there.
            end = None if last is None else sys.maxsize
            self._running, self._following = shared(self._source.frames(first, end)), first
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

    def __exit__(self, *error: object) -> None: ...


def restore_segments(
    job: Job,
    segments: Iterable[Segment | None],
    reader: FrameSource,
    runner: Runner,
    on_event: OnEvent,
) -> None:
    """Restore segments one after another, each into a file that appears when it is whole.

    The network works in the caller's thread, which owns torch's threads; reading and writing each
    have one of their own. The next segment is asked for as soon as the network is free, while the
    frames of the one before are still being encoded.

    Args:
        segments: None among them means that there is no next one yet.
        on_event: called in the caller's thread.
    """
    restorer = restorer_for(
        runner, job.spec, job.tile, on_shrink=lambda side: on_event(TileShrunk(side))
    )
    source: FrameSource = reader
    if job.plan is not None:
        source = ForwardSource(reader, job.overlap)

    def write(
        items: Iterator[tuple[Segment, Frame]], tell: Callable[[Callable[[], None]], None]
    ) -> None:
        for segment, first in items:
            count = job.widened(segment).count
            others = None if count is None else count - 1
            with job.open(segment) as sink:
                picture = None
                for _, frame in chain([(segment, first)], islice(items, others)):
                    sink.write(frame)
                    if not frame.around:
                        tell(partial(on_event, FrameRestored(segment, frame.rgb is picture)))
                    picture = frame.rgb
                if job.identity is not None:
                    require_unchanged(job.source.path, job.identity)
                if segment.count is None:
                    sink.commit(_frames_read(reader))
                else:
                    sink.commit(segment.count)
            tell(partial(on_event, SegmentFinished(segment, sink.damage)))

    on_cpu = runner.info.device == "cpu"
    with WriteBehind(
        write, room=0 if on_cpu else _ROOM, size=lambda item: item[1].rgb.nbytes
    ) as behind:
        for segment in segments:
            if segment is None:
                behind.hear()
                continue
            wide = job.widened(segment)
            count = 0
            for frame in restore_range(
                source,
                restorer,
                job.spec.bit_depth,
                first=wide.first,
                last=wide.last,
                cuts=None if job.plan is None else job.plan.cuts,
                margin=None if job.plan is None else job.plan.margin,
            ):
                index = wide.first + count
                around = index < segment.first or index >= (segment.last or index + 1)
                behind.put((segment, replace(frame, around=True) if around else frame))
                count += 1
            _check_count(job, wide, count)


def _frames_read(reader: FrameSource) -> int:
    """Return how many frames the source has; of a part, without the context read around it."""
    cut = reader.info.cut
    return reader.report.frames if cut is None else cut.count


def _check_count(job: Job, segment: Segment, count: int) -> None:
    if segment.count is None:
        if not count:
            raise VideoError(f"{job.source.path} has no frames", hint="check it with ffprobe")
    elif count != segment.count:
        assert job.plan is not None
        raise VideoError(
            f"{job.source.path} has {segment.first + count} frames, but had {job.plan.bounds[-1]}"
            " when the run was planned",
            hint="the file has changed; add --restart to start over",
        )
