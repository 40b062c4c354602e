"""Exit statuses: all there are, and which one an error gives."""

from __future__ import annotations

import signal
from enum import IntEnum

from vsrdb_cli.errors import OptionError

_BY_SIGNAL = 128  # as shells count


class ExitStatus(IntEnum):
    """What a command ends with. Ended by a signal it is 128 and the signal's number."""

    DONE = 0
    FAILED = 1  # something could not be done
    USAGE = 2  # the options are not possible; click's own as well
    DAMAGED = 3  # restored, but not all of the source could be read
    HANGUP = _BY_SIGNAL + 1  # the terminal was closed
    INTERRUPTED = _BY_SIGNAL + 2  # Ctrl-C
    TERMINATED = _BY_SIGNAL + 15


def status_of(error: BaseException) -> int:
    """The status a command ends with because of `error`."""
    if isinstance(error, KeyboardInterrupt):
        return _BY_SIGNAL + getattr(error, "number", signal.SIGINT)
    return ExitStatus.USAGE if isinstance(error, OptionError) else ExitStatus.FAILED
