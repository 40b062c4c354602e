"""Measure a network, the other stages and a whole run, at one size after another."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import torch

from vsrdb_cli.backends import BACKENDS, load_runner, parity
from vsrdb_cli.backends.devices import cores, list_devices
from vsrdb_cli.backends.precision import native_low_precision
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.bench.network import (
    Steps,
    best,
    convolution_rate,
    measure_steps,
    operations,
    warm_up,
)
from vsrdb_cli.bench.results import BackendReport, Machine, Problem, SizeReport
from vsrdb_cli.bench.video import make_clip, measure_stages
from vsrdb_cli.bench.whole_run import WholeRun, restore_whole
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.checkpoints.registry import METHODS
from vsrdb_cli.device_kinds import is_torchs, with_number
from vsrdb_cli.errors import ResourceError, VsrdbError
from vsrdb_cli.pipeline.memory import available_bytes, network_bytes
from vsrdb_cli.pipeline.spec import RestoreSpec

ALL = "all"
Size = tuple[int, int]
# What torch loads at the first call is loaded for a picture of any size.
_TINY = (16, 16)


class OnStep(Protocol):
    """Called before each step with its name, and during a long one with its progress."""

    def __call__(self, step: str, detail: str = "", /) -> None: ...


@dataclass(frozen=True)
class BenchRequest:
    """The measurements to make."""

    sizes: tuple[Size, ...]
    """(height, width) of LR pictures."""
    weights: str
    backend: str = "auto"
    """One of `BACKENDS`, or "all"."""
    device: str = "auto"
    """Its name, or "all"."""
    precision: str = "auto"
    """If it is "auto" and the backend or the device "all": every precision that is fast there."""


@dataclass(frozen=True)
class BenchLimits:
    """The time to spend on one size: less than two minutes."""

    seconds: float = 100.0
    """After these no other backend is measured, and no whole run begun."""
    whole_seconds: float = 25.0
    alone_seconds: float = 8.0
    """For the network alone, before the whole run and again after it."""
    backend_seconds: float = 6.0
    """For each other backend."""
    fewest_frames: int = 6
    """Of a whole run; there is none if these would take too long."""
    most_frames: int = 240


def run_benchmark(
    request: BenchRequest,
    on_step: OnStep = ignore,
    *,
    limits: BenchLimits = BenchLimits(),
    load: Callable[..., Runner] = load_runner,
    available: Callable[[str], int] = available_bytes,
) -> Iterator[SizeReport | Problem]:
    """Measure size by size; a size that cannot be measured yields a problem.

    Args:
        request: what to measure.
        on_step: called before each step.
        limits: the time to spend.
        load: loads a runner.
        available: returns the free bytes of a device.

    Raises:
        VsrdbError: there is no such network, backend or device here.
    """
    for size in request.sizes:
        on_step("loading the network")
        backend = "auto" if request.backend == ALL else request.backend
        device = "auto" if request.device == ALL else request.device
        runner = load(
            request.weights,
            backend=backend,
            device=device,
            precision=request.precision,
            size=size,
        )
        try:
            _require_memory(runner, *size, available)
            deadline = time.monotonic() + limits.seconds
            bench = _SizeBenchmark(
                request, runner, size, on_step, limits, deadline, load, available
            )
            yield bench.report()
        except VsrdbError as error:
            height, width = size
            yield Problem(f"{width}x{height}", str(error), error.hint)


@dataclass
class _SizeBenchmark:
    """The measurements at one size."""

    request: BenchRequest
    runner: Runner
    size: Size
    on_step: OnStep
    limits: BenchLimits
    deadline: float
    load: Callable[..., Runner]
    available: Callable[[str], int]

    def report(self) -> SizeReport:
        height, width = self.size
        runner, on_step = self.runner, self.on_step
        machine = _machine()
        before = 0
        if runner.info.device == "cpu":
            warm_up(runner, *_TINY)
            before = psutil.Process().memory_info().rss
        on_step("the network, its first frame")
        first = warm_up(runner, height, width)
        on_step("the network alone")
        alone = self._alone(first)
        with tempfile.TemporaryDirectory() as folder:
            whole = self._whole(Path(folder), best(alone).together.wall)
            if whole is not None:
                on_step("the network alone, again")
                alone += self._alone(best(alone))
            on_step("reading, colours and writing")
            video = measure_stages(Path(folder), height, width, runner.scale)
        on_step("one convolution")
        work = rate = None
        if self.request.weights not in METHODS:
            config = load_checkpoint(self.request.weights).config
            work = operations(config, height, width)
            device, precision = runner.info.device, runner.info.precision
            if is_torchs(device):
                rate = convolution_rate(config.dim, height, width, device, precision)
        backends, problems = self._backends(best(alone))
        memory = runner.memory(height, width)
        beside = 0
        if runner.info.device == "cpu":
            beside = RestoreSpec((height, width), bit_depth=8, scale=runner.scale).pipeline_bytes
        return SizeReport(
            width,
            height,
            runner.scale,
            machine,
            runner.info,
            tuple(alone),
            video,
            whole,
            work,
            rate,
            before,
            memory.total(runner.length) - memory.weights + beside,
            tuple(backends),
            tuple(problems),
        )

    def _alone(self, known: Steps) -> list[Steps]:
        """Time the network alone, unless one frame takes too long: then return its known time."""
        if known.together.wall > self.limits.alone_seconds * 2:
            return [known]
        return measure_steps(self.runner, *self.size, seconds=self.limits.alone_seconds)

    def _whole(self, folder: Path, frame_seconds: float) -> WholeRun | None:
        """Time a whole run, or return None if even the fewest frames would take too long."""
        limits = self.limits
        if limits.fewest_frames * frame_seconds > self.deadline - time.monotonic():
            return None
        frames = round(limits.whole_seconds / frame_seconds)
        frames = min(max(frames, limits.fewest_frames), limits.most_frames)
        self.on_step("a clip to restore")
        clip = make_clip(folder / "clip.mp4", *self.size, frames)
        return restore_whole(
            clip,
            folder / "restored.mp4",
            self.runner,
            frames,
            on_frame=lambda number: self.on_step("the whole run", f"frame {number} of {frames}"),
        )

    def _backends(self, own: Steps) -> tuple[list[BackendReport], list[Problem]]:
        """Report the runner's own network and, if all are asked for, every other backend's."""
        reference: Runner = self.runner
        if self.request.weights not in METHODS:
            reference = self.load(
                self.request.weights, backend="torch", device="cpu", precision="float32"
            )
        agreement = worst_agreement(reference, self.runner, self.size)
        reports = [BackendReport(self.runner.info, own, agreement)]
        problems: list[Problem] = []
        if self.request.weights in METHODS:
            return reports, problems
        for backend, device, precision in others(self.request, self.runner.info):
            name = f"{backend} {device} {precision}"
            self.on_step(f"the network in {name}")
            try:
                reports.append(self._backend(backend, device, precision, reference))
            except VsrdbError as error:
                # A package that is not installed is missing in every precision.
                if not any(problem.message == str(error) for problem in problems):
                    problems.append(Problem(name, str(error), error.hint))
        return reports, problems

    def _backend(
        self, backend: str, device: str, precision: str, reference: Runner
    ) -> BackendReport:
        if time.monotonic() > self.deadline:
            raise ResourceError("not measured: out of time", hint="choose a smaller --size")
        runner = self.load(
            self.request.weights,
            backend=backend,
            device=device,
            precision=precision,
            size=self.size,
        )
        _require_memory(runner, *self.size, self.available)
        warm_up(runner, *self.size)
        steps = measure_steps(runner, *self.size, seconds=self.limits.backend_seconds)
        agreement = worst_agreement(reference, runner, self.size)
        return BackendReport(runner.info, best(steps), agreement)


def others(
    request: BenchRequest, info: RunnerInfo, devices: Sequence[str] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield every backend, device and fast precision asked for, except the runner's own.

    Args:
        request: what to measure.
        info: of the runner.
        devices: all of this machine; None asks torch.
    """
    if ALL not in (request.backend, request.device):
        return
    if request.device == ALL:
        devices = list_devices() if devices is None else devices
    else:
        devices = [with_number(info.device)]
    for device in devices:
        for backend in _backends_on(device, request, info):
            low = native_low_precision(torch.device(device)) if backend == "torch" else "float16"
            quick = ("float32", *((low,) if low else ()))
            for precision in quick if request.precision == "auto" else (request.precision,):
                own = (info.backend, with_number(info.device), info.precision)
                if (backend, device, precision) != own:
                    yield backend, device, precision


