"""kill -9 at random moments: never more than the open segment is lost, and never the source."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import clips
import pytest
from long_jobs import OPTIONS, pixels

from vsrdb_cli.restore import restore_video, work_folder
from vsrdb_cli.video.encoders import EncoderOptions

KILLS = 20
SECONDS = 120  # more than enough, on whatever machine


class Runs:
    """Runs that can be killed; see forking.py."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip

    def run(self, request, kill_after=None):
        """Start one, kill it after so many seconds if it still runs; its status, and how long."""
        started = time.monotonic()
        self.process.stdin.write(json.dumps(request | {"kill_after": kill_after}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), time.monotonic() - started


def kept(target):
    """The finished segments by the journal, and when each file was written."""
    folder = work_folder(target)
    if not (folder / "journal.json").exists():
        return {}
    finished = json.loads((folder / "journal.json").read_text())["finished"]
    files = [folder / f"segment-{int(index):05d}.mkv" for index in finished]
    return {file.name: file.stat().st_mtime_ns for file in files}


@pytest.mark.slow
def test_killed_at_random_moments_a_job_still_becomes_the_unbroken_result(tmp_path):
    source = clips.make(
        tmp_path / "in.mp4", frames=100, height=48, width=64, audio=("aac",), audio_seconds=4
    )
    before = hashlib.sha256(source.read_bytes()).digest()
    options = replace(
        OPTIONS, weights="bicubic", scene_cuts=False, encoder=EncoderOptions(codec="ffv1")
    )
    restore_video(source, tmp_path / "whole.mkv", replace(options, segment_seconds=60))
    wanted = pixels(tmp_path / "whole.mkv")
    target, told = tmp_path / "out.mkv", tmp_path / "told.json"
    request = {
        "source": str(source), "target": str(target), "told": str(told),
        "options": {"weights": "bicubic", "segment_seconds": 0.4, "scene_cuts": False},
        "encoder": {"codec": "ffv1"},
    }  # fmt: skip
    moments = random.Random(1)
    runs = Runs()
    whole_seconds = SECONDS
    for _ in range(2):  # the first also warms the caches
        status, seconds = runs.run(request)
        assert status == 0
        target.unlink()
        whole_seconds = min(seconds, whole_seconds)
    log, kills, jobs = [], 0, 0
    deadline = time.monotonic() + SECONDS
    while kills < KILLS or work_folder(target).exists():
        assert time.monotonic() < deadline, "\n".join(log)
        finished = kept(target)
        moment = moments.uniform(0, 0.7 * whole_seconds) if kills < KILLS else None
        status, seconds = runs.run(request, moment)
        kills += status == -signal.SIGKILL
        after = kept(target)
        assert hashlib.sha256(source.read_bytes()).digest() == before
        if status == 0:
            jobs += 1
            assert json.loads(told.read_text())["resumed"] == 10 * len(finished)
            assert pixels(target) == wanted
            assert not work_folder(target).exists()
            target.unlink()
        elif target.exists():  # killed after the output was in its place
            assert pixels(target) == wanted
        else:
            assert status == -signal.SIGKILL
            assert after.items() >= finished.items(), "a finished segment was lost or made again"
        end = "killed" if status else "whole"
        log.append(f"{end} after {seconds:5.2f} s: {len(finished):2d} -> {len(after):2d} segments")
    assert jobs >= 1
    print(f"\n{kills} kills, {jobs} jobs finished, {whole_seconds:.2f} s unbroken")
    print("\n".join(log))
