"""Worker processes survive each other's death."""

import os
import signal
from dataclasses import replace
from multiprocessing import Pipe
from threading import Thread

import clips
import pytest
from long_jobs import OPTIONS, Watch

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.errors import BackendError
from vsrdb_cli.jobs.process_worker import Settings, serve
from vsrdb_cli.jobs.processes import Processes
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions

TWO = ("cpu", "cpu")


@pytest.mark.slow
def test_a_worker_killed_has_its_segments_taken_by_the_other_and_is_back_for_the_next_job(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=55)
    options = replace(OPTIONS, devices=TWO)
    with Processes(options) as workers:
        watch = Watch()
        on_progress = watch.on_progress

        def kill_one(progress):
            on_progress(progress)
            if len(watch.told) == 5:
                os.kill(workers.process_ids[0], signal.SIGKILL)

        watch.on_progress = kill_one
        report = watch.restore(source, tmp_path / "out.mp4", options, crew=workers)
        assert sum("died (exit status -9)" in notice for notice in watch.notices) == 1
        assert report.frames == 55
        assert clips.read(tmp_path / "out.mp4").numbers == list(range(55))
        assert watch.told[-1].frames == 55
        Watch().restore(source, tmp_path / "next.mp4", options, crew=workers)
        assert len(workers.process_ids) == 2
        assert clips.read(tmp_path / "next.mp4").numbers == list(range(55))


@pytest.mark.slow
def test_when_all_workers_are_dead_the_run_ends_and_what_is_finished_stays(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=55)
    options = replace(OPTIONS, devices=("cpu",))
    with Processes(options) as workers:
        watch = Watch()
        on_progress = watch.on_progress

        def kill(progress):
            on_progress(progress)
            if progress.phase == "restore" and progress.frames == 25:
                os.kill(workers.process_ids[0], signal.SIGKILL)

        watch.on_progress = kill
        with pytest.raises(BackendError, match="it was the last one") as error:
            watch.restore(source, tmp_path / "out.mp4", options, crew=workers)
        assert "continue" in error.value.hint
    kept = len(list(work_folder(tmp_path / "out.mp4").glob("segment-*.mp4")))
    assert kept >= 1
    again = Watch().restore(source, tmp_path / "out.mp4")
    assert again.resumed == 10 * kept
    assert clips.read(tmp_path / "out.mp4").numbers == list(range(55))


class Engine(BuiltinRunner):
    """Takes pictures of one size."""

    def __init__(self, size):
        super().__init__("nearest")
        self.size = size

    def takes(self, height, width):
        return (height, width) == self.size


def test_a_worker_loads_the_engine_for_each_videos_size():
    ours, theirs = Pipe()
    asked, answers = [], []

    def load(*_, size, **__):
        asked.append(size)
        return Engine(size)

    def parent():
        for size in ((24, 32), (24, 32), (48, 64)):
            ours.send(("prepare", (RestoreOptions(), size, 8)))
            answers.append(ours.recv()[0])
        ours.close()

    asking, handler = Thread(target=parent), signal.getsignal(signal.SIGINT)
    asking.start()
    options = RestoreOptions(weights="nearest", backend="tensorrt")
    serve(theirs, Settings(options, share=1.0, threads=None), load)
    signal.signal(signal.SIGINT, handler)
    asking.join()
    assert answers == ["answer"] * 3
    assert asked == [(24, 32), (48, 64)]
