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

from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.restore import restore_video

KILLS = 20
KILLS_OF_A_JOB = 8  # then it is left to end
RUNS = 100  # more than are ever needed: see `moment` below
HANGS_SECONDS = 240


class Runs:
    """Runs that can be killed; see forking.py."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait(HANGS_SECONDS)

    def run(self, request, kill_after=None):
        """Start one, kill it after so many seconds if it still runs; its status, and how long."""
        started = time.monotonic()
        request = request | {"kill_after": HANGS_SECONDS if kill_after is None else kill_after}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        allowed = (0,) if kill_after is None else (0, -signal.SIGKILL)
        assert status in allowed, f"a run ended with {status}; what it said is on stderr"
        return status, time.monotonic() - started


def journal_of(target):
    return work_folder(target) / "journal.json"


def kept(target):
    """The finished segments by the journal, and when each file was written."""
    if not journal_of(target).exists():
        return {}
    finished = json.loads(journal_of(target).read_text())["finished"]
    files = [work_folder(target) / f"segment-{int(index):05d}.mkv" for index in finished]
    return {file.name: file.stat().st_mtime_ns if file.exists() else None for file in files}


@pytest.mark.posix
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
    log, kills, kills_of_job, jobs = [], 0, 0, 0
    with Runs() as runs:
        runs.run(request)  # warms the caches
        target.unlink()
        _, whole_seconds = runs.run(request)
        target.unlink()
        latest = 0.7 * whole_seconds
        while kills < KILLS or jobs == 0 or work_folder(target).exists():
            assert len(log) < RUNS, "\n".join(log)
            finished = kept(target)
            spared = kills >= KILLS or kills_of_job >= KILLS_OF_A_JOB
            moment = None if spared else moments.uniform(0, latest)
            status, seconds = runs.run(request, moment)
            after = kept(target)
            assert hashlib.sha256(source.read_bytes()).digest() == before
            end = "killed" if status else " whole"
            log.append(
                f"{end} after {seconds:5.2f} s: {len(finished):2} -> {len(after):2} segments"
            )
            if status == 0:
                jobs += 1
                kills_of_job = 0
                assert json.loads(told.read_text())["resumed"] == 10 * len(finished)
                assert pixels(target) == wanted
                assert not work_folder(target).exists()
                target.unlink()
                if moment is not None:  # the machine is quicker than it was: kill earlier
                    latest *= 0.8
                continue
            kills += 1
            kills_of_job += 1
            if target.exists():  # killed after the output was in its place
                log[-1] += ", output in its place"
                assert pixels(target) == wanted
                if not journal_of(target).exists():
                    target.unlink()  # else the next run would refuse to replace it
            else:
                assert after.items() >= finished.items(), "a finished segment was lost or redone"
                if after == finished:  # it may have got slower: kill later
                    latest *= 1.1
    print(f"\n{kills} kills, {jobs} jobs finished, {whole_seconds:.2f} s unbroken")
    print("\n".join(log))
