"""One run: restores a source into its output, at once or by segments that a later run can use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vsrdb_cli import __version__
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.disks import flush_names
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import check_folder, followed, put_in_place
from vsrdb_cli.jobs.events import (
    Event,
    FrameRestored,
    Notice,
    SegmentFinished,
    SegmentLost,
    TileShrunk,
)
from vsrdb_cli.jobs.executor import Executor
from vsrdb_cli.jobs.journal import Journal, identity
from vsrdb_cli.jobs.plan import WHOLE, Segment, plan_segments
from vsrdb_cli.jobs.report import Phase, Progress, RestoreReport, RunLog, require_whole
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.names import fitting
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import tile_in_use
from vsrdb_cli.text import count
from vsrdb_cli.video.frame import FrameSource, ReadReport
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pictures.formats import WRITTEN
from vsrdb_cli.video.writing.frame_converter import Postfilters
from vsrdb_cli.video.writing.output import Output, resolve_output
from vsrdb_cli.video.writing.picture_writer import is_single
from vsrdb_cli.video.writing.y4m_writer import is_stream_output


def is_divisible(info: VideoInfo, target: Path) -> bool:
    """Return whether a source can be restored by segments into an output."""
    whole = info.kind in (Kind.STILL, Kind.PIPE) or is_stream_output(target) or is_single(target)
    return not whole


def is_divided(info: VideoInfo, target: Path, options: RestoreOptions) -> bool:
    """Return whether an output is restored by segments: a long one, one begun so, or by several."""
    if not is_divisible(info, target):
        return False
    seconds = info.duration_seconds
    long = seconds is None or seconds > options.segment_seconds
    return long or options.is_distributed or work_folder(target).exists()


def work_folder(target: Path) -> Path:
    """Return the folder, on the output's disk, in which finished segments wait for the others."""
    target = followed(target.absolute())
    return target.parent / fitting(target.name, ".vsrdb")


def choose_output(
    target: Path, info: VideoInfo, options: RestoreOptions
) -> tuple[Output, tuple[str, ...]]:
    """Choose the output that is asked for; return it with all that it changes or drops, in lines.

    Raises:
        OutputError, OptionError: it cannot be written as asked, or not whole, as `strict` demands.
    """
    output = resolve_output(
        target,
        info,
        options.scale,
        options.encoder,
        postfilters=Postfilters(options.postfilter, options.grain),
        overwrite=options.overwrite,
    )
    losses = (*info.notices, *output.notices)
    if options.strict and losses:
        raise OutputError(
            f"the output cannot keep everything: {'; '.join(losses)}",
            hint="choose another output format, or omit --strict",
        )
    return output, (*losses, *info.assumed, *output.filter_notices)


def finished_frames(
    info: VideoInfo, target: Path, options: RestoreOptions, output: Output, runner: RunnerInfo
) -> int:
    """Return how many frames an earlier run of the same job has finished.

    Raises:
        OutputError: the run would be refused: another process works on it, or it is another job.
    """
    begun = is_divisible(info, target) and work_folder(target).exists()
    if options.restart or not begun:
        return 0
    with Journal(work_folder(target)) as journal:
        journal.bind(_source_facts(identity(info.path), options))
        if not journal.begun:
            return 0
        journal.bind(runner.facts)
        if journal.is_joined(target):
            return journal.plan.frames
        folder = journal.folder
        finished = (s for s in journal.plan.segments
                    if journal.is_finished(s.index, output.segment(folder, s.index)))  # fmt: skip
        return sum(segment.count or 0 for segment in finished)


def restore_source(
    reader: FrameSource,
    target: Path,
    options: RestoreOptions,
    executor: Executor,
    log: RunLog,
    *,
    known: Mapping[str, str],
) -> RestoreReport:
    """Restore a source; a long one by segments, continuing where an earlier run was stopped.

    Args:
        known: `identity` of the source before it was opened.

    Raises:
        VsrdbError: it could not be restored; finished segments are kept.
    """
    with ExitStack() as stack:
        journal = None
        if is_divided(reader.info, target, options):
            check_folder(followed(target.absolute()).parent)
            journal = stack.enter_context(Journal(work_folder(target), restart=options.restart))
        run = _Run(reader, target, options, executor, log, known, journal)
        if journal is None or not run.resume(journal):
            job = run.begin()
            run.restore(job)
            run.finish(job)
        report, read = run.report(), run.read
        if journal is not None:
            run.remove_folder(journal)  # and what it knows
    if options.strict:
        require_whole(target, read, run.lost)
    return report


