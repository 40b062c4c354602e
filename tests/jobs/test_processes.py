"""Worker processes survive each other's death."""

import os
import signal
from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, Watch

from vsrdb_cli.errors import BackendError
from vsrdb_cli.jobs.processes import ProcessExecutor
from vsrdb_cli.jobs.run import work_folder

TWO = ("cpu", "cpu")


@pytest.mark.posix
@pytest.mark.slow
def test_a_killed_worker_is_replaced_for_the_next_job(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=55)
    options = replace(OPTIONS, devices=TWO)
    with ProcessExecutor(options) as workers:
        watch = Watch()
        on_progress = watch.on_progress

        def kill_one(progress):
            on_progress(progress)
            if len(watch.told) == 5:
                os.kill(workers.process_ids[0], signal.SIGKILL)

        watch.on_progress = kill_one
        report = watch.restore(source, tmp_path / "out.mp4", options, executor=workers)
        assert sum("died (exit status -9)" in notice for notice in watch.notices) == 1
        assert report.frames == 55
        assert clips.read(tmp_path / "out.mp4").numbers == list(range(55))
        assert watch.told[-1].frames == 55
        Watch().restore(source, tmp_path / "next.mp4", options, executor=workers)
        assert len(workers.process_ids) == 2
        assert clips.read(tmp_path / "next.mp4").numbers == list(range(55))


@pytest.mark.posix
@pytest.mark.slow
def test_when_all_workers_are_dead_finished_segments_stay(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=55)
    options = replace(OPTIONS, devices=("cpu",))
    with ProcessExecutor(options) as workers:
        watch = Watch()
        on_progress = watch.on_progress

        def kill(progress):
            on_progress(progress)
            if progress.phase == "restore" and progress.frames == 25:
                os.kill(workers.process_ids[0], signal.SIGKILL)

        watch.on_progress = kill
        with pytest.raises(BackendError, match="it was the last one") as error:
            watch.restore(source, tmp_path / "out.mp4", options, executor=workers)
        assert "continue" in error.value.hint
    kept = len(list(work_folder(tmp_path / "out.mp4").glob("segment-*.mp4")))
    assert kept >= 1
    again = Watch().restore(source, tmp_path / "out.mp4")
    assert again.resumed == 10 * kept
    assert clips.read(tmp_path / "out.mp4").numbers == list(range(55))
