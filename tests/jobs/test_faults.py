"""One system call fails, once, wherever it is: a run ends in one line or whole, and goes on."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import clips
import pytest

HERE = Path(__file__).parent
PLACES = 8  # in a run, of each kind of call
CALLS = ("read", "open", "create", "write", "fsync", "rename", "unlink", "mkdir", "rmdir")
NEED_SPACE = ("create", "write", "fsync", "rename", "mkdir")


class Faulty:
    """Runs in which a call fails; see faulty.py and faults.c."""

    def __init__(self, folder):
        library = folder / "faults.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-w", "-o", library, HERE / "faults.c", "-ldl"], check=True
        )
        self.source = clips.make(folder / "source.mp4", frames=26, audio=("aac",), audio_seconds=1)
        self.outputs = folder / "outputs"
        self.target = self.outputs / "out.mp4"
        self._process = subprocess.Popen(
            [sys.executable, HERE / "faulty.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": ".", "LD_PRELOAD": str(library)},
        )  # fmt: skip

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def run(self, seconds, call="", path="", at=0, error=0):
        """Restore in segments of so many seconds; what became of it."""
        request = {
            "source": str(self.source), "target": str(self.target),
            "options": {"weights": "nearest", "segment_seconds": seconds},
            "fault": [call, str(path), at, error],
        }  # fmt: skip
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def begin_anew(self):
        shutil.rmtree(self.outputs, ignore_errors=True)
        self.outputs.mkdir()

    @property
    def packets(self):
        with av.open(str(self.target)) as container:
            return Counter(p.stream.index for p in container.demux() if p.size)

    def check(self, seconds, call, path, error):
        """Have the call fail at some of its places, and look at what that leaves."""
        self.begin_anew()
        calls = self.run(seconds, call, path)["seen"]
        places = min(PLACES, calls)
        for at in sorted(
            {1 + place * (calls - 1) // max(places - 1, 1) for place in range(places)}
        ):
            self.begin_anew()
            found = self.run(seconds, call, path, at, error)
            where = f"{call} {at} of {calls} of {path}: {found}"
            assert found["ended"] in ("whole", "refused"), where
            if found["ended"] == "whole":
                assert not found["said"], where
            else:
                assert not self.target.exists(), where
                assert "\n" not in found["said"][0], where
                assert self.run(seconds)["ended"] == "whole", where
            assert self.packets == {0: 26, 1: 48}, where
            # A whole run's folder stays where the disk does not let it go; others leave none.
            stays = {"out.mp4", "out.mp4.vsrdb"} if found["ended"] == "whole" else {"out.mp4"}
            assert {file.name for file in self.outputs.iterdir()} <= stays, where


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    if shutil.which("gcc") is None or sys.platform != "linux":
        pytest.skip("needs gcc, and a system whose calls a library can stand in for")
    faulty = Faulty(tmp_path_factory.mktemp("faults"))
    yield faulty
    faulty.close()


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seconds, error", [(0.4, errno.EIO), (60, errno.ESTALE)])
def test_a_source_that_cannot_be_read_for_a_moment_is_not_damaged(faulty, seconds, error):
    faulty.check(seconds, "read", faulty.source, error)


@pytest.mark.parametrize("seconds", [0.4, 60])
@pytest.mark.parametrize(
    "call, error",
    [*((call, errno.EIO) for call in CALLS), *((call, errno.ENOSPC) for call in NEED_SPACE)],
)
def test_it_does_wherever_that_is(faulty, call, seconds, error):
    faulty.check(seconds, call, faulty.outputs.parent, error)