@dataclass
class _Run:
    """The state of a run."""

    reader: FrameSource
    target: Path
    options: RestoreOptions
    executor: Executor
    log: RunLog
    known: Mapping[str, str]
    """Identity of the source before it was opened."""

    journal: Journal | None
    """Journal of an output restored by segments; None if it is restored at once."""

    tile: int | None = None
    size_hr: tuple[int, int] = (0, 0)
    """Height and width of the output, once it is chosen."""

    frames: Counter[Segment] = field(default_factory=Counter)
    """Frames restored of each segment, by this run or an earlier one."""

    repeats: Counter[Segment] = field(default_factory=Counter)
    """Those of them that repeat the one before."""

    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    """Parts of the source's other streams that are not in the output, one line each."""

    @property
    def read(self) -> ReadReport:
        """The report of a pass over the whole source."""
        return self.reader.report if self.journal is None else self.journal.read

    def resume(self, journal: Journal) -> bool:
        """Check that an earlier run's work fits; return whether it finished the output."""
        if journal.notice:
            self.log.notice(journal.notice)
        journal.bind(_source_facts(self.known, self.options))
        if not journal.is_joined(self.target):
            return False
        self.log.notice("an earlier run finished this output; removing its work folder")
        self.size_hr = journal.size_hr
        self.tile, self.resumed = journal.tile, journal.plan.frames
        self.frames[WHOLE], self.repeats[WHOLE] = self.resumed, sum(journal.plan.repeats)
        return True

    def begin(self) -> Job:
        """Choose the output, load the network, and plan the segments."""
        info, options, log = self.reader.info, self.options, self.log
        output, notices = choose_output(self.target, info, options)
        self.size_hr = output.size
        for line in notices:
            log.notice(line)
        at_once = self.journal is None and info.kind is not Kind.PIPE
        known = self.known if at_once else None
        spec = RestoreSpec.of_output(options, output)
        log.phase(Phase.LOAD)
        self.tile = self.executor.prepare(spec)
        for line in self.executor.notices:
            log.notice(line)
        log.detail(f"encoder: {output.description}")
        tiles = "whole pictures" if self.tile is None else f"tiles of {self.tile} pixels"
        log.detail(f"network: {self.executor.info}, {tiles}")
        if nodes := self.executor.info.nodes:
            log.detail(f"nodes of the network's graphs: {nodes}")
        if self.journal is None:
            return Job(info, output, spec, self.tile, identity=known)
        self._plan(self.journal, output)
        plan, folder = self.journal.plan, self.journal.folder
        return Job(info, output, spec, self.tile, plan, folder)

    def _plan(self, journal: Journal, output: Output) -> None:
        """Read the source once and enter the plan, or take over what an earlier run entered."""
        options, info, log = self.options, self.reader.info, self.log
        journal.bind(self.executor.info.facts)
        if journal.begun:
            if self.tile is not None and (journal.tile is None or self.tile < journal.tile):
                log.notice(
                    f"less memory is free than before: continuing in tiles of {self.tile} pixels"
                )
                journal.change_tile(self.tile)
            self.tile = journal.tile
            return
        plan = plan_segments(
            self.reader,
            segment_seconds=options.segment_seconds,
            scene_cuts=options.scene_cuts,
            reach=self.executor.length // 2,
            lead_in=output.lead_in,
            on_frame=lambda frames: log.phase(Phase.PLAN, frames, info.frame_count),
        )
        journal.require_unchanged(info.path)
        for change in self.reader.report.changes:
            log.notice(change)
        journal.begin(plan, self.tile, output.size, self.reader.report, self.executor.info)

    def restore(self, job: Job) -> None:
        """Restore what is not finished."""
        segments = (WHOLE,) if job.plan is None else job.plan.segments
        pending = [segment for segment in segments if not self._is_finished(job, segment)]
        done = [segment for segment in segments if segment not in pending]
        self.frames = Counter({segment: segment.count or 0 for segment in done})
        self.resumed = self.frames.total()
        if job.plan is not None:
            self.repeats = Counter({segment: job.plan.repeats[segment.index] for segment in done})
        if job.plan is not None and done:
            self.log.notice(
                f"continuing an interrupted run: {len(done)} of {count(len(segments), 'segment')}"
                f" ({self.resumed} of {count(job.plan.frames, 'frame')}) are finished"
            )
        self.log.start_restoring()
        self._show_progress(job)
        if pending:
            self.executor.restore(job, pending, self.reader, partial(self._handle, job))

    def _is_finished(self, job: Job, segment: Segment) -> bool:
        journal = self.journal
        return journal is not None and journal.is_finished(segment.index, job.path(segment))

    def _handle(self, job: Job, event: Event) -> None:
        """Handle an event of the executor."""
        match event:
            case FrameRestored(segment, is_repeat):
                self.frames[segment] += 1
                self.repeats[segment] += is_repeat
                self._show_progress(job, segment)
            case SegmentLost(segment):
                self.frames.pop(segment, None)
                self.repeats.pop(segment, None)
            case SegmentFinished(segment, damage):
                self.lost.extend(damage)
                if self.journal is not None:
                    self._enter(job, segment, self.journal)
            # Several workers may find out one after another.
            case TileShrunk(tile) if self.tile is None or tile < self.tile:
                self.tile = tile
                if self.journal is not None:
                    self.journal.change_tile(tile)
                self.log.notice(f"memory ran out: continuing in tiles of {tile} pixels")
            case Notice(text):
                self.log.notice(text)

    def _enter(self, job: Job, segment: Segment, journal: Journal) -> None:
        made_by = [node for node in self.executor.nodes if segment.index in node.segments]
        journal.enter(segment.index, job.path(segment), *(node.name for node in made_by))
        total = len(journal.plan.segments)
        self.log.detail(f"segment {segment.index + 1} of {total} is finished")

    def _show_progress(self, job: Job, segment: Segment | None = None) -> None:
        at, total, segments = None, self.reader.info.frame_count, None
        if job.plan is not None:
            at = None if segment is None else segment.index
            total, segments = job.plan.frames, len(job.plan.segments)
        self.log.progress(
            Progress(
                self.frames.total(),
                total,
                self.log.restoring_seconds,
                resumed=self.resumed,
                repeats=self.repeats.total(),
                segment=at,
                segments=segments,
                nodes=self.executor.nodes,
            )
        )

    def finish(self, job: Job) -> None:
        """Join the segments, where there are some, and give the output its name."""
        if self.journal is not None:
            self._join(job, self.journal)
        self.lost.extend(job.output.lost(self.read))

    def _join(self, job: Job, journal: Journal) -> None:
        paths = [job.path(segment) for segment in journal.plan.segments]
        journal.require_whole(paths)
        journal.require_unchanged(job.source.path)
        joined = job.output.join(
            paths,
            journal.folder,
            frames=journal.plan.frames,
            on_segment=lambda done: self.log.phase(Phase.JOIN, done, len(paths)),
            on_damage=self.lost.append,
        )
        journal.enter_joined(joined)
        put_in_place(joined, self.target, overwrite=self.options.overwrite, replaced=WRITTEN)

    def report(self) -> RestoreReport:
        """Return the report of a run whose output is in its place."""
        info, read, log = self.reader.info, self.read, self.log
        height_hr, width_hr = self.size_hr
        return RestoreReport(
            output=self.target,
            frames=self.frames.total(),
            seconds=log.seconds,
            height_hr=height_hr,
            width_hr=width_hr,
            runner=self.executor.info if self.journal is None else self.journal.runner,
            strength=self.options.strength,
            prefilter=self.options.prefilter,
            postfilter=self.options.postfilter,
            grain=self.options.grain,
            tile=tile_in_use(info.height, info.width, self.tile),
            notices=tuple(dict.fromkeys((*log.notices, *read.notices, *self.lost))),
            repeats=self.repeats.total(),
            resumed=self.resumed,
            restoring_seconds=log.restoring_seconds,
            damage=(*read.damage, *self.lost),
            part=info.cut.frames if info.cut else None,
            film=info.film,
            nodes=self.executor.nodes,
        )

    def remove_folder(self, journal: Journal) -> None:
        """Remove the work folder once the output's name is on the disk."""
        try:
            flush_names(followed(self.target.absolute()).parent)
            journal.remove()
        except OSError as error:  # the output is whole
            self.log.notice(
                f"the work folder {journal.folder} could not be removed: {error.strerror}"
            )


def _source_facts(known: Mapping[str, str], options: RestoreOptions) -> dict[str, str]:
    """Return what the frames depend on, the network aside, by names that users know."""
    texts = {name: json.dumps(value, default=str) for name, value in options.frame_values.items()}
    return {**known, **texts, "version of vsrdb": __version__}
