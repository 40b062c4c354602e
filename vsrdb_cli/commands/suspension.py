"""Ctrl-Z, `fg` and `bg`: a bar is drawn only while the program has its terminal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.progress import Progress

_STDERR = 2
# Windows has neither. SIGQUIT ends the program by default, and leaves the terminal as it is.
_STOPPING = [getattr(signal, name) for name in ("SIGTSTP", "SIGQUIT") if hasattr(signal, name)]
_CONTINUING = [getattr(signal, name) for name in ("SIGCONT",) if hasattr(signal, name)]


@contextmanager
def drawn(bar: Progress) -> Iterator[Callable[[], None]]:
    """Draw a bar on stderr while the program is in the foreground of its terminal.

    Yields a function to call now and then: `fg` does not tell a running program that it is one.
    """

    def follow() -> None:
        if not in_foreground():
            bar.stop()
        elif not bar.live.is_started:
            # Shells have written since; the bar is drawn upwards from where the cursor is.
            bar.console.print("\n" * (len(list(bar.get_renderables())) - 1), end="")
            bar.start()

    suspended = False

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal suspended
        suspended = True
        bar.stop()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # returns when the program is continued
        signal.signal(number, stop)
        follow()
        suspended = False

    def go_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if suspended:  # `stop` goes on by itself, once it can be asked to stop again
            return
        bar.stop()  # after SIGSTOP, which nobody hears of
        follow()

    handlers = dict.fromkeys(_STOPPING, stop) | dict.fromkeys(_CONTINUING, go_on)
    if bar.disable or threading.current_thread() is not threading.main_thread():
        handlers = {}
    ours = [number for number in handlers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, handlers[number])
    try:
        if in_foreground():
            bar.start()
        yield follow if not bar.disable else lambda: None
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        bar.stop()


def in_foreground() -> bool:
    """Whether the terminal that stderr is belongs to this program, rather than to another job."""
    try:
        return os.tcgetpgrp(_STDERR) == os.getpgrp()
    except (OSError, AttributeError):  # not the terminal of any job
        return True
