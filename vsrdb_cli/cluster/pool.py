"""The workers of a cluster: started on every node, checked, and counted."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.cluster.agreement import require_same
from vsrdb_cli.cluster.connection import KEPT_HINT, Cluster, Node, describe
from vsrdb_cli.cluster.worker import Loaded, Network, Worker
from vsrdb_cli.errors import BackendError, VsrdbError
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.report import NodeShare, OnNotice
from vsrdb_cli.pipeline.spec import RestoreSpec

# A worker that sends nothing for so long counts as lost; it sends a sign of life every two seconds.
SILENCE_SECONDS = 60.0
# Importing torch and loading a network takes this long on a slow, busy machine.
_START_SECONDS = 180.0
OUT_OF_MEMORY = "its memory ran out"
# What Ray's accounts come to.
_MEANINGS = {
    "actor is temporarily unavailable": "the connection to its node is lost",
    "node has died": "its node is gone",
    "node was terminated": "its node is gone",
    "worker process has died": "its process was killed",
}
# A node is excluded once so many of its workers have died while it lived.
_CRASHES = 3


@dataclass(eq=False)
class Task:
    """A segment at work."""

    segment: Segment
    stream: Any
    """The worker's messages, as Ray's references."""

    frames: int = 0
    """Frames reported so far."""


@dataclass(eq=False)
class WorkerHandle:
    """The driver's side of a worker."""

    node: Node
    actor: Any
    loading: Any
    """Ray's reference to what `Worker.load` will return."""

    loaded: Loaded = field(init=False)
    """The network it has loaded; known once it is admitted."""

    name: str = ""
    share: float = 1.0
    """Share of its device's free memory."""

    reads_source: bool = False
    """True if it can read the source itself."""

    tasks: deque[Task] = field(default_factory=deque)
    """The segment it restores, and the next one."""

    heard_at: float = 0.0
    """When its last message came, by the monotonic clock."""

    began_at: float = 0.0
    frames: int = 0
    segments: list[int] = field(default_factory=list)

    @property
    def device(self) -> str:
        return self.loaded.info.device

    @property
    def node_share(self) -> NodeShare:
        seconds = time.monotonic() - self.began_at
        rate = self.frames / seconds if self.began_at and seconds else 0.0
        return NodeShare(self.name, self.device, tuple(self.segments), rate)


