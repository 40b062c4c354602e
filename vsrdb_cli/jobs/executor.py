"""Executors restore segments: in this process, in several, or on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.jobs.events import OnEvent
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.jobs.segments import Job, restore_segments
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import resolve_tile
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import Tiling
from vsrdb_cli.video.frame import FrameSource


class Executor(Protocol):
    """Loads a network and restores segments with it, of one video after another.

    A context manager. For each video call `prepare`, then `restore`.
    """

    @property
    def info(self) -> RunnerInfo:
        """The runner in use; known once `prepare` has been called."""

    @property
    def length(self) -> int:
        """T, the frames of a window; known likewise."""

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        """The share of each node of a cluster; empty without one."""
        return ()

    @property
    def notices(self) -> Sequence[str]:
        """Repairs that loading the network took, one line each."""
        return ()

    def prepare(self, spec: RestoreSpec) -> int | None:
        """Load the network, if it is not loaded, and return the side of tiles that fits everywhere.

        Raises:
            VsrdbError: the network cannot be loaded, or the smallest tiles do not fit.
        """

    def restore(
        self, job: Job, segments: Sequence[Segment], reader: FrameSource, on_event: OnEvent
    ) -> None:
        """Restore segments, in any order.

        Args:
            reader: of the job's source, for an executor that reads it in this process.
            on_event: called in this thread.

        Raises:
            VsrdbError: a segment could not be restored; finished segments are kept.
        """

    def close(self) -> None:
        """End all workers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class LocalExecutor(Executor):
    """Restores in this process.

    Args:
        options: name the network.
        runner: loaded already, and used for every video.
        load: loads a network, as `load_runner` does.
    """

    def __init__(
        self,
        options: RestoreOptions,
        runner: Runner | None = None,
        *,
        load: Callable[..., Runner] = load_runner,
    ) -> None:
        self._options, self._load_runner = options, load
        self._given, self._runner = runner, runner
        self._notices: list[str] = []

    @property
    def info(self) -> RunnerInfo:
        return self.runner.info

    @property
    def length(self) -> int:
        return self.runner.length

    @property
    def notices(self) -> Sequence[str]:
        return self._notices

    @property
    def runner(self) -> Runner:
        """The network; known once `prepare` has been called."""
        assert self._runner is not None
        return self._runner

    def prepare(self, spec: RestoreSpec) -> int | None:
        if self._given is None:
            self._load(spec)
        return resolve_tile(self.runner, spec)

    def _load(self, spec: RestoreSpec) -> None:
        size = spec.size
        if isinstance(spec.tile, int):
            size = Tiling.of(*size, spec.tile).tile_size
        if self._runner is not None and not self._runner.takes(*size):
            self._runner = None  # an engine for other sizes; two would not fit into memory
        options = self._options
        self._runner = self._load_runner(
            options.weights,
            backend=options.backend,
            device=options.device,
            precision=options.precision,
            size=size,
            loaded=self._runner,
            on_notice=self._notices.append,
        )

    def restore(
        self,
        job: Job,
        segments: Iterable[Segment | None],
        reader: FrameSource,
        on_event: OnEvent,
    ) -> None:
        """Restore segments; a None among them means that the next one is not known yet."""
        restore_segments(job, segments, reader, self.runner, on_event)

    def close(self) -> None:
        """Do nothing; the network is freed with this object."""
