"""Hold what a benchmark measured at one size, and derive rates and ratios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vsrdb_cli.backends.parity import Agreement
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.bench.clock import Seconds
from vsrdb_cli.bench.network import Steps, best
from vsrdb_cli.bench.video import VideoStages
from vsrdb_cli.bench.whole_run import WholeRun


@dataclass(frozen=True)
class Machine:
    """The machine that measured."""

    processor: str
    cores: int
    threads: int
    """Threads that torch uses."""
    torch: str
    """Version of torch."""
    load: float | None
    """Load average of the last minute; None if the system does not report it."""


@dataclass(frozen=True)
class Problem:
    """A measurement that failed."""

    name: str
    message: str
    hint: str | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class BackendReport:
    """Speed of one backend's network alone."""

    runner: RunnerInfo
    steps: Steps
    agreement: Agreement | None
    """Its largest difference from torch in float32 on the CPU; None for that one itself."""

    @property
    def frames_per_second(self) -> float:
        """Frames of a long video per second."""
        return 1 / self.steps.together.wall

    def to_json(self) -> dict[str, Any]:
        """Return plain values; times in seconds per frame."""
        return {
            **asdict(self.runner),
            "encode_seconds": self.steps.encode.wall,
            "restore_seconds": self.steps.restore.wall,
            "frames_per_second": self.frames_per_second,
            "max_error": self.agreement and self.agreement.max_error,
            "psnr_db": self.agreement and self.agreement.psnr,
        }


@dataclass(frozen=True)
class Stage:
    """One stage of a run, measured alone."""

    name: str
    seconds: Seconds
    """Time per frame."""


@dataclass(frozen=True)
class SizeReport:
    """Everything measured at one size."""

    width: int
    """In LR pixels."""
    height: int
    """In LR pixels."""
    scale: int
    machine: Machine
    runner: RunnerInfo
    alone: tuple[Steps, ...]
    """The network alone, before and after the whole run."""
    video: VideoStages
    whole: WholeRun | None
    """None if one frame takes too long."""
    operations: int | None
    """Floating-point operations per frame; None for a built-in method."""
    convolution_rate: float | None
    """Operations per second of one convolution on this machine."""
    memory_before: int
    """Bytes in use before the first picture."""
    memory_estimate: int
    """Estimated bytes of the whole run."""
    backends: tuple[BackendReport, ...]
    problems: tuple[Problem, ...]

    @property
    def network(self) -> Steps:
        """Mean of all times alone, as a whole run's time is a mean."""
        encode, restore = Seconds(0, 0), Seconds(0, 0)
        for steps in self.alone:
            encode, restore = encode + steps.encode, restore + steps.restore
        return Steps(encode / len(self.alone), restore / len(self.alone))

    def stages(self) -> Iterator[Stage]:
        """Yield the stages in the order a frame goes through them."""
        yield Stage("read", self.video.read)
        yield Stage("to RGB", self.video.to_rgb)
        yield Stage("encode step", self.network.encode)
        yield Stage("restore step", self.network.restore)
        yield Stage("from RGB", self.video.from_rgb)
        yield Stage("write", self.video.write)

    @property
    def in_series(self) -> Seconds:
        """Sum of all stages."""
        return self.network.together + self.video.together

    @property
    def ratio(self) -> float | None:
        """Time of the whole run over that of the network alone."""
        if self.whole is None:
            return None
        return self.whole.frame.wall / self.network.together.wall

    @property
    def overlap(self) -> float | None:
        """Share of the shorter of two, the network and all else, that the longer one hides."""
        if self.whole is None:
            return None
        hidden = self.in_series.wall - self.whole.frame.wall
        return min(
            1.0, max(0.0, hidden / min(self.network.together.wall, self.video.together.wall))
        )

    @property
    def network_rate(self) -> float | None:
        """Operations per second of the network alone, at its best."""
        if self.operations is None:
            return None
        return self.operations / best(list(self.alone)).together.wall

    @property
    def nearness(self) -> float | None:
        """Network's rate as a share of this machine's convolution rate."""
        if self.network_rate is None or self.convolution_rate is None:
            return None
        return self.network_rate / self.convolution_rate

    @property
    def memory(self) -> int | None:
        """Bytes that the whole run took."""
        return None if self.whole is None else max(0, self.whole.memory - self.memory_before)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; times in seconds per frame."""
        whole = self.whole
        return {
            "width": self.width,
            "height": self.height,
            "scale": self.scale,
            "machine": asdict(self.machine),
            "runner": asdict(self.runner),
            "stages": [
                {"name": s.name, "seconds": s.seconds.wall, "cpu_seconds": s.seconds.cpu}
                for s in self.stages()
            ],
            "in_series_seconds": self.in_series.wall,
            "network_seconds": self.network.together.wall,
            "network_cpu_seconds": self.network.together.cpu,
            "whole_seconds": whole and whole.frame.wall,
            "whole_cpu_seconds": whole and whole.frame.cpu,
            "whole_frames": whole and whole.frames,
            "frames_per_second": whole and 1 / whole.frame.wall,
            "whole_over_network": self.ratio,
            "overlap": self.overlap,
            "operations": self.operations,
            "operations_per_second": self.network_rate,
            "convolution_per_second": self.convolution_rate,
            "nearness": self.nearness,
            "memory_bytes": self.memory,
            "memory_estimate_bytes": self.memory_estimate,
            "backends": [backend.to_json() for backend in self.backends],
            "problems": [problem.to_json() for problem in self.problems],
        }
