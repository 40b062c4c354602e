"""The work left of a batch, and the time it will take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import mean
from typing import Self

from vsrdb_cli.batch.targets import Item
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.open import open_requested
from vsrdb_cli.video.reading.y4m_reader import is_stream_input

_LONGEST_SECONDS = 10.0  # that a file may take to open on a slow disk


class Workload:
    """Inputs weighed by frames and pixels, while the first of them are already being restored.

    A context manager that weighs while it is entered.

    Args:
        weigh: returns the work of an input in any unit, or None where that is unknown, which
            counts as the mean of the others. Called in a thread of its own.
    """

    def __init__(self, items: Iterable[Item], weigh: Callable[[Item], float | None]) -> None:
        self._items = list(items)
        self._weigh = weigh
        self._weights: dict[Item, float] = {}
        self._waiting = set(self._items)
        self._through: list[tuple[Item, float]] = []
        self._seconds = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that is opening a file as the program ends would crash it.
        self._stopped.set()
        self._thread.join(_LONGEST_SECONDS)

    def finish(self, item: Item, *, share: float, seconds: float) -> None:
        """Count an input as finished, `share` of it (0 to 1) by this run, which took `seconds`."""
        self._waiting.discard(item)
        self._through.append((item, share))
        self._seconds += seconds

    def seconds_left(
        self, item: Item, *, begun: float, share: float, seconds: float
    ) -> float | None:
        """Return the time the rest will take; None until all is weighed and something is done.

        Args:
            item: the input that is being restored.
            begun: the share of it that an earlier run finished, 0 to 1.
            share: the share of it that is finished by now, 0 to 1.
            seconds: the time that took in this run.
        """
        if not self._weights:
            return None
        weight = self._weights[item]
        through = sum(part * self._weights[i] for i, part in self._through)
        done = through + (share - begun) * weight
        left = sum(self._weights[i] for i in self._waiting if i != item) + (1 - share) * weight
        return (self._seconds + seconds) / done * left if done > 0 else None

    def _work(self) -> None:
        weights = []
        for item in self._items:
            if self._stopped.is_set():
                return
            weights.append(self._weigh(item))
        known = [weight for weight in weights if weight is not None]
        usual = mean(known) if known else 1.0
        self._weights = {
            item: usual if weight is None else weight
            for item, weight in zip(self._items, weights, strict=True)
        }


def weigher(options: RestoreOptions) -> Callable[[Item], float | None]:
    """Return a function that weighs inputs by frames times pixels, as their files promise them."""

    def weigh(item: Item) -> float | None:
        if item.problem is not None:
            return 0.0
        if is_stream_input(item.source):  # which can be opened only once
            return None
        try:
            # Without a search for film, for which all of a video is decoded.
            with open_requested(item.source, replace(options, detelecine=False)) as reader:
                info = reader.info
        except (VsrdbError, OSError):
            return 0.0  # the run will report it
        frames = info.frame_count
        return None if frames is None else float(frames * info.height * info.width)

    return weigh
