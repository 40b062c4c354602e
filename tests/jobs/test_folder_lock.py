"""Disks without locks: a file is used instead, and a notice says so."""

import errno
import os
import subprocess
import sys

import clips
import pytest
from long_jobs import Watch

from vsrdb_cli.errors import OutputError
from vsrdb_cli.jobs.journal import Journal
from vsrdb_cli.jobs.run import work_folder


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    return clips.make(tmp_path / "in" / "in.mp4", frames=26, height=24, width=32)


@pytest.fixture(
    params=[
        pytest.param(number, marks=pytest.mark.posix)
        for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    ]
)
def no_locks(request, monkeypatch):
    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.fixture
def folder(tmp_path):
    return work_folder(tmp_path / "out.mp4")


@pytest.mark.cases
def test_a_run_in_segments_works_with_a_word_and_leaves_nothing(tmp_path, source, no_locks):
    watch = Watch()
    report = watch.restore(source, tmp_path / "out.mkv")
    assert report.frames == 26
    assert sum("does not support locks" in notice for notice in report.notices) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.mkv"]


def test_a_second_process_is_refused(folder, no_locks):
    with (
        Journal(folder),
        pytest.raises(OutputError, match=f"process {os.getpid()} on ") as refused,
        Journal(folder),
    ):
        pass
    assert f"rm '{folder / 'lock.soft'}'" in refused.value.hint
    assert not folder.exists()


def test_what_a_killed_process_has_left_is_taken_over(folder, no_locks):
    killed = subprocess.run(
        [sys.executable, "-c",
         "import os, sys, filelock; filelock.SoftFileLock(sys.argv[1]).acquire(); os._exit(9)",
         folder / "lock.soft"],
        check=False,
    ) if folder.mkdir() is None else None  # fmt: skip
    assert killed.returncode == 9
    with Journal(folder):
        assert (folder / "lock.soft").read_text().split()[0] == str(os.getpid())
    assert not folder.exists()


def test_the_lock_of_another_machine_is_respected(folder, no_locks):
    folder.mkdir()
    (folder / "lock.soft").write_text("1\nanother-machine\n")
    (folder / "holder").write_text("1 on another-machine")
    with pytest.raises(OutputError, match="process 1 on another-machine"), Journal(folder):
        pass
    assert (folder / "lock.soft").exists()


def test_a_disk_with_locks_is_not_spoken_of(tmp_path, source):
    report = Watch().restore(source, tmp_path / "out.mkv")
    assert not any("lock" in notice for notice in report.notices)


@pytest.mark.posix
def test_another_error_is_told_and_leaves_no_empty_folder(folder, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OutputError, match=r"cannot create and lock .*: Input/output error"):
        Journal(folder).__enter__()
    assert not folder.exists()
