"""Film in 3:2 pulldown is restored in segments, by processes and resumed as it is at once."""

from dataclasses import replace

import pytest
from long_jobs import OPTIONS, StoppedError, Watch, pixels, streams_and_times
from telecined import FILM, fields, film, woven, write

from vsrdb_cli.dry_run.estimate import estimate_run
from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.restore import restore_video

LOSSLESS = replace(OPTIONS, encoder=EncoderOptions(codec="ffv1"))
WHOLE = replace(LOSSLESS, segment_seconds=100)


@pytest.fixture
def source(tmp_path):
    """A file with a cadence that is broken within a segment, and sound."""
    shown = [*fields(film(31))[1:], *fields(film(30, first=100))[3:]]
    return write(tmp_path / "in.mp4", woven(shown), sound=2.4)


@pytest.mark.slow
def test_segments_resumed_are_the_film_restored_at_once(tmp_path, source):
    once, target = tmp_path / "once.mkv", tmp_path / "out.mkv"
    at_once = restore_video(source, once, WHOLE)
    with pytest.raises(StoppedError):
        restore_video(source, target, LOSSLESS, on_progress=Watch(stop_after=27).on_progress)
    resumed = restore_video(source, target, LOSSLESS)
    assert 0 < resumed.resumed < at_once.frames == resumed.frames
    assert streams_and_times(target) == streams_and_times(once)
    assert pixels(target) == pixels(once)


@pytest.mark.slow
def test_processes_restore_the_same_frames(tmp_path, source):
    once, target = tmp_path / "once.mkv", tmp_path / "out.mkv"
    restore_video(source, once, WHOLE)
    restore_video(source, target, replace(LOSSLESS, devices=("cpu", "cpu")))
    assert pixels(target) == pixels(once)


@pytest.mark.slow
def test_a_job_of_film_is_not_continued_as_video(tmp_path, source):
    target = tmp_path / "out.mp4"
    with pytest.raises(StoppedError):
        restore_video(source, target, OPTIONS, on_progress=Watch(stop_after=27).on_progress)
    with pytest.raises(OutputError, match="detelecine was null, is false"):
        restore_video(source, target, replace(OPTIONS, detelecine=False))


@pytest.mark.slow
def test_a_dry_run_tells_the_frames_of_film(tmp_path, source):
    estimate = estimate_run(source, tmp_path / "out.mp4", OPTIONS)
    report = restore_video(source, tmp_path / "out.mp4", OPTIONS)
    assert estimate.info.frame_count == report.frames
    assert estimate.info.rate == FILM
    assert estimate.notices[0] == report.notices[0]
    assert f"its {report.frames} frames are brought back" in report.notices[0]
