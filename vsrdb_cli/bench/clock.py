"""Time work on the wall clock and in CPU seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.device_kinds import is_torchs, kind_of


@dataclass(frozen=True)
class Seconds:
    """Two clocks, in seconds."""

    wall: float
    cpu: float
    """Time of this process, the sum over its threads."""

    @classmethod
    def now(cls) -> Self:
        """Read both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, count: float) -> Seconds:
        return Seconds(self.wall / count, self.cpu / count)

    def without(self, other: Seconds) -> Seconds:
        """Subtract another time, down to 0."""
        return Seconds(max(0.0, self.wall - other.wall), max(0.0, self.cpu - other.cpu))


def timed(work: Callable[[], object], device: str = "cpu") -> Seconds:
    """Time some work, on a GPU until it has finished there."""
    _finish(device)
    start = Seconds.now()
    work()
    _finish(device)
    return Seconds.now() - start


def least(times: list[Seconds]) -> Seconds:
    """Return the time that other programs disturbed least."""
    return min(times, key=lambda seconds: seconds.wall)


def _finish(device: str) -> None:
    if kind_of(device) and is_torchs(device):
        ACCELERATORS.synchronize(device)
