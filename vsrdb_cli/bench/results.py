"""What a benchmark found at one size."""

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
    """What measured. load: how many threads wanted a core, on average of the minute before."""

    processor: str
    cores: int
    threads: int
    torch: str
    load: float | None


@dataclass(frozen=True)
class Problem:
    """Something asked for that could not be measured."""

    name: str
    message: str
    hint: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class BackendReport:
    """One backend's network alone. off: from torch in float32 on the CPU, at its worst; None of
    that one itself."""

    runner: RunnerInfo
    steps: Steps
    off: Agreement | None

    @property
    def frames_per_second(self) -> float:
        return 1 / self.steps.together.wall

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds a frame."""
        return {
            **asdict(self.runner),
            "encode_seconds": self.steps.encode.wall,
            "restore_seconds": self.steps.restore.wall,
            "frames_per_second": self.frames_per_second,
            "max_error": self.off and self.off.max_error,
            "psnr_db": self.off and self.off.psnr,
        }


@dataclass(frozen=True)
class Stage:
    """seconds: of one frame, the stage alone."""

    name: str
    seconds: Seconds


@dataclass(frozen=True)
class SizeReport:
    """Everything at one size.

    height, width: of the LR pictures. alone: the network alone, before the whole run and after.
    whole: None where one frame takes too long. operations: floating-point ones of a frame, None
    of a network without any. convolution_rate: of this machine, a second. memory: bytes in use
    before the first picture; estimate: of the run's.
    """

    width: int
    height: int
    scale: int
    machine: Machine
    runner: RunnerInfo
    alone: tuple[Steps, ...]
    video: VideoStages
    whole: WholeRun | None
    operations: int | None
    convolution_rate: float | None
    memory_before: int
    memory_estimate: int
    backends: tuple[BackendReport, ...]
    problems: tuple[Problem, ...]

    @property
    def network(self) -> Steps:
        """The mean of all times alone, as a whole run's time is a mean."""
        encode, restore = Seconds(0, 0), Seconds(0, 0)
        for steps in self.alone:
            encode, restore = encode + steps.encode, restore + steps.restore
        return Steps(encode / len(self.alone), restore / len(self.alone))

    def stages(self) -> Iterator[Stage]:
        """In the order a frame goes through them."""
        yield Stage("read", self.video.read)
        yield Stage("to RGB", self.video.to_rgb)
        yield Stage("encode step", self.network.encode)
        yield Stage("restore step", self.network.restore)
        yield Stage("from RGB", self.video.from_rgb)
        yield Stage("write", self.video.write)

    @property
    def in_series(self) -> Seconds:
        """All stages, one after another."""
        return self.network.together + self.video.together

    @property
    def ratio(self) -> float | None:
        """The whole run over the network alone."""
        if self.whole is None:
            return None
        return self.whole.frame.wall / self.network.together.wall

    @property
    def overlap(self) -> float | None:
        """Which share of the shorter of the two, the network and all else, the longer hides."""
        if self.whole is None:
            return None
        hidden = self.in_series.wall - self.whole.frame.wall
        return min(
            1.0, max(0.0, hidden / min(self.network.together.wall, self.video.together.wall))
        )

    @property
    def network_rate(self) -> float | None:
        """Operations a second of the network alone, at its best."""
        if self.operations is None:
            return None
        return self.operations / best(list(self.alone)).together.wall

    @property
    def nearness(self) -> float | None:
        """The network's rate over this machine's own of convolution."""
        if self.network_rate is None or self.convolution_rate is None:
            return None
        return self.network_rate / self.convolution_rate

    @property
    def memory(self) -> int | None:
        """What the whole run took, in bytes."""
        return None if self.whole is None else max(0, self.whole.memory - self.memory_before)

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds a frame."""
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
