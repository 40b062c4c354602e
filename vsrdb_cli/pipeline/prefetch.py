"""Works ahead in a thread of its own, with a short queue, so that stages overlap."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

# How often a waiting thread checks whether the run was stopped.
_POLL_SECONDS = 0.1
# How many items a thread works ahead.
DEPTH = 4


class Prefetch(Generic[Item]):
    """Iterate over `items` with another thread working up to `depth` items ahead.

    A context manager: leaving it stops the thread, which ends after the item it is working on. An
    exception of `items` is raised where the consumer would have got the item.
    """

    def __init__(self, items: Iterable[Item], depth: int = DEPTH) -> None:
        self._items = items
        self._queue: Queue[tuple[Item] | BaseException | None] = Queue(depth)
        self._stopped = threading.Event()
        # A daemon, so that a thread deep in a long computation does not hold up an interrupted
        # program; __exit__ waits for the others.
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Iterator[Item]:
        self._thread.start()
        return self._results()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._stopped.set()
        if not isinstance(error, KeyboardInterrupt):
            self._thread.join()

    def _work(self) -> None:
        last: BaseException | None = None
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except BaseException as error:  # handed over whole, to be raised by the consumer
            last = error
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put(last)

    def _put(self, entry: tuple[Item] | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    def _results(self) -> Iterator[Item]:
        while not self._stopped.is_set():
            try:
                entry = self._queue.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if entry is None:
                return
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
