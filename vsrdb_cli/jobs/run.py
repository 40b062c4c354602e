"""One output: restored in one go, or planned, restored segment by segment, joined and resumed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli import __version__
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.disks import flush_names
from vsrdb_cli.files import check_folder, followed, put_in_place
from vsrdb_cli.jobs.executor import Executor
from vsrdb_cli.jobs.journal import Journal, identity
from vsrdb_cli.jobs.plan import WHOLE, Segment, plan_segments
from vsrdb_cli.jobs.report import Phase, Progress, RestoreReport, RunLog, require_whole
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.names import fitting
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.tiling import tile_in_use
from vsrdb_cli.text import count
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pictures.formats import WRITTEN
from vsrdb_cli.video.writing.output import Output, settle_output
from vsrdb_cli.video.writing.picture_writer import is_single
from vsrdb_cli.video.writing.y4m_writer import goes_through


def is_divided(info: VideoInfo, target: Path, options: RestoreOptions) -> bool:
    """Whether an output is restored in segments: it is long, begun so, or for several workers."""
    if info.kind in (Kind.STILL, Kind.PIPE) or goes_through(target) or is_single(target):
        return False
    seconds = info.duration_seconds
    long = seconds is None or seconds > options.segment_seconds
    several = bool(options.devices or options.ray)
    return long or several or work_folder(target).exists()


def work_folder(target: Path) -> Path:
    """Where the finished segments of an output wait for the others: on its disk."""
    target = followed(target.absolute())
    return target.parent / fitting(target.name, ".vsrdb")


def restore_at_once(
    reader: FrameSource, target: Path, options: RestoreOptions, executor: Executor, log: RunLog
) -> RestoreReport:
    """Restore a source as one segment, straight into its output."""
    run = _Run(reader, target, options, executor, log)
    output = run.settle()
    size = reader.info.height, reader.info.width
    path = reader.info.path
    known = None if reader.info.kind is Kind.PIPE else identity(path)
    job = Job(path, options, output, run.prepare(output), known=known)
    lost: list[str] = []
    tile, frames = job.tile, 0
    log.ready()

    def on_frame(segment: Segment) -> None:  # noqa: ARG001
        nonlocal frames
        frames += 1
        log.progress(Progress(frames, reader.info.frame_count, log.restoring_seconds))

    def on_tile(side: int) -> None:
        nonlocal tile
        tile = side
        log.say_shrunk(side)

    listener = Listener(
        on_frame=on_frame,
        on_tile=on_tile,
        on_done=lambda segment, found: lost.extend(found),  # noqa: ARG005
        on_lost=lambda segment: None,  # noqa: ARG005
        on_notice=log.say,
    )
    log.progress(Progress(0, reader.info.frame_count))
    executor.restore(job, [WHOLE], reader, listener)
    lost.extend(output.lost(reader.report))
    if options.strict:
        require_whole(output.path, reader.report, lost)
    return log.report(
        output.path,
        executor.info,
        reader.report,
        lost,
        info=reader.info,
        options=options,
        frames=frames,
        tile=tile_in_use(*size, tile),
    )


def restore_in_segments(
    reader: FrameSource, target: Path, options: RestoreOptions, executor: Executor, log: RunLog
) -> RestoreReport:
    """Restore a source segment by segment, going on where an earlier run was stopped."""
    check_folder(followed(target.absolute()).parent)
    with Journal(work_folder(target), restart=options.restart) as journal:
        if journal.notice:
            log.say(journal.notice)
        journal.bind(_facts_of_job(reader, options))
        lost: list[str] = []
        if journal.is_joined(target):
            log.say("an earlier run finished this output; removing its work folder")
            resumed = journal.plan.frames
        else:
            run = _Run(reader, target, options, executor, log)
            job = run.begin(journal, run.settle())
            resumed = run.restore(journal, job)
            run.join(journal, job, lost)
        read = journal.read
        report = log.report(
            target,
            journal.runner,
            read,
            lost,
            info=reader.info,
            options=options,
            frames=journal.plan.frames,
            tile=tile_in_use(reader.info.height, reader.info.width, journal.tile),
            resumed=resumed,
            nodes=executor.nodes,
        )
        try:
            flush_names(followed(target.absolute()).parent)
            journal.remove()
        except OSError as error:  # the output is whole
            log.say(f"the work folder {journal.folder} could not be removed: {error.strerror}")
    if options.strict:
        require_whole(target, read, lost)
    return report


def finished_frames(
    reader: FrameSource, target: Path, options: RestoreOptions, output: Output, runner: RunnerInfo
) -> int:
    """How many frames an earlier run of the same job has finished.

    Raises:
        OutputError: the run would be refused: another process works on it, or it is another job.
    """
    if options.restart or not work_folder(target).exists():
        return 0
    with Journal(work_folder(target)) as journal:
        journal.bind(_facts_of_job(reader, options))
        if not journal.begun:
            return 0
        journal.bind(_facts_of_runner(runner))
        if journal.is_joined(target):
            return journal.plan.frames
        job = _job(reader, options, output, journal)
        finished = _finished(journal, job)
        return sum(segment.count or 0 for segment in finished)


@dataclass
class _Run:
    """What all steps of a run need."""

    reader: FrameSource
    target: Path
    options: RestoreOptions
    executor: Executor
    log: RunLog

    def settle(self) -> Output:
        """Settle the output, and say what it will not hold."""
        info, options = self.reader.info, self.options
        output = settle_output(
            self.target, info, options.scale, options.encoder, overwrite=options.overwrite
        )
        self.log.announce(info, output, strict=options.strict)
        return output

    def prepare(self, output: Output) -> int | None:
        """Have the network there; the side of the tiles."""
        info = self.reader.info
        self.log.say_loading()
        tile = self.executor.prepare(self.options, (info.height, info.width), output.bit_depth)
        for notice in self.executor.notices:
            self.log.say(notice)
        self.log.detail(f"encoder: {output.description}")
        tiles = "whole pictures" if tile is None else f"tiles of {tile} pixels"
        self.log.detail(f"network: {self.executor.info}, {tiles}")
        return tile

    def begin(self, journal: Journal, output: Output) -> Job:
        """Look the source through and enter the plan, or take over what an earlier run entered."""
        options, info, executor = self.options, self.reader.info, self.executor
        tile = self.prepare(output)
        journal.bind(_facts_of_runner(executor.info))
        if not journal.begun:
            plan = plan_segments(
                self.reader,
                segment_seconds=options.segment_seconds,
                scene_cuts=options.scene_cuts,
                on_frame=lambda count: self.log.say_phase(Phase.PLAN, count, info.frame_count),
            )
            journal.require_unchanged(info.path)
            for change in self.reader.report.changes:
                self.log.say(change)
            journal.begin(plan, tile, self.reader.report, executor.info)
        elif tile is not None and (journal.tile is None or tile < journal.tile):
            self.log.say(f"less memory is free than before: continuing in tiles of {tile} pixels")
            journal.change_tile(tile)
        return _job(self.reader, options, output, journal)

    def restore(self, journal: Journal, job: Job) -> int:
        """Restore what is not finished; returns how many frames an earlier run had finished."""
        segments, total = journal.plan.segments, journal.plan.frames
        finished = _finished(journal, job)
        pending = [segment for segment in segments if segment not in finished]
        frames = Counter({segment: segment.count or 0 for segment in finished})
        resumed = frames.total()
        if resumed:
            self.log.say(
                f"continuing an interrupted run: {len(finished)} of"
                f" {count(len(segments), 'segment')} ({resumed} of {count(total, 'frame')})"
                " are finished"
            )
        self.log.ready()

        def say(segment: Segment | None) -> None:
            self.log.progress(
                Progress(
                    frames.total(),
                    total,
                    self.log.restoring_seconds,
                    resumed=resumed,
                    segment=None if segment is None else segment.index,
                    segments=len(segments),
                    nodes=self.executor.nodes,
                )
            )

        def on_frame(segment: Segment) -> None:
            frames[segment] += 1
            say(segment)

        def on_tile(tile: int) -> None:
            # Several workers may find out one after another.
            if journal.tile is None or tile < journal.tile:
                journal.change_tile(tile)
                self.log.say_shrunk(tile)

        def on_done(segment: Segment, lost: tuple[str, ...]) -> None:  # noqa: ARG001
            made_by = [node for node in self.executor.nodes if segment.index in node.segments]
            journal.enter(segment.index, job.path(segment), *(node.name for node in made_by))
            self.log.detail(f"segment {segment.index + 1} of {len(segments)} is finished")

        def on_lost(segment: Segment) -> None:
            frames.pop(segment, None)

        say(None)
        listener = Listener(
            on_frame=on_frame,
            on_tile=on_tile,
            on_done=on_done,
            on_lost=on_lost,
            on_notice=self.log.say,
        )
        if pending:
            self.executor.restore(job, pending, self.reader, listener)
        return resumed

    def join(self, journal: Journal, job: Job, lost: list[str]) -> None:
        """Put the segments together and the output in its place."""
        paths = [job.path(segment) for segment in journal.plan.segments]
        journal.require_whole(paths)
        journal.require_unchanged(self.reader.info.path)
        joined = job.output.join(
            paths,
            journal.folder,
            frames=journal.plan.frames,
            on_segment=lambda count: self.log.say_phase(Phase.JOIN, count, len(paths)),
            on_damage=lost.append,
        )
        lost.extend(job.output.lost(journal.read))
        journal.enter_joined(joined)
        put_in_place(joined, self.target, overwrite=self.options.overwrite, replaced=WRITTEN)


def _job(reader: FrameSource, options: RestoreOptions, output: Output, journal: Journal) -> Job:
    return Job(reader.info.path, options, output, journal.tile, journal.plan, journal.folder)


def _finished(journal: Journal, job: Job) -> list[Segment]:
    return [
        segment
        for segment in journal.plan.segments
        if journal.is_finished(segment.index, job.path(segment))
    ]


def _facts_of_job(reader: FrameSource, options: RestoreOptions) -> dict[str, str]:
    """What the frames depend on, but for the network, as text by names a user knows."""
    texts = {name: json.dumps(value, default=str) for name, value in options.frame_values.items()}
    return {**identity(reader.info.path), **texts, "version of vsrdb": __version__}


def _facts_of_runner(info: RunnerInfo) -> dict[str, str]:
    return {
        "weights": f"sha256 {info.sha256[:16]}" if info.sha256 else info.weights,
        "backend": info.backend,
        "precision": info.precision,
    }
