"""Several worker processes give what one would, and survive each other's death."""

import os
import signal
from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, Watch, pixels

from vsrdb_cli.errors import BackendError, CheckpointError
from vsrdb_cli.jobs.processes import Processes
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.restore import restore_video

TWO = ("cpu", "cpu")


def test_two_workers_give_the_frames_of_an_unbroken_run(tmp_path, tiny):
    source = clips.make(tmp_path / "in.mp4", frames=35, height=24, width=32)
    options = replace(
        OPTIONS,
        weights=tiny,
        precision="float32",
        scene_cuts=False,
        encoder=EncoderOptions(codec="ffv1"),
    )
    restore_video(source, tmp_path / "whole.mkv", replace(options, segment_seconds=60))
    watch = Watch()
    report = watch.restore(source, tmp_path / "two.mkv", replace(options, devices=TWO))
    assert report.runner.device == "cpu,cpu"
    assert {progress.segment for progress in watch.told} == {0, 1, 2, 3}
    assert pixels(tmp_path / "two.mkv") == pixels(tmp_path / "whole.mkv")


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
        with pytest.raises(BackendError, match="there is no other") as error:
            watch.restore(source, tmp_path / "out.mp4", options, crew=workers)
        assert "go on" in error.value.hint
    kept = len(list(work_folder(tmp_path / "out.mp4").glob("segment-*.mp4")))
    assert kept >= 1
    again = Watch().restore(source, tmp_path / "out.mp4")
    assert again.resumed == 10 * kept
    assert clips.read(tmp_path / "out.mp4").numbers == list(range(55))


@pytest.mark.slow
def test_what_a_worker_cannot_load_is_said_as_if_there_were_no_worker(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=15)
    options = replace(OPTIONS, weights="no-such-weights", devices=("cpu",))
    with pytest.raises(CheckpointError, match="no-such-weights"):
        restore_video(source, tmp_path / "out.mp4", options)
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]