def _backends_on(device: str, request: BenchRequest, info: RunnerInfo) -> tuple[str, ...]:
    """List the backends to measure on a device."""
    if not is_torchs(device):
        return ("onnxruntime",) if request.backend in ("auto", "onnxruntime", ALL) else ()
    return BACKENDS[1:] if request.backend == ALL else (info.backend,)


def worst_agreement(reference: Runner, runner: Runner, size: Size) -> parity.Agreement | None:
    """Compare a runner with a reference on the test scene, or return None for the same runner.

    Args:
        reference: torch in float32, or a built-in method.
        runner: compared in the small sizes of `parity`, or, where it takes none of them, in `size`.
        size: (height, width) in LR pixels.

    Returns:
        The agreement with the largest error.
    """
    if reference.info == runner.info:
        return None
    small = [small for small in parity.SIZES if runner.takes(*small)]
    agreements: Sequence[parity.Agreement] = parity.compare(reference, runner, small or [size])
    return max(agreements, key=lambda agreement: agreement.max_error)


def _require_memory(
    runner: Runner, height: int, width: int, available: Callable[[str], int]
) -> None:
    """Raise ResourceError unless whole pictures fit."""
    device = runner.info.device
    spec = RestoreSpec((height, width), bit_depth=8, scale=runner.scale)
    needed = network_bytes(runner, spec) + (spec.pipeline_bytes if device == "cpu" else 0)
    free = available(device)
    if needed > free:
        raise ResourceError(
            f"a whole picture of {width}x{height} needs {needed / 2**30:.1f} GiB, and"
            f" {free / 2**30:.1f} GiB is free",
            hint="choose a smaller --size: larger videos are restored in tiles",
        )


def _machine() -> Machine:
    loads = getattr(os, "getloadavg", None)
    return Machine(
        _processor(),
        cores(),
        torch.get_num_threads(),
        torch.__version__,
        loads()[0] if loads else None,
    )


def _processor() -> str:
    """Return the processor's name, if the system reports it, and the vector unit torch uses."""
    name = platform.processor() or platform.machine()
    file = Path("/proc/cpuinfo")
    if file.is_file():
        lines = (line.partition(":") for line in file.read_text().splitlines())
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
