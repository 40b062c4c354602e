"""A node's worker: loads the network once, then restores the segments it is given.

Knows nothing of Ray, which makes an actor of it: what it raises and yields reaches the driver.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.cluster.agreement import encoder_facts, facts_of_network, versions
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import ForwardSource, Job, Listener, restore_segments
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import resolve_tile
from vsrdb_cli.runtime import configure_runtime
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.reading.excerpt import Excerpt
from vsrdb_cli.video.reading.open import open_for

# A finished segment: names and contents; of a video one file without a name.
Files = dict[str, bytes]
# ("alive", None), ("frame", None), ("tile", side), then ("done", (Files, lost)).
Event = tuple[str, Any]

# How often a worker says that it lives, however long a frame takes.
BEAT_SECONDS = 2.0


@dataclass(frozen=True)
class Settings:
    """What a worker loads. weights: a name; content: of its file, where it has one."""

    weights: str
    content: bytes | None
    device: str
    precision: str


@dataclass(frozen=True)
class Introduction:
    """What a worker says of itself once its network is loaded."""

    host: str
    info: RunnerInfo
    facts: dict[str, str]


class Worker:
    """One device of a node."""

    def __init__(self) -> None:
        # Torch's threads belong to the thread that uses them first, so the network has its own;
        # meanwhile Ray's can say that we live.
        self._hand = ThreadPoolExecutor(1)
        self._runner: Runner | None = None
        self._share = 1.0
        self._job: Job | None = None
        self._source: FrameSource | None = None
        self._tile: int | None = None

    def load(self, settings: Settings) -> Introduction:
        """Load the network, and say what runs here."""
        return self._hand.submit(self._load, settings).result()

    def _load(self, settings: Settings) -> Introduction:
        configure_runtime()  # this process is ours
        weights = settings.weights
        with tempfile.TemporaryDirectory() as folder:
            if settings.content is not None:
                name = Path(weights).name.removesuffix(".safetensors")
                path = Path(folder) / f"{name}.safetensors"
                path.write_bytes(settings.content)
                weights = str(path)
            self._runner = load_runner(
                weights,
                backend="torch",
                device=settings.device,
                precision=settings.precision,
            )
        info = self._runner.info
        return Introduction(platform.node(), info, versions() | facts_of_network(info))

    def prepare(
        self, options: RestoreOptions, size: tuple[int, int], bit_depth: int, share: float
    ) -> int | None:
        """The side of tiles that fits here; see `Executor`. share: of the device's free memory."""
        self._share = share
        return resolve_tile(self._loaded, options, size, bit_depth=bit_depth, share=share)

    def take_up(self, job: Job, source: dict[str, str] | None) -> tuple[bool, dict[str, str]]:
        """Turn to a job; whether its source can be read here, and what is known of the encoder.

        Args:
            source: what the source is known by; None where it is not to be read here.
        """
        self._source, self._job, self._tile = None, job, job.tile
        try:
            if source is not None and identity(job.source) == source:
                self._source = open_for(job.source, job.options)
        except (OSError, VsrdbError):
            pass  # not there, or not in the same place: it will be sent
        facts = encoder_facts(job.output, job.options.scale)
        if self._source is not None:
            # Read once for all segments to come.
            self._source = ForwardSource(self._source, overlap=2 * (self._loaded.length // 2))
        return self._source is not None, facts

    def restore(self, segment: Segment, excerpt: Excerpt | None) -> Iterator[Event]:
        """Restore a segment; tells how it goes on, last the segment itself.

        Args:
            excerpt: its frames and those around it, where the source cannot be read here.

        Raises:
            VsrdbError: it cannot be restored.
        """
        events: SimpleQueue[Event | None] = SimpleQueue()
        working = self._hand.submit(self._restore, segment, excerpt, events.put)
        working.add_done_callback(lambda _: events.put(None))
        while True:
            try:
                event = events.get(timeout=BEAT_SECONDS)
            except Empty:
                yield "alive", None
                continue
            if event is None:
                break
            yield event
        yield "done", working.result()

    def _restore(
        self, segment: Segment, excerpt: Excerpt | None, say: Callable[[Event], None]
    ) -> tuple[Files, tuple[str, ...]]:
        assert self._job is not None
        damage: list[str] = []

        def on_tile(tile: int) -> None:
            self._tile = tile
            say(("tile", tile))

        listener = Listener(
            on_frame=lambda segment: say(("frame", None)),  # noqa: ARG005
            on_tile=on_tile,
            on_done=lambda segment, lost: damage.extend(lost),  # noqa: ARG005
            on_lost=lambda segment: None,  # noqa: ARG005
            on_notice=lambda line: None,  # noqa: ARG005
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = replace(self._job, folder=folder / "out", tile=self._tile)
            (folder / "out").mkdir()
            reader = self._source if excerpt is None else excerpt.open(folder)
            assert reader is not None
            restore_segments(job, [segment], reader, self._loaded, listener, share=self._share)
            return _files(job.path(segment)), tuple(damage)

    @property
    def _loaded(self) -> Runner:
        assert self._runner is not None
        return self._runner


def _files(path: Path) -> Files:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return {"": path.read_bytes()}
