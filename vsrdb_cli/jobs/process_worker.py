"""One device's process: loads the network, then restores the segments it is given."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.crew import settled
from vsrdb_cli.jobs.division import Segment
from vsrdb_cli.jobs.segments import Job, restore_segments
from vsrdb_cli.restore import open_for


@dataclass(frozen=True)
class Settings:
    """What a worker loads. share: of its device's free memory; threads: None leaves torch's."""

    weights: str
    backend: str
    device: str
    precision: str
    share: float
    threads: int | None


class _Parent:
    """The connection to the parent; two threads send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def say(self, kind: str, value: Any = None) -> None:
        with self._sending:
            self._connection.send((kind, value))

    def hear(self) -> Any:
        return self._connection.recv()


def serve(connection: Connection, settings: Settings) -> None:
    """Work until the parent closes the connection or is gone."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = _Parent(connection)
    try:
        runner = _load(settings)
        parent.say("answer", runner.info)
        while True:
            match parent.hear():
                case ("settle", (options, height, width)):
                    tile = settled(runner, options, height, width, share=settings.share)
                    parent.say("answer", tile)
                case ("job", job):
                    _work(job, runner, parent)
                    parent.say("answer")
    except (EOFError, ConnectionError):
        return
    except VsrdbError as error:
        parent.say("failed", error)
    except Exception as error:  # whatever broke this process need not end the others
        parent.say("broke", f"{type(error).__name__}: {error}")


def _load(settings: Settings) -> Runner:
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    return load_runner(
        settings.weights,
        backend=settings.backend,
        device=settings.device,
        precision=settings.precision,
    )


def _work(job: Job, runner: Runner, parent: _Parent) -> None:
    """Restore segments until the parent has no more."""

    def segments() -> Iterator[Segment]:
        while True:
            parent.say("next")
            segment = parent.hear()
            if segment is None:
                return
            yield segment

    with open_for(job.source, job.options) as reader:
        restore_segments(
            job,
            segments(),
            reader,
            runner,
            on_frame=lambda segment: parent.say("frame", segment),
            on_tile=lambda tile: parent.say("tile", tile),
            on_done=lambda segment: parent.say("done", segment),
        )
