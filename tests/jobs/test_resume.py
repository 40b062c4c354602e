"""A run that was stopped goes on where it stopped, or says why it cannot."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import clips
import long_jobs
import pytest
from long_jobs import OPTIONS, StoppedError, Watch

from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.jobs.journal import Journal, identity
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source


@pytest.fixture
def source(tmp_path):
    """26 frames, three segments: of 10, 10 and 6."""
    return clips.make(tmp_path / "in.mp4", frames=26, audio=("aac",), audio_seconds=1)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.mp4"


def stopped(source, target, after=21, options=OPTIONS):
    """Start a job and stop it, by default in its third segment."""
    with pytest.raises(StoppedError):
        Watch(stop_after=after).restore(source, target, options)
    assert not target.exists()


def segments_in(target):
    return {file.name: file.stat().st_mtime_ns for file in work_folder(target).glob("segment-*")}


def test_a_stopped_run_keeps_its_finished_segments_and_nothing_half(source, target):
    stopped(source, target)
    assert sorted(segments_in(target)) == ["segment-00000.mp4", "segment-00001.mp4"]
    assert {file.name for file in work_folder(target).iterdir()} == {
        *("holder", "journal.json", "lock", "segment-00000.mp4", "segment-00001.mp4"),
    }
    assert clips.read(work_folder(target) / "segment-00001.mp4").numbers == list(range(10, 20))


@pytest.mark.slow
def test_the_next_run_restores_the_rest_alone_and_reports_that(tmp_path, source, target):
    stopped(source, target)
    watch = Watch()
    report = watch.restore(source, target)
    assert any("2 of 3 segments (20 of 26 frames) are finished" in n for n in watch.notices)
    assert [p.frames for p in watch.told] == list(range(21, 27))
    assert {(p.total, p.resumed, p.segment, p.segments) for p in watch.told} == {(26, 20, 2, 3)}
    assert (report.frames, report.resumed) == (26, 20)
    restore_video(source, tmp_path / "whole.mp4", replace(OPTIONS, segment_seconds=60))
    whole = tmp_path / "whole.mp4"
    assert long_jobs.streams_and_times(target) == long_jobs.streams_and_times(whole)
    assert clips.read(target).numbers == list(range(26))
    assert {file.name for file in tmp_path.iterdir()} == {"in.mp4", "out.mp4", "whole.mp4"}


@pytest.mark.slow
def test_repeated_frames_of_an_earlier_run_are_counted_too(tmp_path, target):
    shows = tuple(number // 3 for number in range(26))
    source = clips.make(tmp_path / "in.mkv", frames=26, codec="ffv1", options={}, shows=shows)
    stopped(source, target, after=20)
    watch = Watch()
    report = watch.restore(source, target)
    assert (report.frames, report.resumed, report.repeats) == (26, 12, 17)
    assert [p.repeats for p in watch.told] == [i - shows[i] for i in range(12, 26)]
    assert clips.read(target).numbers == list(shows)
    restore_video(source, tmp_path / "whole.mp4", replace(OPTIONS, segment_seconds=60))
    whole = tmp_path / "whole.mp4"
    assert long_jobs.streams_and_times(target) == long_jobs.streams_and_times(whole)


@pytest.mark.slow
def test_a_run_stopped_before_its_first_segment_goes_on_too(source, target):
    stopped(source, target, after=3)
    assert not segments_in(target)
    assert Watch().restore(source, target).frames == 26
    assert clips.read(target).numbers == list(range(26))


@pytest.mark.parametrize("change, says", [
    ({"scale": 2}, "scale was 4, is 2"),
    ({"strength": 0.5}, "strength was 1.0, is 0.5"),
    ({"encoder": EncoderOptions(crf=30)}, "crf was null, is 30"),
    ({"weights": "bicubic"}, "weights was nearest, is bicubic"),
    ({"segment_seconds": 0.2}, "segment-seconds was 0.4, is 0.2"),
])  # fmt: skip
@pytest.mark.slow
def test_other_options_are_refused_by_name_and_restart_begins_anew(source, target, change, says):
    stopped(source, target)
    kept = segments_in(target)
    with pytest.raises(OutputError, match=says) as refused:
        Watch().restore(source, target, replace(OPTIONS, **change))
    assert "--restart" in refused.value.hint
    assert segments_in(target) == kept
    watch = Watch()
    watch.restore(source, target, replace(OPTIONS, **change, restart=True))
    assert len(watch.told) == 26
    assert not any("going on" in notice for notice in watch.notices)


def test_options_that_only_say_who_works_may_change(source, target):
    stopped(source, target)
    report = Watch().restore(source, target, replace(OPTIONS, device="cpu", overwrite=True))
    assert report.resumed == 20


def test_another_input_is_refused(source, target):
    stopped(source, target)
    clips.make(source, frames=25)
    with pytest.raises(OutputError, match=r"size of the input was .* bytes, is .* bytes"):
        Watch().restore(source, target)


def test_an_input_merely_touched_is_refused_by_its_date(source, target):
    stopped(source, target)
    os.utime(source, (1e9, 1e9))
    with pytest.raises(OutputError, match=r"date of the input was .*, is 2001-09-09") as refused:
        Watch().restore(source, target)
    assert "size" not in str(refused.value)


@pytest.mark.slow
def test_weights_of_the_same_name_but_other_numbers_are_refused(source, target, tiny, tiny_of_5):
    options = replace(OPTIONS, precision="float32")
    stopped(source, target, options=replace(options, weights=tiny), after=11)
    with pytest.raises(OutputError, match=r"weights was sha256 .*, is sha256 "):
        Watch().restore(source, target, replace(options, weights=tiny_of_5))


@pytest.mark.slow
def test_a_segment_that_was_damaged_meanwhile_is_restored_again(source, target):
    stopped(source, target)
    segment = work_folder(target) / "segment-00000.mp4"
    segment.write_bytes(segment.read_bytes()[:-7])
    assert Watch().restore(source, target).resumed == 10
    assert clips.read(target).numbers == list(range(26))


@pytest.mark.slow
def test_a_damaged_journal_is_refused_and_restart_helps(source, target):
    stopped(source, target)
    (work_folder(target) / "journal.json").write_text("{")
    with pytest.raises(OutputError, match="is not a journal") as refused:
        Watch().restore(source, target)
    assert "--restart" in refused.value.hint
    assert Watch().restore(source, target, replace(OPTIONS, restart=True)).frames == 26


def test_a_job_in_work_is_refused_to_a_second_process(source, target):
    stopped(source, target)
    kept = segments_in(target)
    with (
        Journal(work_folder(target)),
        pytest.raises(OutputError, match=f"another vsrdb .process {os.getpid()}. is working"),
    ):
        Watch().restore(source, target)
    assert segments_in(target) == kept
    assert Watch().restore(source, target).resumed == 20


def test_what_a_killed_run_left_half_written_is_swept_away(source, target):
    stopped(source, target)
    (work_folder(target) / ".vsrdb-1-abcd.part").write_bytes(b"half a segment")
    stopped(source, target, after=1)
    assert not list(work_folder(target).glob(".*"))


@pytest.mark.slow
def test_a_run_killed_just_before_its_folder_was_removed_needs_only_that(
    source, target, monkeypatch
):
    stopped(source, target)
    kept = {file.name: file.read_bytes() for file in work_folder(target).iterdir()}
    Watch().restore(source, target)
    made = target.read_bytes()
    work_folder(target).mkdir()
    for name, content in kept.items():
        (work_folder(target) / name).write_bytes(content)
    journal = json.loads(kept["journal.json"])
    journal["joined"] = len(made)
    (work_folder(target) / "journal.json").write_text(json.dumps(journal))
    full = SimpleNamespace(free=0)  # of output and segments
    monkeypatch.setattr("vsrdb_cli.files.shutil.disk_usage", lambda _: full)
    watch = Watch()
    report = watch.restore(source, target)
    assert (report.frames, report.resumed, watch.told) == (26, 26, [])
    with open_source(target) as output:
        assert (report.height_hr, report.width_hr) == (output.info.height, output.info.width)
    assert target.read_bytes() == made
    assert not work_folder(target).exists()


@pytest.mark.parametrize("options", [
    replace(OPTIONS, weights="no-such-weights"),
    replace(OPTIONS, encoder=EncoderOptions(pix_fmt="no")),
    replace(OPTIONS, encoder=EncoderOptions(codec="ffv1")),
])  # fmt: skip
def test_what_fails_before_the_work_leaves_no_folder(source, target, options):
    with pytest.raises(VsrdbError):
        Watch().restore(source, target, options)
    assert [file.name for file in target.parent.iterdir()] == ["in.mp4"]


@pytest.mark.slow
def test_an_output_that_exists_is_refused_before_the_work(source, target):
    target.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        Watch().restore(source, target)
    assert target.read_text() == "precious"
    assert not work_folder(target).exists()
    Watch().restore(source, target, replace(OPTIONS, overwrite=True))
    assert clips.read(target).numbers == list(range(26))


@pytest.mark.slow
def test_smaller_tiles_after_a_lack_of_memory_are_kept_for_later_segments(tmp_path, target):
    from vsrdb_cli.backends.builtin import BuiltinRunner

    class Hungry(BuiltinRunner):
        def restore(self, window):
            if window[0].shape[3] > 110:
                raise RuntimeError("can't allocate memory")
            return super().restore(window)

    source = clips.make(tmp_path / "in.mp4", frames=26)
    options = RestoreOptions(segment_seconds=0.4)
    watch = Watch(stop_after=15)
    with pytest.raises(StoppedError):
        watch.restore(source, target, options, runner=Hungry("nearest"))
    journal = json.loads((work_folder(target) / "journal.json").read_text())
    assert journal["tile"] == 106
    assert sum("memory ran out: continuing in tiles of 106" in n for n in watch.notices) == 1
    report = Watch().restore(source, target, options, runner=Hungry("nearest"))
    assert (report.tile, report.resumed) == (106, 10)
    assert not any("memory ran out" in notice for notice in report.notices)
    assert clips.read(target).numbers == list(range(26))


@pytest.mark.parametrize("wrong", [{"encoder": EncoderOptions(codec="prores")}, {"weights": "x"}])
@pytest.mark.cases
def test_starting_over_keeps_what_is_finished_until_it_can_be_done(source, target, wrong):
    stopped(source, target)
    kept = segments_in(target)
    with pytest.raises(VsrdbError):
        Watch().restore(source, target, replace(OPTIONS, restart=True, **wrong))
    assert segments_in(target) == kept
    assert Watch().restore(source, target, OPTIONS).resumed == 20


def test_a_file_that_is_no_picture_may_come_into_a_folder_of_pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "frame_1.png").touch()
    before = identity(folder)
    (folder / ".DS_Store").touch()
    (folder / "notes.txt").touch()
    assert identity(folder) == before
    (folder / "frame_2.png").touch()
    assert identity(folder) != before
