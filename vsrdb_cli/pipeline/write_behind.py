"""Consumes items in a thread of its own, with a short queue before it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

# How often a waiting thread checks whether the other has ended.
_POLL_SECONDS = 0.1
# How long an interrupted program waits for the consumer.
_GRACE_SECONDS = 5.0
# How many items may wait, however large.
DEPTH = 4


class _AbandonedError(Exception):
    """Raised where the consumer waits for an item that will not come."""


class WriteBehind(Generic[Item]):
    """The opposite of `Prefetch`: the caller makes items, another thread consumes them.

    A context manager. Leaving it waits until all is consumed; leaving it by an exception ends the
    consumer, in which an exception is raised as well, so that it cleans up. What the consumer
    raises is raised in the caller's thread by the next `put`, or on leaving.

    Args:
        consume: called in the thread with an iterator of the items, and `tell`, which has a
            function called in the caller's thread.
        room: bytes of items that may wait; DEPTH items may in any case.
        size: returns the bytes of an item.
    """

    def __init__(
        self,
        consume: Callable[[Iterator[Item], Callable[[Callable[[], None]], None]], None],
        *,
        room: int = 0,
        size: Callable[[Item], int] = lambda item: 1,  # noqa: ARG005
    ) -> None:
        self._consume, self._room, self._size = consume, room, size
        self._waiting: deque[tuple[Item] | None] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._told: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._abandoned = threading.Event()
        self._error: BaseException | None = None
        # A daemon, so that a thread deep in an encoder does not hold up an interrupted program.
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as stopped:
                self._abandon(stopped)
                raise
        else:
            self._abandon(error)

    def _finish(self) -> None:
        """Wait until all is consumed; call what the consumer has told meanwhile."""
        self._put(None)
        while self._thread.is_alive():
            try:
                told = self._told.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            told()
        self.hear()
        if self._error is not None:
            raise self._error

    def _abandon(self, error: BaseException) -> None:
        self._abandoned.set()
        # An interrupted program waits for what is half written to be removed, but not forever.
        self._thread.join(_GRACE_SECONDS if isinstance(error, KeyboardInterrupt) else None)

    def put(self, item: Item) -> None:
        """Pass an item on, once there is room, and call what the consumer has told."""
        self._put((item,))
        self.hear()

    def hear(self) -> None:
        """Call what the consumer has told; for a caller that waits for something else."""
        while not self._told.empty():
            self._told.get()()

    def _put(self, entry: tuple[Item] | None) -> None:
        size = 0 if entry is None else self._size(entry[0])
        with self._changed:
            while self._thread.is_alive():
                if len(self._waiting) < DEPTH or self._bytes + size <= self._room:
                    self._waiting.append(entry)
                    self._bytes += size
                    self._changed.notify()
                    return
                self._changed.wait(_POLL_SECONDS)
        self.hear()
        if self._error is not None:
            raise self._error

    def _items(self) -> Iterator[Item]:
        while True:
            if self._abandoned.is_set():
                raise _AbandonedError
            with self._changed:
                if not self._waiting:
                    self._changed.wait(_POLL_SECONDS)
                    continue
                entry = self._waiting.popleft()
                if entry is None:
                    return
                self._bytes -= self._size(entry[0])
                self._changed.notify()
            yield entry[0]

    def _work(self) -> None:
        try:
            self._consume(self._items(), self._told.put)
        except _AbandonedError:
            pass
        except BaseException as error:  # handed over whole, to be raised in the caller's thread
            self._error = error
