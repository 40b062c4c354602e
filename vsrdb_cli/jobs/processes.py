"""Several devices: one process each, all taking the next segment of the same job."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from vsrdb_cli.backends.devices import cores
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.jobs.division import Segment
from vsrdb_cli.jobs.process_worker import Settings, serve
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.frame import FrameSource

# How long a process gets to end by itself.
_GRACE_SECONDS = 5.0


@dataclass(eq=False)
class _Worker:
    """Our end of one process.

    segments: what it works on; two where it still encodes one while restoring the next.
    waiting: it has asked for a segment and not got one yet.
    """

    settings: Settings
    process: BaseProcess
    connection: Connection
    info: RunnerInfo | None = None
    segments: list[Segment] = field(default_factory=list)
    waiting: bool = False
    notices: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        return self.settings.options.device

    def answer(self) -> Any:
        """What it has been asked for.

        Raises:
            VsrdbError: what it could not do.
        """
        while True:
            match self.hear():
                case ("answer", value):
                    return value
                case ("notice", line):
                    self.notices.append(line)
                case ("failed", error):
                    raise error
                case ("broke", reason):
                    raise BackendError(
                        f"the worker on {self.device} ended: {reason}",
                        hint="remove this device from --devices",
                    )

    def tell(self, message: Any) -> None:
        """Send, if it still lives; if not, `hear` says so."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def hear(self) -> tuple[str, Any]:
        """Its next message; "broke" when the process is gone."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_GRACE_SECONDS)
            return "broke", f"exit status {self.process.exitcode}"
        return kind, value

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(_GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        self.connection.close()


class Processes:
    """Processes that restore segments, one for each device named.

    A `Crew`. Preparing for a video loads the network everywhere, leaving the context ends the
    processes; those that died, and all after a failure, are started anew for the next video.

    Raises:
        VsrdbError: a device, backend or checkpoint cannot be had, or the devices would compute
            differently.
    """

    def __init__(self, options: RestoreOptions) -> None:
        devices = options.devices
        # An engine may be there for one GPU and not for another: none is used unasked.
        backend = "torch" if options.backend == "auto" else options.backend
        alike = {device: devices.count(device) for device in devices}
        self._settings = [
            Settings(
                replace(options, backend=backend, device=device, devices=()),
                share=1 / alike[device],
                threads=max(1, cores() // alike[device]) if alike[device] > 1 else None,
            )
            for device in devices
        ]
        self._workers: list[_Worker] = []
        self._video: tuple[RestoreOptions, tuple[int, int], int] | None = None
        self.nodes: tuple[NodeShare, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def info(self) -> RunnerInfo:
        """What runs; its device names those of all workers."""
        infos = [worker.info for worker in self._workers if worker.info is not None]
        return replace(infos[0], device=",".join(info.device for info in infos))

    @property
    def notices(self) -> list[str]:
        return [line for worker in self._workers for line in worker.notices]

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the workers alive."""
        return tuple(w.process.pid for w in self._workers if w.process.pid is not None)

    def prepare(self, options: RestoreOptions, size: tuple[int, int], bit_depth: int) -> int | None:
        self._video = options, size, bit_depth
        sides = self._prepare(self._workers)
        sides += self._start()
        return min((side for side in sides if side is not None), default=None)

    def restore(
        self,
        job: Job,
        segments: Sequence[Segment],
        reader: FrameSource,  # noqa: ARG002 - every process opens its own
        listener: Listener,
    ) -> None:
        self._start()
        try:
            for worker in self._workers:
                worker.segments, worker.waiting = [], False
                worker.tell(("job", job))
            self._share_out(deque(segments), listener)
            for worker in self._workers:
                worker.tell(None)
                worker.answer()
        except BaseException:
            self._stop()
            raise

    def _share_out(self, pending: deque[Segment], listener: Listener) -> None:
        while pending or any(worker.segments for worker in self._workers):
            for worker in self._workers:
                if worker.waiting and pending:
                    worker.segments.append(pending.popleft())
                    worker.waiting = False
                    worker.tell(worker.segments[-1])
            by_connection = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(by_connection)):
                worker = by_connection[connection]  # type: ignore[index]
                match worker.hear():
                    case ("next", _):
                        worker.waiting = True
                    case ("frame", segment):
                        listener.on_frame(segment)
                    case ("done", (segment, lost)):
                        worker.segments.remove(segment)
                        listener.on_done(segment, lost)
                    case ("tile", tile):
                        listener.on_tile(tile)
                    case ("failed", error):
                        raise error
                    case ("broke", reason):
                        self._bury(worker, reason, listener)
                        pending.extendleft(reversed(worker.segments))

    def _bury(self, worker: _Worker, reason: str, listener: Listener) -> None:
        """Do without a worker that died."""
        worker.stop()
        self._workers.remove(worker)
        died = f"the worker on {worker.device} died ({reason})"
        if not self._workers:
            raise BackendError(
                f"{died}, and it was the last one",
                hint="finished segments are kept; run the same command again to continue",
            )
        listener.on_notice(f"{died}; another worker takes over its segments")
        for segment in worker.segments:
            listener.on_lost(segment)

    def _prepare(self, workers: Sequence[_Worker]) -> list[int | None]:
        """Have some load the network for the video; the sides of tiles that fit there."""
        try:
            for worker in workers:
                worker.tell(("prepare", self._video))
            sides = []
            for worker in workers:
                worker.info, side = worker.answer()
                sides.append(side)
            self._check_alike()
        except BaseException:
            self._stop()
            raise
        return sides

    def _start(self) -> list[int | None]:
        """Start and prepare what is not running; nothing where all are."""
        running = [worker.settings for worker in self._workers]
        missing = list(self._settings)
        for settings in running:
            missing.remove(settings)
        # Not forked: neither torch's threads nor CUDA survive that.
        context = multiprocessing.get_context("spawn")
        try:
            for settings in missing:
                ours, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs, settings), daemon=True)
                process.start()
                theirs.close()
                self._workers.append(_Worker(settings, process, ours))
        except BaseException:
            self._stop()
            raise
        return self._prepare([worker for worker in self._workers if worker.info is None])

    def _check_alike(self) -> None:
        infos = [worker.info for worker in self._workers if worker.info is not None]
        for info in infos[1:]:
            for name in ("backend", "precision"):
                first, other = getattr(infos[0], name), getattr(info, name)
                if first != other:
                    raise OptionError(
                        f"{infos[0].device} would use {first}, but {info.device} {other}",
                        hint=f"choose one for both: --{name} {first}",
                    )

    def _stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
