"""Restores a video: opens it, chooses an executor, and runs."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.disks import resumable
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.executor import Executor, LocalExecutor
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.processes import ProcessExecutor
from vsrdb_cli.jobs.report import OnNotice, OnProgress, Phase, RestoreReport, RunLog
from vsrdb_cli.jobs.run import is_divisible, restore_source
from vsrdb_cli.names import check_length
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.open import open_requested

# Options that a runner replaces.
_OPTIONS_OF_RUNNER = ("weights", "backend", "device", "precision", "devices", "ray")


def restore_video(
    source: Path | str,
    target: Path | str,
    options: RestoreOptions | None = None,
    *,
    runner: Runner | None = None,
    executor: Executor | None = None,
    on_notice: OnNotice = ignore,
    on_progress: OnProgress = ignore,
    on_detail: OnNotice = ignore,
) -> RestoreReport:
    """Restore a video, a picture or a folder of pictures and write it, enlarged, to `target`.

    Reading, network and writing overlap in three threads. `target` appears only when it is whole.
    An interrupted run of a short video leaves nothing behind; one of a video longer than a segment
    leaves the finished segments in a folder beside `target`, from which the next run continues.

    Args:
        source: a video, a picture, or a folder of pictures.
        target: file name of a video, or a folder for pictures; must not exist, unless `overwrite`.
        options: see `RestoreOptions`.
        runner: a loaded network, in place of `options.weights`, `backend`, `device`, `precision`,
            `devices` and `ray`.
        executor: from `make_executor`, for several videos; by default one is made for this video.
        on_notice: called before the work with a line for everything that is changed or dropped.
        on_progress: called after every frame.
        on_detail: called with a line for details. All three are called in the caller's thread.

    Raises:
        OptionError: `runner` was given together with an option that it replaces.
        VsrdbError: any other error that the user can put right; before the work where possible.
    """
    options = options or RestoreOptions()
    for path in (source, target):
        check_length(Path(path))
    log = RunLog(on_notice, on_progress, on_detail)
    with resumable(target), ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(make_executor(options, runner))
        known = _identity(Path(source))  # before it is opened: a later replacement is noticed
        reader = stack.enter_context(
            open_requested(
                Path(source),
                options,
                on_frame=lambda done, total: log.phase(Phase.FILM, done, total),
            )
        )
        if options.is_distributed and not is_divisible(reader.info, Path(target)):
            if options.ray:
                log.notice("restored on this machine: it cannot be divided for a cluster")
            options = options.on_one_device()
            executor = LocalExecutor(options)
        return restore_source(reader, Path(target), options, executor, log, known=known)


def _identity(source: Path) -> dict[str, str]:
    """Return the identity of a readable file or folder; opening reports why others are not."""
    with suppress(FileNotFoundError, PermissionError):
        if source.is_file() or source.is_dir():
            return identity(source)
    return {}


def make_executor(
    options: RestoreOptions, runner: Runner | None = None, *, verbose: bool = False
) -> Executor:
    """Create the executor that the options ask for; a context manager that serves many videos.

    Args:
        runner: a loaded network, which is run in this process.
        verbose: show a cluster's own messages.

    Raises:
        OptionError: options cannot be used together.
    """
    if runner is not None:
        default = RestoreOptions()
        for name in _OPTIONS_OF_RUNNER:
            if getattr(options, name) != getattr(default, name):
                raise OptionError(
                    f"{name} and runner= cannot be used together",
                    hint=f"omit {name}: the runner decides it",
                )
    if options.ray:
        from vsrdb_cli.cluster.executor import RayExecutor  # here, so that nothing else imports Ray

        return RayExecutor(options, verbose=verbose)
    return ProcessExecutor(options) if options.devices else LocalExecutor(options, runner)
