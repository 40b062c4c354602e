"""Segments shared out among a cluster's workers, and brought home whatever becomes of these."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsrdb_cli.cluster.agreement import encoder_facts, require_same
from vsrdb_cli.cluster.connection import KEPT_HINT
from vsrdb_cli.cluster.pool import OUT_OF_MEMORY, Task, WorkerHandle, WorkerPool, reason
from vsrdb_cli.cluster.worker import Files
from vsrdb_cli.errors import BackendError, VsrdbError
from vsrdb_cli.files import remove, whole
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.pipeline.tiling import smaller_side
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.reading.excerpt import Excerpt, Excerpts, excerpts_of

# One at work, and one whose bytes are on their way meanwhile.
_IN_FLIGHT = 2
_ATTEMPTS = 3
# How often to look for nodes that have joined, and whether the cluster is there at all.
_RENEW_SECONDS = 5.0


class Distribution:
    """One job on a pool.

    Args:
        reach: frames of context on either side of a segment.
        shared: whether nodes may read the source themselves, where they can.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: Job,
        segments: Sequence[Segment],
        reader: FrameSource,
        listener: Listener,
        *,
        reach: int,
        shared: bool = True,
    ) -> None:
        self._pool, self._ray = pool, pool.ray
        self._job, self._reader, self._listener, self._reach = job, reader, listener, reach
        self._pending = deque(segments)
        self._failures: Counter[int] = Counter()
        self._source = identity(job.source) if shared else None
        self._encoder = encoder_facts(job.output, job.options.scale)
        self._excerpts: Excerpts | None = None
        self._limits: dict[str, int] = {}  # sides of tiles on nodes whose memory ran out
        self._renewed = time.monotonic()

    def run(self) -> None:
        """Have all segments restored.

        Raises:
            VsrdbError: a segment failed everywhere, or no workers are left.
        """
        self._pool.turn_to_next()
        for worker in self._pool.workers:
            self._take_up(worker)
        while self._pending or any(worker.tasks for worker in self._pool.workers):
            self._renew()
            self._hand_out()
            self._hear()
            self._look_for_silent()

    def _take_up(self, worker: WorkerHandle) -> None:
        size = self._job.output.info.height, self._job.output.info.width
        sides = [self._job.tile, self._limits.get(worker.node.id)]
        tile = min((side for side in sides if side is not None), default=None)
        job = replace(self._job, tile=tile if tile is None or tile < max(size) else None)
        call = worker.actor.take_up.remote(job, self._source)
        worker.reads, encoder = self._pool.answer(worker, call)
        require_same("this machine", self._encoder, worker.name, encoder)

    def _renew(self) -> None:
        """Take in workers of nodes that have joined or come back."""
        pool = self._pool
        due = time.monotonic() - self._renewed > _RENEW_SECONDS
        if due or not pool.workers:
            self._renewed = time.monotonic()
            pool.recruit()
        for worker in pool.arrived(timeout=0.0 if pool.workers else 1.0):
            try:
                pool.admit(worker)
            except VsrdbError as error:
                pool.reject(worker, error)
                continue
            try:
                self._fit(worker)
                self._take_up(worker)
            except VsrdbError as error:
                pool.dismiss(worker)
                pool.reject(worker, error)
                continue
            self._listener.on_notice(f"{worker.name} ({worker.device}) has joined")

    def _fit(self, worker: WorkerHandle) -> None:
        info = self._job.output.info
        side = self._pool.prepare(
            worker, self._job.options, (info.height, info.width), self._job.output.bit_depth
        )
        if side is not None:
            self._limits[worker.node.id] = min(side, self._limits.get(worker.node.id, side))

    def _hand_out(self) -> None:
        pool = self._pool
        while self._pending and pool.workers:
            worker = min(pool.workers, key=lambda worker: len(worker.tasks))
            # The last segments wait for whoever is free first.
            most = _IN_FLIGHT if len(self._pending) > len(pool.workers) else 1
            if len(worker.tasks) >= most:
                return
            segment = self._pending.popleft()
            excerpt = None if worker.reads else self._excerpt(segment)
            now = time.monotonic()
            worker.began = worker.began or now
            if not worker.tasks:
                worker.heard = now
            restore = worker.actor.restore.options(num_returns="streaming")
            worker.tasks.append(Task(segment, restore.remote(segment, excerpt)))

    def _excerpt(self, segment: Segment) -> Excerpt:
        if self._excerpts is None:
            self._excerpts = excerpts_of(self._reader)
        assert segment.last is not None
        return self._excerpts.excerpt(segment.first - self._reach, segment.last + self._reach)

    def _hear(self) -> None:
        """Wait a moment for the next thing any worker says."""
        streams = {
            task.stream: (worker, task) for worker in self._pool.workers for task in worker.tasks
        }
        if not streams:
            return
        ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=1.0)
        for stream in ready:
            self._take(*streams[stream])

    def _take(self, worker: WorkerHandle, task: Task) -> None:
        errors = self._ray.exceptions
        worker.heard = time.monotonic()
        try:
            kind, value = self._ray.get(next(task.stream), timeout=self._pool.silence)
        except errors.RayTaskError as error:
            worker.tasks.remove(task)
            self._fail(worker, task, error.cause)
        except (errors.RayError, StopIteration) as error:
            self._bury(worker, error)
        else:
            self._act(worker, task, kind, value)

    def _act(self, worker: WorkerHandle, task: Task, kind: str, value: Any) -> None:
        match kind:
            case "frame":
                task.frames += 1
                worker.frames += 1
                self._listener.on_frame(task.segment)
            case "tile":
                self._listener.on_tile(value)
            case "done":
                files, lost = value
                worker.tasks.remove(task)
                if any(not _is_plain(name) for name in files):
                    cause = BackendError("it sent files of names that no segment has")
                    self._fail(worker, task, cause)
                    return
                _keep(self._job.path(task.segment), files)
                worker.segments.append(task.segment.index)
                self._listener.on_done(task.segment, lost)

    def _fail(self, worker: WorkerHandle, task: Task, cause: Exception) -> None:
        """A segment that could not be restored is tried again, but not for ever."""
        segment = task.segment
        self._failures[segment.index] += 1
        if self._failures[segment.index] >= _ATTEMPTS:
            raise BackendError(
                f"segment {segment.index + 1} failed {_ATTEMPTS} times, last on {worker.name}:"
                f" {cause}",
                hint=getattr(cause, "hint", None) or KEPT_HINT,
            ) from cause
        self._listener.on_notice(
            f"segment {segment.index + 1} failed on {worker.name} ({cause}); trying again"
        )
        self._give_back(task)

    def _bury(self, worker: WorkerHandle, error: Exception) -> None:
        """Do without a worker that died, or fell silent; its segments go to others."""
        errors = self._ray.exceptions
        why = reason(error)
        listener = self._listener
        for task in reversed(worker.tasks):
            self._give_back(task)
        lives = any(values["Alive"] and values["NodeID"] == worker.node.id
                    for values in self._ray.nodes())  # fmt: skip
        if isinstance(error, errors.OutOfMemoryError) or why == OUT_OF_MEMORY:
            self._shrink(worker)
        self._pool.dismiss(worker, why if lives else None)
        listener.on_notice(f"{worker.name} is lost ({why}); others take over its segments")
        if lives and worker.tasks:
            self._count_crash(worker, why)
        worker.tasks.clear()

    def _count_crash(self, worker: WorkerHandle, why: str) -> None:
        """A segment may be what ends workers."""
        segment = worker.tasks[0].segment
        self._failures[segment.index] += 1
        if self._failures[segment.index] >= _ATTEMPTS:
            raise BackendError(
                f"segment {segment.index + 1} failed {_ATTEMPTS} times, last on {worker.name}:"
                f" {why}",
                hint=KEPT_HINT,
            )

    def _shrink(self, worker: WorkerHandle) -> None:
        info = self._job.output.info
        tile = self._limits.get(worker.node.id, self._job.tile)
        smaller = smaller_side(tile, (info.height, info.width))
        if smaller is not None:
            self._limits[worker.node.id] = smaller
            self._listener.on_notice(
                f"memory ran out on {worker.name}: its next worker uses tiles of {smaller} pixels"
            )

    def _give_back(self, task: Task) -> None:
        if task.frames:
            self._listener.on_lost(task.segment)
        self._pending.appendleft(task.segment)

    def _look_for_silent(self) -> None:
        now = time.monotonic()
        for worker in list(self._pool.workers):
            if worker.tasks and now - worker.heard > self._pool.silence:
                self._bury(worker, TimeoutError(f"silent for {self._pool.silence:.0f} s"))


def _is_plain(name: str) -> bool:
    """Whether a file of that name lies in the folder it is written to; "" is a file itself."""
    return not name or (name == Path(name).name and "\0" not in name and name != "..")


def _keep(path: Path, files: Files) -> None:
    """Write a finished segment, on the disk and whole before it has its name."""
    if path.is_dir():
        remove(path)
    with whole(path) as temporary:
        if "" in files:
            temporary.write_bytes(files[""])
        else:
            temporary.mkdir()
            for name, content in files.items():
                if name != Path(name).name or name == "..":
                    raise BackendError(
                        f"a worker has sent a file named {name!r}, which no segment has",
                        hint="see what runs on the cluster's nodes",
                    )
                (temporary / name).write_bytes(content)
