"""Time a whole run, from file to file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import torch

from vsrdb_cli.backends.runner import Features, Runner
from vsrdb_cli.bench.clock import Seconds
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.device_kinds import kind_of
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

# Interval at which the memory in use is sampled.
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class WholeRun:
    """Times and memory of a whole run."""

    frames: int
    frame: Seconds
    """Time per frame once all stages are under way."""
    seconds: float
    """Time of the run, from opening the source to naming the output."""
    memory: int
    """Peak bytes in use on the runner's device."""


class _TimedRunner:
    """A runner that records when each frame reaches it."""

    def __init__(self, runner: Runner, on_frame: Callable[[int], None]) -> None:
        self._runner, self._on_frame = runner, on_frame
        self.came: list[Seconds] = []

    def encode(self, picture: torch.Tensor) -> Features:
        self.came.append(Seconds.now())
        self._on_frame(len(self.came))
        return self._runner.encode(picture)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def restore_whole(
    clip: Path,
    target: Path,
    runner: Runner,
    frames: int,
    *,
    on_frame: Callable[[int], None] = ignore,
) -> WholeRun:
    """Restore a clip of at least 4 frames as `vsrdb restore` does, in whole pictures."""
    timed: Any = _TimedRunner(runner, on_frame)
    options = RestoreOptions(tile=None, scene_cuts=False)
    with _PeakMemory(runner.info.device) as peak:
        report = restore_video(clip, target, options, runner=timed)
    # Count from the frame that fills the queues before and after the network; the first window
    # takes two frames at once.
    came: Sequence[Seconds] = timed.came
    first = max(1, frames // 4)
    steady = (came[-1] - came[first]) / (len(came) - 1 - first)
    return WholeRun(frames, steady, report.seconds, peak.bytes)


class _PeakMemory:
    """The peak memory in use inside `with`: of torch where it counts it, else of the process."""

    def __init__(self, device: str) -> None:
        kind = kind_of(device)
        self._device = device if kind and kind.counts_memory else None
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._device:
            torch.accelerator.reset_peak_memory_stats(self._device)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device:
            self.bytes = torch.accelerator.max_memory_allocated(self._device)
        else:
            self._ended.set()
            self._thread.join()

    def _sample(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            if self._ended.wait(_SAMPLE_SECONDS):
                return
