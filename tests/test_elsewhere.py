"""Run without what only Linux has: as on Windows, as far as Linux can simulate it."""

import subprocess
import sys
from pathlib import Path

import clips
import pytest

pytestmark = pytest.mark.slow  # each starts a Python that imports torch

ROOT = Path(__file__).parents[1]
# What Windows has not: modules, signals, folders that can be opened, processes' own files, glibc.
WITHOUT = """
import ctypes, errno, os, pathlib, signal, stat, sys

# These have their own ways on each system.
import av, click, filelock, numpy, platformdirs, psutil, rich, torch

for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIGTSTP"):
    delattr(signal, name)
for name in ("sched_getscheduler", "sched_getaffinity", "geteuid", "getuid", "fork", "mkfifo"):
    delattr(os, name)

synced = os.fsync
def fsync(handle):
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        raise PermissionError(errno.EACCES, "a folder")
    synced(handle)
os.fsync = fsync

class NoC(ctypes.CDLL):
    def __init__(self, name, *rest, **others):
        if name is None:
            raise TypeError("a name is needed")
        super().__init__(name, *rest, **others)
ctypes.CDLL = NoC

there = pathlib.Path.is_dir
pathlib.Path.is_dir = lambda self, **o: not str(self).startswith("/proc") and there(self, **o)
"""


def without_linux(*arguments, program="from vsrdb_cli.cli import main; main()"):
    command = [sys.executable, "-c", WITHOUT + program, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "options", [(), ("--segment-seconds", "0.3")], ids=["short", "in segments"]
)
def test_a_clip_is_restored_without_what_only_linux_has(tmp_path, options):
    source = clips.make(tmp_path / "in.mp4", frames=12, audio=("aac",))
    out = tmp_path / "out.mp4"
    ended = without_linux("restore", source, out, "--weights", "nearest", *options)
    assert ended.returncode == 0, ended.stderr
    assert clips.read(out).numbers == list(range(12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_what_is_taken_away_is_gone():
    """Or the test before would prove nothing."""
    ended = without_linux(program="import fcntl")
    assert "ModuleNotFoundError: import of fcntl halted" in ended.stderr


def test_all_tests_can_be_collected_without_what_only_linux_has():
    """So that on other systems only the tests marked as impossible there are skipped."""
    ended = without_linux(
        *("--collect-only", "-qq", "-p", "no:cacheprovider", "-n", "0", "-m", ""),
        program="import pytest; sys.exit(pytest.main())",
    )
    assert ended.returncode == 0, ended.stdout
