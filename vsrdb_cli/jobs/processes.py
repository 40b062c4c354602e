"""Restores on several devices: one process each, all taking the next segment of a job."""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from vsrdb_cli.backends.devices import cores
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.device_kinds import is_torchs
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.jobs.events import Notice, OnEvent, SegmentFinished, SegmentLost
from vsrdb_cli.jobs.executor import Executor
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.jobs.worker import (
    Crashed,
    Failed,
    JobDone,
    Message,
    Prepare,
    Prepared,
    Request,
    Restore,
    SegmentWanted,
    run_worker,
)
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.video.frame import FrameSource

Answer = TypeVar("Answer", Prepared, JobDone)

# How long a process gets to end by itself.
_GRACE_SECONDS = 5.0


@dataclass(eq=False)
class _WorkerHandle:
    """The parent's side of a worker."""

    device: str
    process: BaseProcess
    connection: Connection
    info: RunnerInfo | None = None
    segments: list[Segment] = field(default_factory=list)
    """Segments at work: two while it restores one and still encodes the one before."""

    is_waiting: bool = False
    """True while it waits for a segment that it has asked for."""

    def send(self, request: Request) -> None:
        """Send a request; if the worker is gone, `receive` reports that."""
        with suppress(ConnectionError):
            self.connection.send(request)

    def receive(self) -> Message:
        """Return the next message, `Crashed` if the process is gone.

        Raises:
            VsrdbError: the worker failed by an error that the user can put right.
        """
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_GRACE_SECONDS)
            message = Crashed(f"exit status {self.process.exitcode}")
        if isinstance(message, Failed):
            raise message.error
        return message

    def answer(self, kind: type[Answer]) -> Answer:
        """Return the next message of a kind, which the worker was asked for.

        Raises:
            VsrdbError: the worker failed or crashed.
        """
        while not isinstance(message := self.receive(), kind):
            if isinstance(message, Crashed):
                raise BackendError(
                    f"the worker on {self.device} ended: {message.reason}",
                    hint="remove this device from --devices",
                )
        return message

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(_GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        self.connection.close()


def start_process(options: RestoreOptions, threads: int | None) -> tuple[BaseProcess, Connection]:
    """Start a worker process; return it with the parent's end of the connection.

    Args:
        options, threads: as `run_worker` takes them.
    """
    # Not forked: neither torch's threads nor CUDA survive that.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_worker, args=(theirs, options, threads), daemon=True)
    process.start()
    theirs.close()
    return process, ours


StartWorker = Callable[[RestoreOptions, int | None], tuple[BaseProcess, Connection]]


class ProcessExecutor(Executor):
    """Restores in one process for each device in `options.devices`.

    Preparing for a video starts the processes that are missing: all for the first video and after
    a failure, later those that died.

    Args:
        start: starts a worker.

    Raises:
        VsrdbError: a device, backend or checkpoint cannot be had, or the devices would compute
            differently.
    """

    def __init__(self, options: RestoreOptions, start: StartWorker = start_process) -> None:
        self._options, self._start_worker = options, start
        self._workers: list[_WorkerHandle] = []
        self._notices: tuple[str, ...] = ()
        self._length = 0

    @property
    def length(self) -> int:
        return self._length

    @property
    def info(self) -> RunnerInfo:
        """The runner in use; its device lists those of all workers."""
        infos = self._infos
        return replace(
            infos[0],
            device=",".join(info.device for info in infos),
            hardware=" and ".join(dict.fromkeys(i.hardware for i in infos if i.hardware)),
        )

    @property
    def notices(self) -> Sequence[str]:
        return self._notices

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return tuple(w.process.pid for w in self._workers if w.process.pid is not None)

    @property
    def _infos(self) -> list[RunnerInfo]:
        return [worker.info for worker in self._workers if worker.info is not None]

    def prepare(self, spec: RestoreSpec) -> int | None:
        try:
            self._start()
            for worker in self._workers:
                worker.send(Prepare(self._spec_of(worker, spec)))
            answers = [worker.answer(Prepared) for worker in self._workers]
            for worker, answer in zip(self._workers, answers, strict=True):
                worker.info = answer.info
            self._check_alike()
        except BaseException:
            self.close()
            raise
        self._notices = tuple(line for answer in answers for line in answer.notices)
        self._length = answers[0].length
        return min((a.tile for a in answers if a.tile is not None), default=None)

    def restore(
        self,
        job: Job,
        segments: Sequence[Segment],
        reader: FrameSource,  # noqa: ARG002 - every process opens its own
        on_event: OnEvent,
    ) -> None:
        try:
            for worker in self._workers:
                worker.segments, worker.is_waiting = [], False
                worker.send(Restore(replace(job, spec=self._spec_of(worker, job.spec))))
            self._share_out(deque(segments), on_event)
            for worker in self._workers:
                worker.send(None)
                worker.answer(JobDone)
        except BaseException:
            self.close()
            raise

    def _share_out(self, pending: deque[Segment], on_event: OnEvent) -> None:
        while pending or any(worker.segments for worker in self._workers):
            for worker in self._workers:
                if worker.is_waiting and pending:
                    worker.segments.append(pending.popleft())
                    worker.is_waiting = False
                    worker.send(worker.segments[-1])
            ready = wait([worker.connection for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.connection in ready]:
                match worker.receive():
                    case SegmentWanted():
                        worker.is_waiting = True
                    case Crashed(reason):
                        self._drop(worker, reason, on_event)
                        pending.extendleft(reversed(worker.segments))
                    case SegmentFinished(segment) as event:
                        worker.segments.remove(segment)
                        on_event(event)
                    case Prepared() | JobDone() | Failed() as message:
                        raise ValueError(f"{message} instead of an event")
                    case event:
                        on_event(event)

    def _drop(self, worker: _WorkerHandle, reason: str, on_event: OnEvent) -> None:
        """Continue without a worker that died.

        Raises:
            BackendError: it was the last one.
        """
        worker.stop()
        self._workers.remove(worker)
        died = f"the worker on {worker.device} died ({reason})"
        if not self._workers:
            raise BackendError(
                f"{died}, and it was the last one",
                hint="finished segments are kept; run the same command again to continue",
            )
        on_event(Notice(f"{died}; another worker takes over its segments"))
        for segment in worker.segments:
            on_event(SegmentLost(segment))

    def _spec_of(self, worker: _WorkerHandle, spec: RestoreSpec) -> RestoreSpec:
        """Return the spec for a worker, which shares memory with the others on its device."""
        return replace(spec, share=1 / self._options.devices.count(worker.device))

    def _start(self) -> None:
        """Start a process for every device that has too few."""
        devices = Counter(self._options.devices)
        for device in (devices - Counter(w.device for w in self._workers)).elements():
            threads = max(1, cores() // devices[device]) if devices[device] > 1 else None
            backend = self._options.backend
            if backend == "auto" and is_torchs(device):
                # An engine may be there for one GPU and not for another: none is used unasked.
                backend = "torch"
            options = replace(self._options, backend=backend, device=device, devices=())
            self._workers.append(_WorkerHandle(device, *self._start_worker(options, threads)))

    def _check_alike(self) -> None:
        first, *others = self._infos
        for other in others:
            for name in ("backend", "precision"):
                ours, theirs = getattr(first, name), getattr(other, name)
                if ours != theirs:
                    raise OptionError(
                        f"{first.device} would use {ours}, but {other.device} {theirs}",
                        hint=f"choose one for both: --{name} {ours}",
                    )

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
