"""A whole job: planned, restored segment by segment, joined; begun, or gone on with."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vsrdb_cli import __version__
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.files import check_folder, put_in_place
from vsrdb_cli.jobs.crew import Alone, Crew, Listener
from vsrdb_cli.jobs.division import Segment, make_plan
from vsrdb_cli.jobs.journal import Journal, identity
from vsrdb_cli.jobs.processes import Workers
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.restore import (
    Progress,
    RestoreOptions,
    RestoreReport,
    load_for,
    memory_notice,
    work_folder,
)
from vsrdb_cli.strict import announce, judge
from vsrdb_cli.video.encoders import EncoderOptions, Encoding, choose
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.images import PictureWriter, natural_order
from vsrdb_cli.video.join import join
from vsrdb_cli.video.writer import open_sink

# Options on which the frames do not depend; what weights, backend and precision come to is bound
# once it is known, and the encoder's options under their own names.
_NOT_BOUND = {
    *("overwrite", "restart", "device", "devices", "strict"),
    *("weights", "backend", "precision", "encoder"),
}


def restore_in_segments(
    reader: FrameSource,
    target: Path,
    options: RestoreOptions,
    *,
    runner: Runner | None,
    spare: Runner | None,
    workers: Workers | None,
    on_notice: Callable[[str], None],
    on_progress: Callable[[Progress], None],
) -> RestoreReport:
    """Restore a source segment by segment, going on where an earlier run was stopped.

    Arguments, result and errors are those of `vsrdb_cli.restore.restore_video`.
    """
    started = time.monotonic()
    info = reader.info
    said: list[str] = []

    def say(notice: str) -> None:
        said.append(notice)
        on_notice(notice)

    check_folder(target.absolute().parent)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(work_folder(target), restart=options.restart))
        journal.bind(_facts_of_job(reader, options))
        lost: list[str] = []
        run = _Run(journal, reader, target, options, say, on_progress)
        if journal.is_joined(target):
            say("an earlier run had finished this output; its work folder is removed")
            resumed = journal.plan.frames
        else:
            run.check_output()
            if options.devices and workers is None:
                workers = stack.enter_context(Workers(options, options.devices))
            size = info.height, info.width
            crew = workers or Alone(runner or load_for(options, size, spare), reader)
            run.begin(crew)
            resumed = run.restore(crew)
            run.join(lost.append)
        report = RestoreReport(
            output=target,
            frames=journal.plan.frames,
            seconds=time.monotonic() - started,
            height_hr=info.height * options.scale,
            width_hr=info.width * options.scale,
            runner=journal.runner,
            tile=journal.tile,
            notices=(*said, *journal.read.notices, *lost),
            resumed=resumed,
        )
        damage = journal.read
        journal.remove()
    judge(damage, target, lost, strict=options.strict)
    return report


def finished_frames(
    reader: FrameSource,
    target: Path,
    options: RestoreOptions,
    encoding: Encoding | None,
    runner: RunnerInfo,
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
        job = Job(reader.info.path, journal.folder, options, encoding, journal.plan, journal.tile)
        return sum(
            segment.count
            for segment in job.plan.segments
            if journal.is_finished(segment.index, job.path(segment))
        )


@dataclass
class _Run:
    """One run of a job, between taking the lock and having the output in place."""

    journal: Journal
    reader: FrameSource
    target: Path
    options: RestoreOptions
    on_notice: Callable[[str], None]
    on_progress: Callable[[Progress], None]
    encoding: Encoding | None = None
    started: float = field(default_factory=time.monotonic)

    def check_output(self) -> None:
        """Open the output, say what it will not hold, and close it again."""
        info, options = self.reader.info, self.options
        with open_sink(
            self.target, info, options.scale, options.encoder, overwrite=options.overwrite
        ) as sink:
            notices = (*info.notices, *sink.notices)
            announce(notices, self.on_notice, assumed=info.assumed, strict=options.strict)
            if not isinstance(sink, PictureWriter):
                size = info.height * options.scale, info.width * options.scale
                encoder = options.encoder or EncoderOptions()
                self.encoding = choose(encoder, self.target.suffix.lower(), info, *size)

    def begin(self, crew: Crew) -> None:
        """Look the source through and enter the plan, or take over what an earlier run entered."""
        journal, options, info = self.journal, self.options, self.reader.info
        journal.bind(_facts_of_runner(crew.info))
        tile = crew.settle(options, info.height, info.width)
        if not journal.begun:
            plan = make_plan(
                self.reader,
                segment_seconds=options.segment_seconds,
                scene_cuts=options.scene_cuts,
                on_frame=lambda count: self._say("plan", count, info.frame_count),
            )
            journal.begin(plan, tile, self.reader.report, crew.info)
        elif tile is not None and (journal.tile is None or tile < journal.tile):
            self.on_notice(
                f"less memory is free than before: from here on in tiles of {tile} pixels"
            )
            journal.change_tile(tile)

    def restore(self, crew: Crew) -> int:
        """Restore what is not finished; returns how many frames an earlier run had finished."""
        journal, job = self.journal, self._job
        segments = job.plan.segments
        pending = [s for s in segments if not journal.is_finished(s.index, job.path(s))]
        frames = Counter({s: s.count for s in segments if s not in pending})
        resumed = frames.total()
        if resumed:
            self.on_notice(
                f"going on where an earlier run stopped: {len(segments) - len(pending)} of"
                f" {len(segments)} segments ({resumed} of {job.plan.frames} frames) are finished"
            )
        started = time.monotonic()

        def say(segment: Segment | None) -> None:
            self.on_progress(
                Progress(
                    frames.total(),
                    job.plan.frames,
                    time.monotonic() - started,
                    resumed=resumed,
                    segment=None if segment is None else segment.index,
                    segments=len(segments),
                )
            )

        def on_frame(segment: Segment) -> None:
            frames[segment] += 1
            say(segment)

        def on_tile(tile: int) -> None:
            # Several workers may find out one after another.
            if journal.tile is None or tile < journal.tile:
                journal.change_tile(tile)
                self.on_notice(memory_notice(tile))

        def on_lost(segment: Segment) -> None:
            frames.pop(segment, None)

        say(None)
        listener = Listener(
            on_frame=on_frame,
            on_tile=on_tile,
            on_done=lambda segment: journal.enter(segment.index, job.path(segment)),
            on_lost=on_lost,
            on_notice=self.on_notice,
        )
        if pending:
            crew.restore(job, pending, listener)
        return resumed

    def join(self, on_damage: Callable[[str], None]) -> None:
        """Put the segments together and the output in its place."""
        journal, job, info = self.journal, self._job, self.reader.info
        paths = [job.path(segment) for segment in job.plan.segments]

        def on_segment(count: int) -> None:
            self._say("join", count, len(paths))

        if job.encoding is None:
            joined = join_pictures(paths, journal.folder / "joined", named=bool(info.pictures))
        else:
            path = journal.folder / f"joined{self.target.suffix.lower()}"
            frames = journal.plan.frames
            joined = join(
                paths,
                info,
                path,
                frames=frames,
                overwrite=True,
                on_segment=on_segment,
                on_damage=on_damage,
            )
        journal.enter_joined(joined)
        put_in_place(joined, self.target, overwrite=self.options.overwrite)

    @property
    def _job(self) -> Job:
        journal = self.journal
        source = self.reader.info.path
        return Job(source, journal.folder, self.options, self.encoding, journal.plan, journal.tile)

    def _say(self, phase: str, done: int, total: int | None) -> None:
        self.on_progress(Progress(done, total, time.monotonic() - self.started, phase=phase))


def join_pictures(segments: list[Path], target: Path, *, named: bool) -> Path:
    """All pictures of all segments in one new folder, counted through unless they have names.

    They are linked, so that the segments stay whole, or copied where the disk has no links.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    pictures = [
        picture
        for segment in segments
        for picture in sorted(segment.iterdir(), key=lambda file: natural_order(file.name))
    ]
    for number, picture in enumerate(pictures, 1):
        name = picture.name if named else f"frame_{number:06d}.png"
        try:
            os.link(picture, target / name)
        except OSError:
            shutil.copy2(picture, target / name)
    return target


def _facts_of_job(reader: FrameSource, options: RestoreOptions) -> dict[str, str]:
    """What the frames depend on, but for the network, as text by names a user knows."""
    values = {name: v for name, v in vars(options).items() if name not in _NOT_BOUND}
    values.update(asdict(options.encoder or EncoderOptions()))
    texts = {
        name.replace("_", "-"): json.dumps(value, default=str) for name, value in values.items()
    }
    return {**identity(reader.info.path), **texts, "version of vsrdb": __version__}


def _facts_of_runner(info: RunnerInfo) -> dict[str, str]:
    return {
        "weights": f"sha256 {info.sha256[:16]}" if info.sha256 else info.weights,
        "backend": info.backend,
        "precision": info.precision,
    }
