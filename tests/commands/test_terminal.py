"""At a real terminal: nothing binary, whole words, a cursor after Ctrl-C, something at once."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import clips
import pytest

# Windows has no pseudo-terminals, and macOS an `env` without --default-signal.
pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
pytestmark = [pytest.mark.slow, pytest.mark.linux]  # each starts a Python that imports torch

ROOT = Path(__file__).parents[2]
# A shell's background job ignores Ctrl-C and Ctrl-\, and its children inherit that.
PROGRAM = ["env", "--default-signal", sys.executable, "-m", "vsrdb_cli", "restore"]
PROGRAM += ["--weights", "nearest"]


def start(*arguments, folder, term="xterm"):
    """Start the program in a terminal of 80 columns; also return the end that shows its output."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": term}
    run = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
        process_group=0,  # one without a parent in its session, as in CI, is never stopped
    )  # fmt: skip
    os.close(theirs)
    return run, ours


def rest(ours):
    shown = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # Linux's end of a terminal
            return shown.decode()
        if not more:
            return shown.decode()
        shown += more


@pytest.fixture
def source(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32)


@pytest.mark.parametrize("paths, says", [
    (("in.mp4", "-"), "stdout is a terminal"), (("-", "out.mp4"), "stdin is a terminal"),
])  # fmt: skip
def test_no_stream_comes_from_or_goes_to_a_terminal(tmp_path, source, paths, says):
    run, ours = start(*paths, folder=tmp_path)
    shown = rest(ours)
    assert run.wait(60) == 2
    assert says in shown
    assert "YUV4MPEG2" not in shown


def test_lines_are_wrapped_between_words(tmp_path, source):
    name = " ".join(["a word or two"] * 10)
    run, ours = start(f"{name}.mp4", "out.mp4", folder=tmp_path)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", rest(ours))
    assert run.wait(60) == 1
    said = shown[shown.index("error: ") :].splitlines()
    assert len(said) > 2
    words = {*name.split(), "two.mp4", *["does", "not", "exist"]}
    for line in said[:2]:
        assert len(line) <= 80
        assert set(line.removeprefix("error: ").split()) <= words


def test_a_path_longer_than_a_line_stays_whole_and_behind_its_mark(tmp_path):
    name = "word" * 30 + ".mp4"
    run, ours = start(name, "out.mp4", folder=tmp_path)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", rest(ours))
    assert run.wait(60) == 1
    assert shown.count("error:") == 1
    assert f"error: {name}" in shown


def test_ctrl_c_gives_the_cursor_back_and_ends_with_130(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=500, height=90, width=160)
    run, ours = start(source, "out.mp4", "--preset", "slower", folder=tmp_path)
    shown = ""
    while "restoring" not in shown:
        shown += os.read(ours, 65536).decode(errors="replace")
    run.send_signal(signal.SIGINT)
    shown += rest(ours)
    assert run.wait(60) == 130
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "stopped" in shown
    assert shown.endswith("\n") or shown.endswith("\x1b[?25h")
    assert not (tmp_path / "out.mp4").exists()


def stopped_and_continued(run, ours, shown):
    """Wait until the program has stopped itself; return what it has shown by then."""
    os.kill(run.pid, signal.SIGTSTP)
    _, status = os.waitpid(run.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    while select.select([ours], [], [], 0.2)[0]:
        shown += os.read(ours, 65536).decode(errors="replace")
    run.send_signal(signal.SIGCONT)
    return shown


def until(word, ours, shown=""):
    while word not in shown:
        shown += os.read(ours, 65536).decode(errors="replace")
    return shown


def test_ctrl_z_gives_the_cursor_back_and_fg_draws_the_bar_again(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=500, height=90, width=160)
    run, ours = start(source, "out.mp4", "--preset", "slower", folder=tmp_path)
    shown = stopped_and_continued(run, ours, until("restoring", ours))
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    again = until("restoring", ours)
    assert "\x1b[?25l" in again
    again = stopped_and_continued(run, ours, again)
    assert again.rindex("\x1b[?25h") > again.rindex("\x1b[?25l")
    run.send_signal(signal.SIGINT)
    shown = rest(ours)
    assert run.wait(60) == 130
    assert shown.rindex("\x1b[?25h") > shown.rfind("\x1b[?25l")


@pytest.mark.parametrize("number, status", [
    (signal.SIGQUIT, -signal.SIGQUIT), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
])  # fmt: skip
def test_signals_that_end_it_give_the_cursor_back(tmp_path, number, status):
    source = clips.make(tmp_path / "in.mp4", frames=500, height=90, width=160)
    run, ours = start(source, "out.mp4", "--preset", "slower", folder=tmp_path)
    shown = until("restoring", ours)
    run.send_signal(number)
    shown += rest(ours)
    assert run.wait(60) == status
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_terminal_that_cannot_draw_gets_lines(tmp_path, source, monkeypatch):
    for term in ("dumb", ""):
        run, ours = start("in.mp4", f"out{term}.mp4", folder=tmp_path, term=term)
        shown = rest(ours)
        assert run.wait(60) == 0
        assert "\x1b[?25l" not in shown
        assert "3 frames" in shown
