"""An error ends a command in one place: as events for its reporter, and as the exit status."""

import pytest

from vsrdb_cli.commands.events import Ended, Failed, Notice, report_to
from vsrdb_cli.commands.session import Session
from vsrdb_cli.errors import OptionError, VsrdbError


@pytest.mark.parametrize("error, status, message", [
    (OptionError("no such option"), 2, "no such option"), (VsrdbError("no disk"), 1, "no disk"),
    (MemoryError(), 1, "memory ran out"), (OSError(28, "no space left"), 1, "no space left"),
])  # fmt: skip
def test_an_error_becomes_the_last_events_and_the_exit_status(error, status, message):
    session, events = Session(), []
    session.report = events.append
    with pytest.raises(SystemExit) as ended, session.running():
        raise error
    assert ended.value.code == status
    failed, end = events
    assert isinstance(failed, Failed)
    assert message in str(failed.error)
    assert end == Ended({}, status)


def test_a_bug_is_neither_reported_nor_hidden():
    session, events = Session(), []
    session.report = events.append
    with pytest.raises(ZeroDivisionError), session.running():
        raise ZeroDivisionError
    assert events == []


def test_several_reporters_get_every_event_in_order():
    first, second = [], []
    report = report_to(first.append, second.append)
    report(Notice("one"))
    report(Ended({}, 0))
    assert first == second == [Notice("one"), Ended({}, 0)]
