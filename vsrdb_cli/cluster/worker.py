"""The worker of a cluster's node, and the messages it sends.

Does not know Ray, which makes an actor of it: errors it raises and messages it yields reach the
driver.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.cluster.agreement import encoder_facts, versions
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.events import Event, SegmentFinished, TileShrunk
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.plan import Segment
from vsrdb_cli.jobs.segments import ForwardSource, Job
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.runtime import configure_runtime
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.reading.excerpt import Excerpt
from vsrdb_cli.video.reading.open import open_again

# How often a worker sends a sign of life, however long a frame takes.
BEAT_SECONDS = 2.0

# A finished segment: names and contents; of a video one file without a name.
Files = dict[str, bytes]


@dataclass(frozen=True)
class Network:
    """The network that a worker loads."""

    weights: str
    content: bytes | None
    """Content of the weights' file; None for a method without parameters."""

    device: str
    precision: str


@dataclass(frozen=True)
class Loaded:
    """The network that a worker has loaded, and its host."""

    host: str
    info: RunnerInfo
    facts: dict[str, str]
    """Facts that its results depend on, by names that users know."""


@dataclass(frozen=True)
class Accepted:
    """A worker's answer to a job."""

    reads_source: bool
    """True if it can read the source; else the source must be sent."""

    encoder: dict[str, str]
    """The encoder and its version, by names that users know."""


@dataclass(frozen=True)
class Alive:
    """A sign of life."""


@dataclass(frozen=True)
class Delivery:
    """A finished segment: the last message."""

    files: Files
    damage: tuple[str, ...]
    """As of `SegmentFinished`."""


Message = Event | Alive | Delivery


class Worker:
    """Restores segments on one device of a node.

    Args:
        load: loads the network.
    """

    def __init__(self, load: Callable[..., Runner] = load_runner) -> None:
        # Torch's threads belong to the thread that uses them first, so the network has its own;
        # meanwhile Ray's can send signs of life.
        self._thread = ThreadPoolExecutor(1)
        self._load_runner = load
        self._executor: LocalExecutor | None = None
        self._job: Job | None = None
        self._source: FrameSource | None = None

    def load(self, network: Network) -> Loaded:
        """Load the network."""
        runner = self._thread.submit(self._load, network).result()
        self._executor = LocalExecutor(RestoreOptions(), runner)
        return Loaded(platform.node(), runner.info, versions() | runner.info.facts)

    def _load(self, network: Network) -> Runner:
        configure_runtime()  # this process is ours
        weights = network.weights
        with tempfile.TemporaryDirectory() as folder:
            if network.content is not None:
                name = Path(weights).name.removesuffix(".safetensors")
                path = Path(folder) / f"{name}.safetensors"
                path.write_bytes(network.content)
                weights = str(path)
            return self._load_runner(
                weights, backend="torch", device=network.device, precision=network.precision
            )

    @property
    def _loaded(self) -> LocalExecutor:
        assert self._executor is not None
        return self._executor

    def prepare(self, spec: RestoreSpec) -> int | None:
        """Return the side of tiles that fits here; see `Executor.prepare`."""
        return self._loaded.prepare(spec)

    def accept(self, job: Job, source: dict[str, str] | None) -> Accepted:
        """Take up a job, in place of the one before.

        Args:
            source: `identity` of the job's source; None where it must not be read here.
        """
        self._job, self._source, path = job, None, job.source.path
        try:
            here = source is not None and identity(path) == source
            if here and os.access(path, os.R_OK):
                # Read once for all segments to come.
                self._source = ForwardSource(open_again(job.source), job.overlap)
        except (OSError, VsrdbError):
            pass  # not there, or not in the same place: it will be sent
        return Accepted(self._source is not None, encoder_facts(job.output, job.spec.scale))

    def restore(self, segment: Segment, excerpt: Excerpt | None) -> Iterator[Message]:
        """Restore a segment; yield messages, the last with its files.

        Args:
            excerpt: its frames and those around it, where the source cannot be read here.

        Raises:
            VsrdbError: it cannot be restored.
        """
        messages: SimpleQueue[Message | None] = SimpleQueue()
        working = self._thread.submit(self._restore, segment, excerpt, messages.put)
        working.add_done_callback(lambda _: messages.put(None))
        while True:
            try:
                message = messages.get(timeout=BEAT_SECONDS)
            except Empty:
                message = Alive()
            if message is None:
                break
            yield message
        yield working.result()

    def _restore(
        self, segment: Segment, excerpt: Excerpt | None, send: Callable[[Message], None]
    ) -> Delivery:
        assert self._job is not None
        damage: list[str] = []

        def on_event(event: Event) -> None:
            if isinstance(event, SegmentFinished):
                damage.extend(event.damage)
                return
            if isinstance(event, TileShrunk) and self._job is not None:
                self._job = replace(self._job, tile=event.tile)
            send(event)

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = replace(self._job, folder=folder / "out")
            (folder / "out").mkdir()
            reader = self._source if excerpt is None else excerpt.open(folder)
            assert reader is not None
            self._loaded.restore(job, [segment], reader, on_event)
            return Delivery(_files(job.path(segment)), tuple(damage))


def _files(path: Path) -> Files:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return {"": path.read_bytes()}
