"""One device's process: loads the network, then restores the segments it is given."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.crew import Alone
from vsrdb_cli.jobs.division import Segment
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.open import open_for

# How often a worker that waits for a segment looks what the one before has come to.
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Settings:
    """What a worker loads: what the options name. share: of its device's free memory; threads: None
    leaves torch's."""

    options: RestoreOptions
    share: float
    threads: int | None


def serve(
    connection: Connection, settings: Settings, load: Callable[..., Runner] | None = None
) -> None:
    """Work until the parent closes the connection or is gone.

    Args:
        load: as `load_runner`; a test gives its own.
    """
    # Ctrl-C reaches the whole group; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(kind: str, value: Any = None) -> None:
        connection.send((kind, value))

    try:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        crew = Alone(settings.options, share=settings.share, load=load)
        while True:
            match connection.recv():
                case ("prepare", (options, size, bit_depth)):
                    tile = crew.prepare(options, size, bit_depth)
                    while crew.notices:
                        say("notice", crew.notices.pop(0))
                    say("answer", (crew.info, tile))
                case ("job", job):
                    _work(job, crew, connection, say)
                    say("answer")
    except (EOFError, ConnectionError):
        return
    except VsrdbError as error:
        say("failed", error)
    except Exception as error:  # whatever broke this process need not end the others
        say("broke", f"{type(error).__name__}: {error}")


def _work(job: Job, crew: Alone, connection: Connection, say: Callable[[str, Any], None]) -> None:
    """Restore segments until the parent has no more."""

    def segments() -> Iterator[Segment | None]:
        while True:
            say("next", None)
            # There may be no next one until the parent has heard what is written behind us.
            while not connection.poll(_POLL_SECONDS):
                yield None
            segment = connection.recv()
            if segment is None:
                return
            yield segment

    listener = Listener(
        on_frame=partial(say, "frame"),
        on_tile=partial(say, "tile"),
        on_done=lambda segment, lost: say("done", (segment, lost)),
        on_lost=partial(say, "lost"),
        on_notice=partial(say, "notice"),
    )
    with open_for(job.source, job.options) as reader:
        crew.restore(job, segments(), reader, listener)
