"""The executor on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import METHODS
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.cluster.agreement import facts_of_network, versions
from vsrdb_cli.cluster.connection import connected
from vsrdb_cli.cluster.distribution import Distribution
from vsrdb_cli.cluster.pool import SILENCE_SECONDS, WorkerPool
from vsrdb_cli.cluster.worker import Settings
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import pipeline_bytes
from vsrdb_cli.pipeline.tiling import least_memory
from vsrdb_cli.video.frame import FrameSource


class RayExecutor:
    """Workers on all nodes of a Ray cluster.

    A `Executor`. Preparing for the first video connects, and loads the network everywhere; leaving
    the context ends the workers. Nodes that join later get work, and what a lost one had is done
    elsewhere.

    Args:
        options: `ray` names the cluster.
        verbose: Ray's own lines are shown.
        shared: whether nodes read a source that they find at the same path; else it is sent.
        silence: seconds after which a worker that says nothing is given up.

    Raises:
        VsrdbError: Ray or the cluster cannot be had, or its nodes would compute differently.
    """

    def __init__(
        self,
        options: RestoreOptions,
        *,
        verbose: bool = False,
        shared: bool = True,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        if options.backend not in ("auto", "torch"):
            raise OptionError(
                f"--ray and --backend {options.backend} exclude each other",
                hint="on a cluster the network runs in torch; omit --backend",
            )
        if ":" in options.device:
            raise OptionError(
                f"--ray and --device {options.device} exclude each other",
                hint="the cluster chooses among GPUs; use --device cuda",
            )
        self._options = options
        self._verbose, self._shared, self._silence = verbose, shared, silence
        self._stack = ExitStack()
        self._runner: Runner | None = None
        self._pool: WorkerPool | None = None
        self._notices: list[str] = []

    @property
    def info(self) -> RunnerInfo:
        """What runs; its device names those of all workers."""
        workers = self._working.workers
        first = workers[0].introduction
        assert first is not None
        devices = ",".join(f"{worker.name}/{worker.device}" for worker in workers)
        return replace(first.info, device=devices)

    @property
    def notices(self) -> tuple[str, ...]:
        return ()

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        return () if self._pool is None else self._pool.shares

    def prepare(self, options: RestoreOptions, size: tuple[int, int], bit_depth: int) -> int | None:
        if self._pool is None:
            self._pool = self._assemble(options, size, bit_depth)
        pool = self._working
        pool.say = self._notices.append
        try:
            pool.gather()
            sides = [pool.prepare(worker, options, size, bit_depth) for worker in pool.workers]
        except BaseException:
            pool.disband()
            raise
        return min((side for side in sides if side is not None), default=None)

    def _assemble(
        self, options: RestoreOptions, size: tuple[int, int], bit_depth: int
    ) -> WorkerPool:
        connection = connected(
            str(options.ray), verbose=self._verbose, ship_code=options.ray_ship_code
        )
        ray = self._stack.enter_context(connection)
        self._runner, settings = _load(self._options)
        _, network = least_memory(self._runner, *size)
        needed = network + pipeline_bytes(*size, scale=options.scale, bit_depth=bit_depth)
        ours = versions() | {"weights": facts_of_network(self._runner.info)["weights"]}
        return WorkerPool(ray, settings, needed, ours, self._silence)

    def restore(
        self, job: Job, segments: Sequence[Segment], reader: FrameSource, listener: Listener
    ) -> None:
        pool = self._working
        assert self._runner is not None
        for notice in self._notices:
            listener.on_notice(notice)
        self._notices.clear()
        pool.say = listener.on_notice
        try:
            distribution = Distribution(
                pool,
                job,
                segments,
                reader,
                listener,
                reach=self._runner.length // 2,
                shared=self._shared,
            )
            distribution.run()
        except BaseException:
            pool.disband()
            raise

    @property
    def _working(self) -> WorkerPool:
        assert self._pool is not None
        return self._pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.disband()
        self._stack.close()


def _load(options: RestoreOptions) -> tuple[Runner, Settings]:
    """The network here, to estimate with, and what workers load."""
    if options.weights in METHODS:
        return load_runner(options.weights), Settings(
            options.weights, None, options.device, options.precision
        )
    checkpoint = load_checkpoint(options.weights)
    content = checkpoint.path.read_bytes()
    settings = Settings(checkpoint.name, content, options.device, options.precision)
    return TorchRunner(checkpoint, "cpu", "float32"), settings
