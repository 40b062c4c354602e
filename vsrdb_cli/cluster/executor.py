"""The executor of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.checkpoints.registry import METHODS
from vsrdb_cli.cluster.agreement import versions
from vsrdb_cli.cluster.connection import connected
from vsrdb_cli.cluster.distribution import Distribution
from vsrdb_cli.cluster.pool import SILENCE_SECONDS, WorkerPool
from vsrdb_cli.cluster.worker import Network
from vsrdb_cli.device_kinds import is_torchs
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.events import Notice, OnEvent
from vsrdb_cli.jobs.executor import Executor
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import least_bytes
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.video.frame import FrameSource


class RayExecutor(Executor):
    """Restores on all nodes of a Ray cluster.

    Preparing for the first video connects to the cluster and loads the network everywhere. Nodes
    that join later get work, and the segments of a lost one are restored elsewhere.

    Args:
        options: `ray` names the cluster.
        verbose: show Ray's own messages.
        shared: nodes read a source that they find under the same path; else it is always sent.
        silence: seconds without a message after which a worker counts as lost.

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
                f"--ray and --backend {options.backend} cannot be used together",
                hint="on a cluster the network runs in torch; omit --backend",
            )
        if not is_torchs(options.device):
            raise OptionError(
                f"--ray and --device {options.device} cannot be used together",
                hint="on a cluster the network runs in torch; omit --device",
            )
        if ":" in options.device:
            raise OptionError(
                f"--ray and --device {options.device} cannot be used together",
                hint="the cluster chooses among GPUs;"
                f" use --device {options.device.partition(':')[0]}",
            )
        self._options = options
        self._verbose, self._shared, self._silence = verbose, shared, silence
        self._stack = ExitStack()
        self._runner: Runner | None = None
        self._pool: WorkerPool | None = None
        self._notices: list[str] = []

    @property
    def info(self) -> RunnerInfo:
        """The runner in use; its device lists those of all workers."""
        assert self._pool is not None
        workers = self._pool.workers
        devices = ",".join(f"{worker.name}/{worker.device}" for worker in workers)
        return replace(workers[0].loaded.info, device=devices)

    @property
    def length(self) -> int:
        assert self._runner is not None
        return self._runner.length

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        return () if self._pool is None else self._pool.shares

    def prepare(self, spec: RestoreSpec) -> int | None:
        if self._pool is None:
            self._pool = self._connect(spec)
        pool = self._pool
        pool.on_notice = self._notices.append
        try:
            pool.start()
            sides = [pool.prepare(worker, spec) for worker in pool.workers]
        except BaseException:
            pool.stop()
            raise
        return min((side for side in sides if side is not None), default=None)

    def _connect(self, spec: RestoreSpec) -> WorkerPool:
        options = self._options
        cluster = self._stack.enter_context(
            connected(str(options.ray), verbose=self._verbose, ship_code=options.ray_ship_code)
        )
        # Here only to learn what it needs; workers load their own.
        runner = load_runner(options.weights, backend="torch", device="cpu", precision="float32")
        expected = versions() | {"weights": runner.info.facts["weights"]}
        network = Network(options.weights, None, options.device, options.precision)
        if options.weights not in METHODS:
            checkpoint = load_checkpoint(options.weights)
            content = checkpoint.path.read_bytes()
            network = replace(network, weights=checkpoint.name, content=content)
        self._runner = runner
        return WorkerPool(cluster, network, least_bytes(runner, spec), expected, self._silence)

    def restore(
        self, job: Job, segments: Sequence[Segment], reader: FrameSource, on_event: OnEvent
    ) -> None:
        pool = self._pool
        assert pool is not None
        for notice in self._notices:
            on_event(Notice(notice))
        self._notices.clear()
        pool.on_notice = lambda line: on_event(Notice(line))
        try:
            Distribution(pool, job, segments, reader, on_event, shared=self._shared).run()
        except BaseException:
            pool.stop()
            raise

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()
        self._stack.close()
