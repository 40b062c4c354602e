"""The workers of a cluster: started on every node, compared, and counted."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from vsrdb_cli.cluster.agreement import require_same
from vsrdb_cli.cluster.connection import KEPT_HINT, Node, actor_on, check_alive, describe, nodes
from vsrdb_cli.cluster.worker import Introduction, Settings, Worker
from vsrdb_cli.errors import BackendError, VsrdbError
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.options import RestoreOptions

OnLine = Callable[[str], None]

# How long nothing may be heard of a worker, which says every two seconds that it lives.
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
# Workers that die on a node that lives, until it is left alone.
_CRASHES = 3


@dataclass(eq=False)
class Task:
    """A segment under way; stream: of what its worker says. frames: told so far."""

    segment: Segment
    stream: Any
    frames: int = 0


@dataclass(eq=False)
class WorkerHandle:
    """Our end of a worker.

    reads: whether it can read the source itself. tasks: the one at work, and the next. heard: when
    it last said anything.
    """

    node: Node
    actor: Any
    loading: Any
    introduction: Introduction | None = None
    name: str = ""
    reads: bool = False
    tasks: deque[Task] = field(default_factory=deque)
    heard: float = 0.0
    began: float = 0.0
    frames: int = 0
    segments: list[int] = field(default_factory=list)

    @property
    def device(self) -> str:
        assert self.introduction is not None
        return self.introduction.info.device

    @property
    def host(self) -> str:
        assert self.introduction is not None
        return self.introduction.host

    @property
    def share(self) -> NodeShare:
        seconds = time.monotonic() - self.began
        rate = self.frames / seconds if self.began and seconds else 0.0
        return NodeShare(self.name, self.device, tuple(self.segments), rate)


class WorkerPool:
    """A worker on every node, or for each of its GPUs.

    Args:
        memory: bytes a worker needs at least.
        expected: what every worker must agree in with this machine.
    """

    def __init__(
        self, ray: Any, settings: Settings, memory: int, expected: dict[str, str], silence: float
    ) -> None:
        self.ray = ray
        self.workers: list[WorkerHandle] = []
        self.silence = silence
        self.say: OnLine = lambda line: None  # noqa: ARG005
        self.memory = memory
        self._settings = ray.put(settings)
        self._expected = expected
        self._candidates: list[WorkerHandle] = []
        self._left_out: set[str] = set()
        self._crashes: Counter[str] = Counter()
        self._past: list[WorkerHandle] = []

    @property
    def shares(self) -> tuple[NodeShare, ...]:
        """What each has done; also of those that are gone."""
        working = [*self._past, *self.workers]
        return tuple(worker.share for worker in working if worker.segments or worker.frames)

    def gather(self) -> None:
        """Have a worker ready on every node that can take one.

        Raises:
            VsrdbError: there is none, or they differ.
        """
        self.recruit()
        begun = time.monotonic()
        while self._candidates:
            for worker in self.arrived(timeout=1.0):
                self.admit(worker)
            if time.monotonic() - begun > _START_SECONDS:
                if not self.workers:
                    break
                late = ", ".join(worker.node.name for worker in self._candidates)
                self.say(f"continuing without {late}: no worker has started there; is it busy?")
                break
        if not self.workers:
            found = describe(nodes(self.ray))
            raise BackendError(
                f"no worker could be started on the cluster, which has {found}; one needs"
                f" {self.memory / 2**30:.1f} GiB",
                hint="see what is in use: ray status",
            )

    def recruit(self) -> None:
        """Start workers on nodes that have none.

        Raises:
            BackendError: the cluster is gone.
        """
        check_alive(self.ray)
        taken = {worker.node.id for worker in (*self.workers, *self._candidates)}
        for node in nodes(self.ray):
            if node.id in taken or node.id in self._left_out:
                continue
            if node.memory < self.memory:
                self._leave_out(
                    node,
                    f"it offers {node.memory / 2**30:.1f} GiB of memory, and a worker needs"
                    f" {self.memory / 2**30:.1f} GiB",
                )
                continue
            for actor in actor_on(self.ray, Worker, node, self.memory):
                loading = actor.load.remote(self._settings)
                self._candidates.append(WorkerHandle(node, actor, loading))
        if not self.workers and not self._candidates:
            raise BackendError("no node of the Ray cluster is left to work on", hint=KEPT_HINT)

    def arrived(self, timeout: float = 0.0) -> Iterator[WorkerHandle]:
        """Those whose network has been loaded, or who failed to."""
        if not self._candidates:
            return
        waiting = {worker.loading: worker for worker in self._candidates}
        ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=timeout)
        for loading in ready:
            self._candidates.remove(waiting[loading])
            yield waiting[loading]

    def admit(self, worker: WorkerHandle) -> None:
        """Make an arrived candidate a worker.

        Raises:
            VsrdbError: it failed to load, or differs from this machine or the other workers.
        """
        introduction = self.answer(worker, worker.loading)
        expected = dict(self._expected)
        if self.workers:
            assert self.workers[0].introduction is not None
            expected |= self.workers[0].introduction.facts
        require_same("this machine", expected, worker.node.name, introduction.facts)
        worker.introduction = introduction
        names = {other.name for other in (*self._past, *self.workers)}
        host, own = introduction.host, f"{introduction.host}-{worker.node.id[:6]}"
        possible = chain((host, own), (f"{own}-{number}" for number in count(2)))
        worker.name = next(name for name in possible if name not in names)
        self.workers.append(worker)

    def prepare(
        self, worker: WorkerHandle, options: RestoreOptions, size: tuple[int, int], bit_depth: int
    ) -> int | None:
        """The side of tiles that fits on a worker's device."""
        alike = [m for m in self.workers if m.host == worker.host and m.device == "cpu"]
        share = 1 / len(alike) if worker.device == "cpu" else 1.0
        call = worker.actor.prepare.remote(options, size, bit_depth, share)
        side: int | None = self.answer(worker, call)
        return side

    def answer(self, worker: WorkerHandle, call: Any) -> Any:
        """What a worker answers.

        Raises:
            VsrdbError: what it could not do, or that it is gone.
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
                hint=f"vsrdb must be installed there, in version {self._expected['vsrdb']};"
                " or add --ray-ship-code",
            ) from error

    def dismiss(self, worker: WorkerHandle, why: str | None = None) -> None:
        """Do without a worker. why: it died, or is silent."""
        self.ray.kill(worker.actor)
        self.workers.remove(worker)
        self._past.append(worker)
        if why is None:
            return
        self._crashes[worker.node.id] += 1
        if self._crashes[worker.node.id] >= _CRASHES:
            self._leave_out(worker.node, f"its workers keep ending ({why})")

    def reject(self, worker: WorkerHandle, error: VsrdbError) -> None:
        """Leave out the node of a candidate that came late and cannot be used."""
        self.ray.kill(worker.actor)
        self._leave_out(worker.node, str(error))

    def turn_to_next(self) -> None:
        """Begin counting anew, for another video."""
        self._past.clear()
        for worker in self.workers:
            worker.tasks.clear()
            worker.segments, worker.frames, worker.began = [], 0, 0.0

    def disband(self) -> None:
        """End all workers."""
        for worker in (*self.workers, *self._candidates):
            self.ray.kill(worker.actor)
        self._past += self.workers
        self.workers, self._candidates = [], []

    def _leave_out(self, node: Node, why: str) -> None:
        self._left_out.add(node.id)
        self.say(f"{node.name} is left out: {why}")


def reason(error: Exception) -> str:
    """Ray's long account of an error in one line."""
    text = str(error)
    if "NODE_OUT_OF_MEMORY" in text:
        return OUT_OF_MEMORY
    if "No module named" in text:
        return text[text.index("No module named") :].splitlines()[0]
    for words, meaning in _MEANINGS.items():
        if words in text:
            return meaning
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].partition(". ")[0] if lines else type(error).__name__
