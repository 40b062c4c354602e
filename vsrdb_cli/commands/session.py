"""The session of a command: how errors and signals end it, and with which exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import partial
from typing import NoReturn

from click.exceptions import Exit

from vsrdb_cli.commands import console
from vsrdb_cli.commands.events import Ended, Failed, Interrupted, Reporter
from vsrdb_cli.commands.lines import say
from vsrdb_cli.disks import resumable
from vsrdb_cli.errors import OptionError, VsrdbError
from vsrdb_cli.names import reachable

# Windows has no SIGHUP.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_BY_SIGNAL = 128  # as shells count


class ExitStatus(IntEnum):
    """Exit statuses of the commands; a signal's is 128 and its number."""

    DONE = 0
    FAILED = 1  # something could not be done
    USAGE = 2  # the options or arguments are not valid; click ends with this one too
    DAMAGED = 3  # restored, but part of the source could not be read
    HANGUP = _BY_SIGNAL + 1  # the terminal was closed
    INTERRUPTED = _BY_SIGNAL + 2  # Ctrl-C
    TERMINATED = _BY_SIGNAL + 15


def status_of(error: BaseException) -> int:
    """Return the exit status of a command that failed with `error`."""
    return ExitStatus.USAGE if isinstance(error, OptionError) else ExitStatus.FAILED


class Stopped(KeyboardInterrupt):
    """A signal asks the program to end.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Session:
    """A command while it runs: where it reports, and the signals that arrived.

    Every error that a user can put right, and every signal, ends in `running`: as events, and as
    the exit status. A command with a reporter of its own sets the three attributes.
    """

    def __init__(self) -> None:
        self.report: Reporter = say
        self.stopped: Callable[[], str] = lambda: "interrupted"
        """Called when a signal ends the command; returns the text to report."""
        self.ended: Callable[[int], Ended] = partial(Ended, {})
        """Makes the last event, from the exit status."""
        self._caught: int | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Enter around the work of the command; leave by its exit status, if it failed."""
        with self._signals_caught():
            try:
                with self._errors_ending():
                    yield
            except KeyboardInterrupt as stop:
                number = getattr(stop, "number", signal.SIGINT)
                status = _BY_SIGNAL + number
                self.report(Interrupted(self.stopped(), signal.Signals(number).name))
                self.report(self.ended(status))
                _leave(status)

    def end(self, status: int) -> NoReturn:
        """Report the last event, and exit."""
        self.report(self.ended(status))
        sys.exit(status)

    def check(self) -> None:
        """Raise Stopped if a signal arrived whose exception was lost in somebody else's code."""
        if self._caught is not None:
            raise Stopped(self._caught)

    @contextmanager
    def _errors_ending(self) -> Iterator[None]:
        try:
            with reachable(), resumable("a file"):
                try:
                    yield
                except Exception:
                    self.check()  # an interrupted import may end in another error
                    raise
                self.check()
        except VsrdbError as error:
            self._fail(error)
        except Exit:  # click's, and a RuntimeError
            raise
        except (RuntimeError, MemoryError) as error:
            from vsrdb_cli.pipeline.memory import is_out_of_memory, ran_out

            if not is_out_of_memory(error):
                raise
            self._fail(ran_out("this command was running"))

    def _fail(self, error: VsrdbError) -> NoReturn:
        self.report(Failed(error))
        self.end(status_of(error))

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """Let a signal raise Stopped, once; a second Ctrl-C ends the program on the spot.

        A signal that the program was started to ignore, as under nohup, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ours = [n for n in _SIGNALS if signal.getsignal(n) not in (signal.SIG_IGN, None)]
        before = {number: signal.signal(number, self._catch) for number in ours}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _catch(self, number: int, _: object) -> None:
        if self._caught is not None:  # a terminal that closes may well send SIGHUP twice
            if number == signal.SIGINT:
                _leave(_BY_SIGNAL + number)
            return
        self._caught = number
        _drop_dead_terminal()
        raise Stopped(number)


def _leave(status: int) -> NoReturn:
    """End the process now: a thread deep in an encoder would hold it up."""
    with suppress(OSError, ValueError):
        console.show_cursor()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    os._exit(status)


def _drop_dead_terminal() -> None:
    """Let all further output go nowhere if the terminal is gone and would refuse it."""
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
