"""A whole run, from file to file, and how far its stages overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from vsrdb_cli.backends.runner import Features, Runner
from vsrdb_cli.bench.clock import Seconds
from vsrdb_cli.device_kinds import kind_of
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

# How often the memory in use is looked at.
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class WholeRun:
    """frame: of one frame once all stages are under way. seconds: of the run, from opening the
    source to the output's name. memory: bytes at its widest, of the runner's device."""

    frames: int
    frame: Seconds
    seconds: float
    memory: int


class _Watched:
    """A runner that notes when each frame came to it."""

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
    on_frame: Callable[[int], None] = lambda number: None,  # noqa: ARG005
) -> WholeRun:
    """Restore a clip of at least 4 frames as `vsrdb restore` does, in whole pictures."""
    watched: Any = _Watched(runner, on_frame)
    options = RestoreOptions(tile=None, scene_cuts=False)
    with _Peak(runner.info.device) as peak:
        report = restore_video(clip, target, options, runner=watched)
    # From the frame on with which the queues before and behind the network have filled; the first
    # window takes two frames at once.
    came: Sequence[Seconds] = watched.came
    first = max(1, frames // 4)
    steady = (came[-1] - came[first]) / (len(came) - 1 - first)
    return WholeRun(frames, steady, report.seconds, peak.bytes)


class _Peak:
    """The most memory in use inside `with`: of torch where it counts it, else of the process."""

    def __init__(self, device: str) -> None:
        kind = kind_of(device)
        self._device = device if kind and kind.counts_memory else None
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._device:
            torch.accelerator.reset_peak_memory_stats(self._device)
        else:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._device:
            self.bytes = torch.accelerator.max_memory_allocated(self._device)
        else:
            self._ended.set()
            self._thread.join()

    def _look(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            if self._ended.wait(_LOOK_SECONDS):
                return
