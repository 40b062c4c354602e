"""Without a terminal a run is reported in lines, soon at first and then ever less often."""

import re
from itertools import pairwise

import clips
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.commands.events import InputStarted, Progressed
from vsrdb_cli.commands.lines import PHASES, Intervals, LogLines
from vsrdb_cli.jobs.report import Phase, Progress


def vsrdb(*arguments):
    command = ["restore", "--weights", "nearest", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


@pytest.fixture
def source(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32)


def test_lines_come_after_5_seconds_then_ever_later_up_to_5_minutes():
    now = 0.0
    intervals = Intervals(lambda: now)
    due = []
    for second in range(2000):
        now = float(second)
        if intervals.due():
            due.append(second)
    assert due[:3] == [5, 15, 35]
    assert max(after - before for before, after in pairwise(due)) == 300


def test_a_line_has_the_inputs_place_frames_rate_and_time_left(tmp_path, capsys):
    lines = LogLines(intervals=Intervals(iter(range(0, 1000, 100)).__next__))
    lines(InputStarted(tmp_path / "a.mp4", tmp_path / "b.mp4", 3, 40))
    lines(Progressed(Progress(1, 101, 1.0)))
    capsys.readouterr()
    lines(Progressed(Progress(50, 101, 25.0), 3700.0))
    assert capsys.readouterr().err == (
        "3/40 b.mp4: restoring, 50 of 101 frames, 2.00 fps, about 26 s left (all inputs: 1:01:40)\n"
    )


def test_every_phase_has_a_name_for_people():
    assert PHASES.keys() == {phase.value for phase in Phase}


def test_frames_of_an_earlier_run_count_for_neither_rate_nor_time_left(tmp_path, capsys):
    lines = LogLines(intervals=Intervals(iter(range(0, 1000, 100)).__next__))
    lines(InputStarted(tmp_path / "a.mp4", tmp_path / "b.mp4"))
    for frames in (61, 70):
        lines(Progressed(Progress(frames, 100, frames - 60.0, resumed=60)))
    assert "70 of 100 frames, 1.00 fps, about 30 s left" in capsys.readouterr().err


def test_a_log_file_gets_every_line_with_its_time_whatever_is_shown(tmp_path, source):
    log = tmp_path / "run.log"
    log.write_text("before\n")
    done = vsrdb(source, tmp_path / "out.mp4", "--quiet", "--log-file", log)
    assert (done.exit_code, done.stderr) == (0, "")
    vsrdb(source, tmp_path / "out.mp4", "--progress", "json", "--log-file", log)
    before, *lines = log.read_text().splitlines()
    assert before == "before"
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d ", line) for line in lines)
    text = "\n".join(lines)
    assert "network: nearest" in text
    assert "out.mp4: 3 frames, 128x96" in text
    assert "error: " in lines[-1]
    assert "--overwrite" in lines[-1]


@pytest.mark.linux
def test_a_log_that_can_no_longer_be_written_does_not_end_the_run(tmp_path, source):
    done = vsrdb(source, tmp_path / "out.mp4", "--log-file", "/dev/full")
    assert done.exit_code == 0
    assert done.stderr.count("no more is written to the log file /dev/full: No space") == 1
    assert (tmp_path / "out.mp4").exists()


def test_verbose_prints_network_and_encoder(tmp_path, source):
    assert "network: " not in vsrdb(source, tmp_path / "a.mp4").stderr
    printed = vsrdb(source, tmp_path / "b.mp4", "-v").stderr
    assert "network: nearest · torch cpu float32, whole pictures" in printed
    assert "encoder: libx264" in printed


@pytest.mark.parametrize("option", ["--report", "--log-file"])
def test_a_path_that_cannot_be_is_refused_before_the_work(tmp_path, source, option):
    done = vsrdb(source, tmp_path / "out.mp4", option, tmp_path / "no" / "file")
    assert done.exit_code == 2
    assert "does not exist" in done.stderr
    assert not (tmp_path / "out.mp4").exists()
    if option == "--report":
        assert vsrdb(source, tmp_path / "out.mp4", option, source).exit_code == 2


def test_one_frame_is_one_frame(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=1, height=24, width=32)
    assert "out.mp4: 1 frame, " in vsrdb(source, tmp_path / "out.mp4").stderr
