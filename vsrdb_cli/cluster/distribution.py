"""Hands a job's segments to the workers of a cluster, and collects them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsrdb_cli.cluster.agreement import encoder_facts, require_same
from vsrdb_cli.cluster.connection import KEPT_HINT
from vsrdb_cli.cluster.pool import OUT_OF_MEMORY, Task, WorkerHandle, WorkerPool, reason
from vsrdb_cli.cluster.worker import Alive, Delivery, Files, Message
from vsrdb_cli.errors import BackendError, VsrdbError
from vsrdb_cli.files import remove, whole
from vsrdb_cli.jobs.events import (
    FrameRestored,
    Notice,
    OnEvent,
    SegmentFinished,
    SegmentLost,
)
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.pipeline.tiling import smaller_side, tile_in_use
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.reading.excerpt import Excerpt, Excerpts, excerpts_of

# One at work, and one whose bytes are on their way meanwhile.
_IN_FLIGHT = 2
_ATTEMPTS = 3
# How often to look for nodes that have joined, and to check that the cluster is there.
_RENEW_SECONDS = 5.0


class Distribution:
    """A job on a pool of workers.

    Args:
        shared: nodes may read the source themselves, where they can.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: Job,
        segments: Sequence[Segment],
        reader: FrameSource,
        on_event: OnEvent,
        *,
        shared: bool = True,
    ) -> None:
        self._pool, self._ray = pool, pool.ray
        self._job, self._reader, self._on_event = job, reader, on_event
        self._pending = deque(segments)
        self._failures: Counter[int] = Counter()
        self._source = identity(job.source.path) if shared else None
        self._encoder = encoder_facts(job.output, job.spec.scale)
        self._excerpts: Excerpts | None = None
        self._limits: dict[str, int] = {}  # sides of tiles on nodes whose memory ran out
        self._renewed = time.monotonic()

    def run(self) -> None:
        """Restore all segments.

        Raises:
            VsrdbError: a segment failed everywhere, or no workers are left.
        """
        self._pool.reset_counts()
        for worker in self._pool.workers:
            self._send_job(worker)
        while self._pending or any(worker.tasks for worker in self._pool.workers):
            self._add_new_workers()
            self._send_segments()
            self._receive()
            self._drop_silent()

    def _send_job(self, worker: WorkerHandle) -> None:
        sides = [self._job.tile, self._limits.get(worker.node.id)]
        tile = min((side for side in sides if side is not None), default=None)
        spec = replace(self._job.spec, share=worker.share)
        job = replace(self._job, spec=spec, tile=tile_in_use(*spec.size, tile))
        accepted = self._pool.answer(worker, worker.actor.accept.remote(job, self._source))
        worker.reads_source = accepted.reads_source
        require_same("this machine", self._encoder, worker.name, accepted.encoder)

    def _add_new_workers(self) -> None:
        """Take in workers of nodes that have joined or come back."""
        pool = self._pool
        due = time.monotonic() - self._renewed > _RENEW_SECONDS
        if due or not pool.workers:
            self._renewed = time.monotonic()
            pool.start_missing()
        for worker in pool.arrived(timeout=0.0 if pool.workers else 1.0):
            try:
                pool.admit(worker)
            except VsrdbError as error:
                pool.reject(worker, error)
                continue
            try:
                side = pool.prepare(worker, self._job.spec)
                if side is not None:
                    self._limits[worker.node.id] = min(side, self._limits.get(worker.node.id, side))
                self._send_job(worker)
            except VsrdbError as error:
                pool.drop(worker)
                pool.reject(worker, error)
                continue
            self._notify(f"{worker.name} ({worker.device}) has joined")

    def _send_segments(self) -> None:
        workers = self._pool.workers
        while self._pending and workers:
            worker = min(workers, key=lambda worker: len(worker.tasks))
            # The last segments wait for whoever is free first.
            most = _IN_FLIGHT if len(self._pending) > len(workers) else 1
            if len(worker.tasks) >= most:
                return
            segment = self._pending.popleft()
            excerpt = None if worker.reads_source else self._excerpt(segment)
            now = time.monotonic()
            worker.began_at = worker.began_at or now
            if not worker.tasks:
                worker.heard_at = now
            restore = worker.actor.restore.options(num_returns="streaming")
            worker.tasks.append(Task(segment, restore.remote(segment, excerpt)))

    def _excerpt(self, segment: Segment) -> Excerpt:
        if self._excerpts is None:
            self._excerpts = excerpts_of(self._reader)
        assert self._job.plan is not None
        around = self._job.plan.margin + self._reader.info.lead_in
        wide = self._job.widened(segment)
        assert wide.last is not None
        return self._excerpts.excerpt(wide.first - around, wide.last + around)

    def _receive(self) -> None:
        """Wait a moment for the next message of any worker."""
        streams = {
            task.stream: (worker, task) for worker in self._pool.workers for task in worker.tasks
        }
        if not streams:
            return
        ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=1.0)
        errors = self._ray.exceptions
        for stream in ready:
            worker, task = streams[stream]
            worker.heard_at = time.monotonic()
            try:
                message = self._ray.get(next(task.stream), timeout=self._pool.silence)
            except errors.RayTaskError as error:
                self._retry(worker, task, error.cause)
            except (errors.RayError, StopIteration) as error:
                self._drop(worker, error)
            else:
                self._handle(worker, task, message)

    def _handle(self, worker: WorkerHandle, task: Task, message: Message) -> None:
        match message:
            case FrameRestored(_, is_repeat):
                task.frames += 1
                worker.frames += 1
                self._on_event(FrameRestored(task.segment, is_repeat))
            case Delivery(files) if not all(map(_is_plain, files)):
                cause = BackendError("it sent files with names that no segment has")
                self._retry(worker, task, cause)
            case Delivery(files, damage):
                worker.tasks.remove(task)
                _write(self._job.path(task.segment), files)
                worker.segments.append(task.segment.index)
                self._on_event(SegmentFinished(task.segment, damage))
            case Alive():
                pass
            case event:
                self._on_event(event)

    def _retry(self, worker: WorkerHandle, task: Task, cause: Exception) -> None:
        """Have a segment that could not be restored tried again, unless it failed too often."""
        worker.tasks.remove(task)
        hint = getattr(cause, "hint", None) or KEPT_HINT
        self._count_failure(worker, task.segment, str(cause), hint, cause)
        self._notify(
            f"segment {task.segment.index + 1} failed on {worker.name} ({cause}); trying again"
        )
        self._put_back(task)

    def _count_failure(
        self, worker: WorkerHandle, segment: Segment, why: str, hint: str, cause: Exception
    ) -> None:
        self._failures[segment.index] += 1
        if self._failures[segment.index] >= _ATTEMPTS:
            raise BackendError(
                f"segment {segment.index + 1} failed {_ATTEMPTS} times, last on {worker.name}:"
                f" {why}",
                hint=hint,
            ) from cause

    def _drop(self, worker: WorkerHandle, error: Exception) -> None:
        """Continue without a worker that died or is silent; others get its segments."""
        why = reason(error)
        for task in reversed(worker.tasks):
            self._put_back(task)
        lives = any(values["Alive"] and values["NodeID"] == worker.node.id
                    for values in self._ray.nodes())  # fmt: skip
        if isinstance(error, self._ray.exceptions.OutOfMemoryError) or why == OUT_OF_MEMORY:
            self._limit_tiles(worker)
        self._pool.drop(worker, why if lives else None)
        self._notify(f"{worker.name} is lost ({why}); others take over its segments")
        if lives and worker.tasks:  # the segment may be what ends workers
            self._count_failure(worker, worker.tasks[0].segment, why, KEPT_HINT, error)
        worker.tasks.clear()

    def _limit_tiles(self, worker: WorkerHandle) -> None:
        tile = self._limits.get(worker.node.id, self._job.tile)
        smaller = smaller_side(tile, self._job.spec.size)
        if smaller is not None:
            self._limits[worker.node.id] = smaller
            self._notify(
                f"memory ran out on {worker.name}: its next worker uses tiles of {smaller} pixels"
            )

    def _put_back(self, task: Task) -> None:
        if task.frames:
            self._on_event(SegmentLost(task.segment))
        self._pending.appendleft(task.segment)

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for worker in list(self._pool.workers):
            if worker.tasks and now - worker.heard_at > self._pool.silence:
                self._drop(worker, TimeoutError(f"silent for {self._pool.silence:.0f} s"))

    def _notify(self, line: str) -> None:
        self._on_event(Notice(line))


def _is_plain(name: str) -> bool:
    """Return whether a file of that name lies in its folder; "" is a file in place of one."""
    return not name or (name == Path(name).name and "\0" not in name and name != "..")


def _write(path: Path, files: Files) -> None:
    """Write a finished segment, on the disk and whole before it has its name."""
    if path.is_dir():
        remove(path)
    with whole(path) as temporary:
        if "" in files:
            temporary.write_bytes(files[""])
        else:
            temporary.mkdir()
            for name, content in files.items():
                (temporary / name).write_bytes(content)
