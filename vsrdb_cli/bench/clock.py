"""Time as a benchmark sees it: on the wall, and of all cores together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.device_kinds import kind_of


@dataclass(frozen=True)
class Seconds:
    """wall: by the clock. cpu: of this process, all its threads together."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, count: float) -> Seconds:
        return Seconds(self.wall / count, self.cpu / count)

    def without(self, other: Seconds) -> Seconds:
        """What is left of this; no less than nothing."""
        return Seconds(max(0.0, self.wall - other.wall), max(0.0, self.cpu - other.cpu))


def timed(work: Callable[[], object], device: str = "cpu") -> Seconds:
    """How long some work takes, on a GPU until it has finished there."""
    _finish(device)
    start = Seconds.now()
    work()
    _finish(device)
    return Seconds.now() - start


def least(times: list[Seconds]) -> Seconds:
    """The one that other programs disturbed least."""
    return min(times, key=lambda seconds: seconds.wall)


def _finish(device: str) -> None:
    if kind_of(device):
        ACCELERATORS.synchronize(device)
