"""The whole benchmark: a network, from file to file, at one size after another."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
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
from vsrdb_cli.bench.report import BackendReport, Machine, Problem, SizeReport
from vsrdb_cli.bench.video import make_clip, measure_stages
from vsrdb_cli.bench.whole_run import WholeRun, restore_whole
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.checkpoints.registry import METHODS
from vsrdb_cli.device_kinds import with_number
from vsrdb_cli.errors import ResourceError, VsrdbError
from vsrdb_cli.pipeline.memory import available_bytes, network_bytes
from vsrdb_cli.pipeline.spec import RestoreSpec

ALL = "all"
Size = tuple[int, int]


class OnStep(Protocol):
    """Called before each step with what it is, and within one with how far it is."""

    def __call__(self, step: str, detail: str = "") -> None: ...


def _silent(step: str, detail: str = "") -> None: ...


# A size is to take less than two minutes, of which these are for the whole run, for the network
# alone before it and after, and for each further backend.
_WHOLE_SECONDS, _ALONE_SECONDS, _BACKEND_SECONDS = 25.0, 8.0, 6.0
_ALL_SECONDS = 100.0
_FEWEST, _MOST = 6, 240
# What torch loads at the first call is loaded for a picture of any size.
_TINY = (16, 16)


@dataclass(frozen=True)
class Request:
    """What to measure.

    sizes: (height, width) of LR pictures. backend: one of `BACKENDS`, or "all". device: its name,
    or "all". precision: where it is "auto" and one of the others "all", each precision that is
    quick there.
    """

    sizes: tuple[Size, ...]
    weights: str
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"


def measure(
    request: Request,
    on_step: OnStep = _silent,
    *,
    seconds: float = _ALL_SECONDS,
) -> Iterator[SizeReport | Problem]:
    """Measure size by size; of one that cannot be, a problem comes, and the next one.

    Args:
        on_step: called before each step with what it is.
        seconds: for each size; what would begin after them is left out, and said to be.

    Raises:
        VsrdbError: there is no such network, backend or device here.
    """
    for size in request.sizes:
        on_step("loading the network")
        backend = "auto" if request.backend == ALL else request.backend
        device = "auto" if request.device == ALL else request.device
        runner = load_runner(
            request.weights,
            backend=backend,
            device=device,
            precision=request.precision,
            size=size,
        )
        try:
            _require_memory(runner, *size)
            yield _Bench(request, runner, size, on_step, time.monotonic() + seconds).report()
        except VsrdbError as error:
            height, width = size
            yield Problem(f"{width}x{height}", str(error), error.hint)


@dataclass
class _Bench:
    """One size, measured."""

    request: Request
    runner: Runner
    size: Size
    on_step: OnStep
    deadline: float

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
        """Frames of the network alone; if one takes too long, what is known of it already."""
        if known.together.wall > _ALONE_SECONDS * 2:
            return [known]
        return measure_steps(self.runner, *self.size, seconds=_ALONE_SECONDS)

    def _whole(self, folder: Path, frame_seconds: float) -> WholeRun | None:
        """None where even the fewest frames would take too long."""
        if _FEWEST * frame_seconds > self.deadline - time.monotonic():
            return None
        frames = min(max(round(_WHOLE_SECONDS / frame_seconds), _FEWEST), _MOST)
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
        """The runner's own network, and where all are asked for, those of all others."""
        reference: Runner = self.runner
        if self.request.weights not in METHODS:
            reference = load_runner(
                self.request.weights, backend="torch", device="cpu", precision="float32"
            )
        reports = [BackendReport(self.runner.info, own, _off(reference, self.runner, self.size))]
        problems: list[Problem] = []
        if self.request.weights in METHODS:
            return reports, problems
        for backend, device, precision in others(self.request, self.runner.info):
            name = f"{backend} {device} {precision}"
            self.on_step(f"the network in {name}")
            try:
                reports.append(self._backend(backend, device, precision, reference))
            except VsrdbError as error:
                # What is not installed is missing in every precision.
                if not any(problem.message == str(error) for problem in problems):
                    problems.append(Problem(name, str(error), error.hint))
        return reports, problems

    def _backend(
        self, backend: str, device: str, precision: str, reference: Runner
    ) -> BackendReport:
        if time.monotonic() > self.deadline:
            raise ResourceError("not measured, for want of time", hint="choose a smaller --size")
        runner = load_runner(
            self.request.weights,
            backend=backend,
            device=device,
            precision=precision,
            size=self.size,
        )
        _require_memory(runner, *self.size)
        warm_up(runner, *self.size)
        steps = measure_steps(runner, *self.size, seconds=_BACKEND_SECONDS)
        return BackendReport(runner.info, best(steps), _off(reference, runner, self.size))


def others(
    request: Request, info: RunnerInfo, devices: Sequence[str] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield what else is asked for: every backend, device and precision, but the runner's own.

    Args:
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
        for backend in BACKENDS[1:] if request.backend == ALL else (info.backend,):
            low = native_low_precision(torch.device(device)) if backend == "torch" else "float16"
            quick = ("float32", *((low,) if low else ()))
            for precision in quick if request.precision == "auto" else (request.precision,):
                own = (info.backend, with_number(info.device), info.precision)
                if (backend, device, precision) != own:
                    yield backend, device, precision


def _off(reference: Runner, runner: Runner, size: Size) -> parity.Agreement | None:
    if reference.info == runner.info:
        return None
    small = [taken for taken in parity.SIZES if runner.takes(*taken)]
    agreements: Sequence[parity.Agreement] = parity.compare(reference, runner, small or [size])
    return max(agreements, key=lambda agreement: agreement.max_error)


def _require_memory(runner: Runner, height: int, width: int) -> None:
    """Raise ResourceError unless whole pictures fit."""
    device = runner.info.device
    spec = RestoreSpec((height, width), bit_depth=8, scale=runner.scale)
    needed = network_bytes(runner, spec) + (spec.pipeline_bytes if device == "cpu" else 0)
    free = available_bytes(device)
    if needed > free:
        raise ResourceError(
            f"a whole picture of {width}x{height} takes {needed / 2**30:.1f} GiB, and"
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
    """What the processor calls itself, where the system tells, and what torch uses of it."""
    name = platform.processor() or platform.machine()
    told = Path("/proc/cpuinfo")
    if told.is_file():
        lines = (line.partition(":") for line in told.read_text().splitlines())
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
