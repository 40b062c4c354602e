"""What every crew promises, whoever restores the segments."""

from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, StoppedError, Watch, pixels

from vsrdb_cli.errors import CheckpointError, VideoError
from vsrdb_cli.jobs.crew import Alone
from vsrdb_cli.jobs.processes import Processes
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.restore import restore_video


def alone(options):
    return Alone(options)


def two_processes(options):
    return Processes(replace(options, devices=("cpu", "cpu")))


CREWS = [alone, pytest.param(two_processes, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def options(tiny):
    encoder = EncoderOptions(codec="ffv1")
    return replace(OPTIONS, weights=tiny, precision="float32", scene_cuts=False, encoder=encoder)


@pytest.fixture(scope="module", params=CREWS)
def crew(request, options):
    """One for all tests of its kind: a crew serves one video after another."""
    with request.param(options) as crew:
        yield crew


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return clips.make(folder / "in.mp4", frames=35, height=24, width=32)


@pytest.fixture
def unbroken(source, options, tmp_path):
    """The frames of a run in one piece."""
    target = tmp_path / "whole.mkv"
    restore_video(source, target, replace(options, segment_seconds=60))
    return pixels(target)


def test_its_frames_are_those_of_an_unbroken_run(tmp_path, options, crew, source, unbroken):
    watch = Watch()
    report = watch.restore(source, tmp_path / "out.mkv", options, crew=crew)
    assert report.frames == len(watch.told) == 35
    assert {progress.segment for progress in watch.told} == {0, 1, 2, 3}
    assert pixels(tmp_path / "out.mkv") == unbroken


def test_it_says_what_runs(options, crew):
    crew.prepare(options, (24, 32), 8)
    assert (crew.info.weights, crew.info.precision) == ("tiny", "float32")
    assert set(crew.info.device.split(",")) == {"cpu"}


def test_it_settles_the_tile_that_was_asked_for_or_none_where_all_fits(options, crew):
    assert crew.prepare(replace(options, tile=96), (300, 300), 8) == 96
    assert crew.prepare(options, (24, 32), 8) is None


def test_stopped_it_keeps_finished_segments_and_another_run_continues(
    tmp_path, options, crew, source, unbroken
):
    with pytest.raises(StoppedError):
        Watch(stop_after=34).restore(source, tmp_path / "out.mkv", options, crew=crew)
    again = Watch().restore(source, tmp_path / "out.mkv", options)
    assert again.resumed >= 10
    assert pixels(tmp_path / "out.mkv") == unbroken


def test_a_source_that_is_replaced_while_it_works_gives_no_output(tmp_path, options, crew):
    source = clips.make(tmp_path / "in.mp4", frames=35, height=24, width=32)
    other = clips.make(tmp_path / "other.mp4", frames=35, height=24, width=32)
    watch = Watch()

    def on_progress(progress):
        if progress.frames == 5:
            other.replace(source)

    watch.on_progress = on_progress
    with pytest.raises(VideoError, match="was changed while it was restored: "):
        watch.restore(source, tmp_path / "out.mkv", options, crew=crew)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("crew_of", CREWS)
def test_what_cannot_be_loaded_is_one_error_and_leaves_nothing(tmp_path, options, source, crew_of):
    wanted = replace(options, weights="no-such-weights")
    with crew_of(wanted) as crew, pytest.raises(CheckpointError, match="no-such-weights"):
        Watch().restore(source, tmp_path / "out.mkv", wanted, crew=crew)
    assert list(tmp_path.iterdir()) == []
