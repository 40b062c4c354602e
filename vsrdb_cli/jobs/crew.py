"""Who brings the network and restores segments: this process, or several (`processes`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from vsrdb_cli.backends import ENGINES, fitting_engine, load_runner
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.jobs.division import Segment
from vsrdb_cli.jobs.report import NodeShare
from vsrdb_cli.jobs.segments import Job, Listener, restore_segments
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import settle_tile
from vsrdb_cli.pipeline.tiling import Tiling
from vsrdb_cli.video.frame import FrameSource


class Crew(Protocol):
    """Whoever takes the next segment. A context manager; serves one video after another.

    The network is loaded when the first video is prepared for, and kept.
    """

    @property
    def info(self) -> RunnerInfo:
        """What runs; known once a video has been prepared for."""

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        """What each node of a cluster has done of the video; none where all is done here."""

    @property
    def notices(self) -> Sequence[str]:
        """What had to be done so that the network runs, one line each."""

    def prepare(self, options: RestoreOptions, size: tuple[int, int], bit_depth: int) -> int | None:
        """Have the network there for a video; the side of tiles that fits into memory everywhere.

        Args:
            size: (height, width) of the video.
            bit_depth: of the output's frames.

        Raises:
            VsrdbError: the network cannot be had, or the smallest tiles do not fit.
        """

    def restore(
        self, job: Job, segments: Sequence[Segment], reader: FrameSource, listener: Listener
    ) -> None:
        """Restore segments, finished in whatever order.

        Raises:
            VsrdbError: what could not be done; finished segments are kept.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Alone:
    """A crew of one: this process.

    Args:
        options: name the network; of each video's own options the rest counts.
        runner: loaded already, and used for every video.
        share: of the device's free memory, where several work on it.
        load: as `load_runner`; a test gives its own.
    """

    def __init__(
        self,
        options: RestoreOptions,
        runner: Runner | None = None,
        *,
        share: float = 1.0,
        load: Callable[..., Runner] | None = None,
    ) -> None:
        self._options, self._share = options, share
        self._load_runner = load or load_runner
        self._given = runner is not None
        self._runner = runner
        self._engine: Runner | None = None
        self.nodes: tuple[NodeShare, ...] = ()
        self.notices: list[str] = []

    @property
    def info(self) -> RunnerInfo:
        return self.runner.info

    @property
    def runner(self) -> Runner:
        """The network for the video that was prepared for."""
        if self._engine is not None:
            return self._engine
        if self._runner is None:
            self._runner = self._load(None)
        return self._runner

    def prepare(self, options: RestoreOptions, size: tuple[int, int], bit_depth: int) -> int | None:
        wanted = size
        if isinstance(options.tile, int):
            wanted = Tiling.of(*size, options.tile).tile_size
        if not self._given and (self._engine is None or not self._engine.takes(*wanted)):
            self._engine = None  # before another one is loaded: both would be held at once
            self._engine = self._engine_for(wanted)
        return settle_tile(self.runner, options, size, bit_depth=bit_depth, share=self._share)

    def _engine_for(self, size: tuple[int, int]) -> Runner | None:
        """An engine made for pictures of this size, where one was asked for or is there."""
        options = self._options
        if options.backend in ENGINES:
            return self._load(size)
        if options.backend != "auto":
            return None
        return fitting_engine(
            options.weights, device=options.device, precision=options.precision, size=size
        )

    def _load(self, size: tuple[int, int] | None) -> Runner:
        options = self._options
        return self._load_runner(
            options.weights,
            backend=options.backend,
            device=options.device,
            precision=options.precision,
            size=size,
            on_notice=self.notices.append,
        )

    def restore(
        self,
        job: Job,
        segments: Iterable[Segment | None],
        reader: FrameSource,
        listener: Listener,
    ) -> None:
        restore_segments(job, segments, reader, self.runner, listener, share=self._share)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
