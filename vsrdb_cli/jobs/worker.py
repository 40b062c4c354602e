"""The worker process of one device, and the messages it exchanges with its parent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.events import Event
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.runtime import configure_runtime
from vsrdb_cli.video.reading.open import open_again

# How often a worker that waits for a segment reports what is still being encoded.
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Prepare:
    """To a worker: load the network for a video; answered by `Prepared`."""

    spec: RestoreSpec


@dataclass(frozen=True)
class Prepared:
    """From a worker: what runs, and the side of the tiles that fit on its device."""

    info: RunnerInfo
    length: int
    """T, the frames of a window."""

    tile: int | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Restore:
    """To a worker: restore segments of a job; it asks for each, and gets None after the last."""

    job: Job


@dataclass(frozen=True)
class SegmentWanted:
    """From a worker: it is free for a segment."""


@dataclass(frozen=True)
class JobDone:
    """From a worker: all its segments of a job are finished."""


@dataclass(frozen=True)
class Failed:
    """From a worker, its last message: an error that the user can put right."""

    error: VsrdbError


@dataclass(frozen=True)
class Crashed:
    """From a worker, or in place of a message from one that is gone."""

    reason: str


Request = Prepare | Restore | Segment | None
Message = Event | Prepared | SegmentWanted | JobDone | Failed | Crashed


def run_worker(connection: Connection, options: RestoreOptions, threads: int | None) -> None:
    """Run a worker in a process of its own.

    Args:
        options: name the network and the device.
        threads: for torch; None leaves its own number.
    """
    configure_runtime()
    # Ctrl-C reaches the whole group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        torch.set_num_threads(threads)
    serve(connection, LocalExecutor(options))


def serve(connection: Connection, executor: LocalExecutor) -> None:
    """Answer requests until the parent closes the connection or is gone."""
    try:
        while True:
            connection.send(_answer(connection.recv(), executor, connection))
    except (EOFError, ConnectionError):
        return
    except VsrdbError as error:
        connection.send(Failed(error))
    except Exception as error:  # whatever broke this process need not end the others
        connection.send(Crashed(f"{type(error).__name__}: {error}"))


def _answer(request: Request, executor: LocalExecutor, connection: Connection) -> Message:
    match request:
        case Prepare(spec):
            tile = executor.prepare(spec)
            return Prepared(executor.info, executor.length, tile, tuple(executor.notices))
        case Restore(job):
            with open_again(job.source) as reader:
                executor.restore(job, _segments(connection), reader, connection.send)
            return JobDone()
    raise ValueError(f"{request} is no request")


def _segments(connection: Connection) -> Iterator[Segment | None]:
    """Ask the parent for segments until it has no more; None while it has none yet."""
    while True:
        connection.send(SegmentWanted())
        # There may be none until the parent knows that the segments before are written.
        while not connection.poll(_POLL_SECONDS):
            yield None
        segment: Segment | None = connection.recv()
        if segment is None:
            return
        yield segment