class WorkerPool:
    """A worker on every node, or for each of its GPUs.

    Args:
        memory: bytes a worker needs at least.
        expected: facts in which every worker must agree with this machine.
        silence: seconds without a message after which a worker counts as lost.

    Attributes:
        on_notice: called with a line about nodes that are left out.
    """

    def __init__(
        self,
        cluster: Cluster,
        network: Network,
        memory: int,
        expected: dict[str, str],
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.cluster, self.ray = cluster, cluster.ray
        self.workers: list[WorkerHandle] = []
        self.silence = silence
        self.on_notice: OnNotice = ignore
        self._memory, self._expected = memory, expected
        self._network = self.ray.put(network)
        self._candidates: list[WorkerHandle] = []
        self._excluded: set[str] = set()
        self._crashes: Counter[str] = Counter()
        self._past: list[WorkerHandle] = []

    @property
    def shares(self) -> tuple[NodeShare, ...]:
        """The share of each worker, those that are gone included."""
        all_of_them = [*self._past, *self.workers]
        return tuple(
            worker.node_share for worker in all_of_them if worker.segments or worker.frames
        )

    def start(self) -> None:
        """Start a worker on every node that can take one, and wait until they are ready.

        Raises:
            VsrdbError: there is none, or they differ.
        """
        self.start_missing()
        begun = time.monotonic()
        while self._candidates:
            for worker in self.arrived(timeout=1.0):
                self.admit(worker)
            if time.monotonic() - begun > _START_SECONDS:
                if not self.workers:
                    break
                late = ", ".join(worker.node.name for worker in self._candidates)
                self.on_notice(
                    f"continuing without {late}: no worker has started there; is it busy?"
                )
                break
        if not self.workers:
            raise BackendError(
                "no worker could be started on the cluster, which has"
                f" {describe(self.cluster.nodes())}; one needs {self._memory / 2**30:.1f} GiB",
                hint="see what is in use: ray status",
            )

    def start_missing(self) -> None:
        """Start workers on nodes that have none.

        Raises:
            BackendError: the cluster is gone, or no node is left.
        """
        self.cluster.check_alive()
        taken = {worker.node.id for worker in (*self.workers, *self._candidates)}
        for node in self.cluster.nodes():
            if node.id in taken or node.id in self._excluded:
                continue
            if node.memory < self._memory:
                self._exclude(
                    node,
                    f"it offers {node.memory / 2**30:.1f} GiB of memory, and a worker needs"
                    f" {self._memory / 2**30:.1f} GiB",
                )
                continue
            for actor in self.cluster.start_actors(Worker, node, self._memory):
                loading = actor.load.remote(self._network)
                self._candidates.append(WorkerHandle(node, actor, loading))
        if not self.workers and not self._candidates:
            raise BackendError("no node of the Ray cluster is left to work on", hint=KEPT_HINT)

    def arrived(self, timeout: float = 0.0) -> Iterator[WorkerHandle]:
        """Yield candidates that have loaded their network, or failed to."""
        if not self._candidates:
            return
        waiting = {worker.loading: worker for worker in self._candidates}
        ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=timeout)
        for loading in ready:
            self._candidates.remove(waiting[loading])
            yield waiting[loading]

    def admit(self, worker: WorkerHandle) -> None:
        """Add a candidate that has arrived to the workers.

        Raises:
            VsrdbError: it failed to load, or differs from this machine or from the other workers.
        """
        loaded = self.answer(worker, worker.loading)
        expected = self._expected | (self.workers[0].loaded.facts if self.workers else {})
        require_same("this machine", expected, worker.node.name, loaded.facts)
        worker.loaded = loaded
        names = {other.name for other in (*self._past, *self.workers)}
        host, own = loaded.host, f"{loaded.host}-{worker.node.id[:6]}"
        possible = chain((host, own), (f"{own}-{number}" for number in count(2)))
        worker.name = next(name for name in possible if name not in names)
        self.workers.append(worker)

    def prepare(self, worker: WorkerHandle, spec: RestoreSpec) -> int | None:
        """Return the side of tiles that fits on a worker's device; None for whole pictures."""
        if worker.device == "cpu":
            hosts = [w.loaded.host for w in self.workers if w.device == "cpu"]
            worker.share = 1 / hosts.count(worker.loaded.host)
        call = worker.actor.prepare.remote(replace(spec, share=worker.share))
        side: int | None = self.answer(worker, call)
        return side

    def answer(self, worker: WorkerHandle, call: Any) -> Any:
        """Return what a worker's method returns.

        Raises:
            VsrdbError: the method failed, or the worker is gone.
        """
        errors = self.ray.exceptions
        end = time.monotonic() + self.silence
        try:
            while not self.ray.wait([call], timeout=1.0)[0]:  # in short waits: Ctrl-C ends them
                if time.monotonic() > end:
                    raise BackendError(f"{worker.node.name} does not answer", hint="ray status")
            return self.ray.get(call)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise BackendError(
                f"the worker on {worker.node.name} ended: {reason(error)}",
                hint=f"install vsrdb {self._expected['vsrdb']} there, or add --ray-ship-code",
            ) from error

    def drop(self, worker: WorkerHandle, why: str | None = None) -> None:
        """End a worker and continue without it.

        Args:
            why: it died on a node that lives; None where the node is gone.
        """
        self.ray.kill(worker.actor)
        self.workers.remove(worker)
        self._past.append(worker)
        if why is None:
            return
        self._crashes[worker.node.id] += 1
        if self._crashes[worker.node.id] >= _CRASHES:
            self._exclude(worker.node, f"its workers keep ending ({why})")

    def reject(self, worker: WorkerHandle, error: VsrdbError) -> None:
        """End a candidate that joined during a run and cannot be used; exclude its node."""
        self.ray.kill(worker.actor)
        self._exclude(worker.node, str(error))

    def reset_counts(self) -> None:
        """Set all counts to 0 for the next video."""
        self._past.clear()
        for worker in self.workers:
            worker.tasks.clear()
            worker.segments, worker.frames, worker.began_at = [], 0, 0.0

    def stop(self) -> None:
        """End all workers."""
        for worker in (*self.workers, *self._candidates):
            self.ray.kill(worker.actor)
        self._past += self.workers
        self.workers, self._candidates = [], []

    def _exclude(self, node: Node, why: str) -> None:
        self._excluded.add(node.id)
        self.on_notice(f"{node.name} is left out: {why}")


def reason(error: Exception) -> str:
    """Return Ray's long account of an error in one line."""
    text = str(error)
    if "NODE_OUT_OF_MEMORY" in text:
        return OUT_OF_MEMORY
    if "No module named" in text:
        return text[text.index("No module named") :].splitlines()[0]
    for phrase, meaning in _MEANINGS.items():
        if phrase in text:
            return meaning
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].partition(". ")[0] if lines else type(error).__name__
