"""Restoring a video: opened, settled, and handed to whoever runs the network."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.disks import resumable
from vsrdb_cli.jobs.executor import Executor, LocalExecutor
from vsrdb_cli.jobs.processes import ProcessExecutor
from vsrdb_cli.jobs.report import OnNotice, OnProgress, RestoreReport, RunLog
from vsrdb_cli.jobs.run import is_divided, restore_at_once, restore_in_segments
from vsrdb_cli.names import check_length
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.open import open_for


def restore_video(
    source: Path | str,
    target: Path | str,
    options: RestoreOptions | None = None,
    *,
    runner: Runner | None = None,
    executor: Executor | None = None,
    on_notice: OnNotice = lambda notice: None,  # noqa: ARG005
    on_progress: OnProgress = lambda progress: None,  # noqa: ARG005
    on_detail: OnNotice = lambda detail: None,  # noqa: ARG005
) -> RestoreReport:
    """Restore a video file or folder of pictures and write it, larger, to `target`.

    Reading, network and writing overlap in three threads. `target` appears only when it is whole.
    What ends the run earlier leaves nothing behind of a short video; of one longer than a segment
    the finished segments, in a folder beside `target`, from which the next run goes on.

    Args:
        source: a video, a picture, or a folder of pictures.
        target: a video's file name, or a folder for pictures; not there yet, unless `overwrite`.
        options: see `RestoreOptions`.
        runner: loaded already (`options.weights`, backend, device and precision are then not read).
        executor: from `make_executor`, for several videos; else made for this one.
        on_notice: called before the work with one line for all that is changed or dropped.
        on_progress: called after every frame.
        on_detail: called with one line for what only a curious user wants to know; all three in
            the caller's thread.

    Raises:
        VsrdbError: whatever a user can put right, before any work where it can be known before.
    """
    options = options or RestoreOptions()
    for path in (source, target):
        check_length(Path(path))
    log = RunLog(on_notice, on_progress, on_detail)
    with resumable(target), ExitStack() as stack:
        reader = stack.enter_context(open_for(Path(source), options))
        divided = is_divided(reader.info, Path(target), options)
        if not divided and (options.devices or options.ray):  # a single picture, or a stream
            if options.ray:
                log.say("restored on this machine: it cannot be divided for a cluster")
            device = options.devices[0] if options.devices else options.device
            options = replace(options, device=device, devices=(), ray=None, ray_ship_code=False)
            executor = None
        if executor is None:
            executor = stack.enter_context(make_executor(options, runner))
        restore = restore_in_segments if divided else restore_at_once
        return restore(reader, Path(target), options, executor, log)


def make_executor(
    options: RestoreOptions, runner: Runner | None = None, *, verbose: bool = False
) -> Executor:
    """Whoever restores with these options; a context manager that can serve many videos.

    Args:
        verbose: a cluster's own messages are shown.
    """
    if options.ray and runner is None:
        from vsrdb_cli.cluster.executor import RayExecutor  # here, so that nothing else imports Ray

        return RayExecutor(options, verbose=verbose)
    if options.devices and runner is None:
        return ProcessExecutor(options)
    return LocalExecutor(options, runner)
