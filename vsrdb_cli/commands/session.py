"""Ctrl-C, SIGTERM and SIGHUP: each ends a command by an exception in its main thread."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from vsrdb_cli.commands import console
from vsrdb_cli.commands.statuses import status_of

# Windows has no SIGHUP.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_caught: list[int] = []


class Stopped(KeyboardInterrupt):
    """A signal has asked the program to end. number: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it a signal raises Stopped, once; a second Ctrl-C ends the program on the spot.

    A signal that the program was started to ignore, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, _stop) for number in ours}
    _caught.clear()
    try:
        yield
        check()
    except Exception:
        check()  # an interrupted import may end in another error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise Stopped if a signal has come and its exception was lost in somebody else's code."""
    if _caught:
        raise Stopped(_caught[0])


def leave(stop: KeyboardInterrupt) -> NoReturn:
    """End the process now: a thread deep in an encoder would hold it up."""
    with suppress(OSError, ValueError):
        console.show_cursor()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    os._exit(status_of(stop))


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    if _caught:  # a terminal that closes may well send SIGHUP twice
        if number == signal.SIGINT:
            leave(Stopped(number))
        return
    _caught.append(number)
    _drop_dead_terminal()
    raise Stopped(number)


def _drop_dead_terminal() -> None:
    """Let what is still printed go nowhere, where the terminal is gone and would refuse it."""
    try:
        import termios
    except ImportError:  # Windows
        return
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)
