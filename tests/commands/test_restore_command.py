"""`vsrdb restore` for other programs: JSON lines, exit statuses, pipes, a configuration file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import clips
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.jobs.run import work_folder

PROGRAM = [sys.executable, "-c", "from vsrdb_cli.cli import main; main()", "restore"]
ROOT = Path(__file__).parents[2]


def vsrdb(*arguments):
    command = ["restore", "--weights", "nearest", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def events(done):
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture
def source(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=26, height=24, width=32)


def test_json_lines_report_the_whole_run(tmp_path, source):
    done = vsrdb(source, tmp_path / "out.mp4", "--progress", "json", "--segment-seconds", "0.4")
    reported = events(done)
    assert done.exit_code == 0
    assert done.stdout == ""
    assert reported[0] == {"event": "loading", "file": None, "what": "libraries"}
    start = {"event": "start", "file": str(source), "output": str(tmp_path / "out.mp4")}
    assert reported[1] == start | {"number": 1, "of": 1}
    kinds = [event["event"] for event in reported]
    assert {"plan", "frame", "join"} < set(kinds)
    assert {"event": "loading", "file": str(source), "what": "network"} in reported
    assert all(event["file"] == str(source) for event in reported[1:-1])
    last = [event for event in reported if event["event"] == "frame"][-1]
    assert (last["frame"], last["frames"], last["eta_seconds"]) == (26, 26, 0)
    assert last["fps"] > 0
    assert last["segment"] == last["segments"] - 1
    assert reported[-1] == reported[-1] | {"event": "end", "restored": 1, "failed": 0, "status": 0}
    assert reported[-2] == reported[-2] | {"event": "done", "frame": 26, "width": 128, "height": 96}
    assert reported[-2]["bytes"] == (tmp_path / "out.mp4").stat().st_size


def test_json_lines_report_a_short_run_too(tmp_path, source):
    reported = events(vsrdb(source, tmp_path / "out.mp4", "--progress", "json"))
    frames = [event for event in reported if event["event"] == "frame"]
    assert frames[-1]["frame"] == 26
    assert frames[-1]["segment"] is None
    assert [f["frame"] for f in frames] == sorted({f["frame"] for f in frames})


def test_an_error_is_a_json_line_with_its_hint_and_status_1(tmp_path, source):
    (tmp_path / "out.mp4").touch()
    done = vsrdb(source, tmp_path / "out.mp4", "--progress", "json")
    (error,) = [event for event in events(done) if event["event"] == "error"]
    assert done.exit_code == 1
    assert error["message"].endswith("exists already")
    assert "--overwrite" in error["hint"]


def test_a_batch_reports_every_file_and_its_end(tmp_path, source):
    (tmp_path / "bad.mp4").write_text("no video")
    done = vsrdb(source, tmp_path / "bad.mp4", tmp_path / "out", "--progress", "json")
    reported = events(done)
    assert done.exit_code == 1
    assert {e["file"] for e in reported} == {str(source), str(tmp_path / "bad.mp4"), None}
    end = {"event": "end", "file": None, "restored": 1, "skipped": 0, "failed": 1, "status": 1}
    assert reported[-1] == reported[-1] | end


def test_quiet_prints_only_errors(tmp_path, source):
    done = vsrdb(source, tmp_path / "out.mp4", "--quiet")
    assert (done.stdout, done.stderr, done.exit_code) == ("", "", 0)
    again = vsrdb(source, tmp_path / "out.mp4", "--quiet")
    assert again.stderr.startswith("error: ")
    assert vsrdb(source, tmp_path / "o.mp4", "--quiet", "--progress", "json").exit_code == 2


@pytest.mark.parametrize("arguments, status", [
    (["--crf", "99"], 2), (["--no-such-option"], 2), (["--devices", "cpu,,"], 2),
    (["--devices", "cpu", "--device", "cpu"], 2), (["--weights", "no-such"], 1),
    (["--tile", "10"], 2), (["--codec", "prores"], 2), (["--start", "1m"], 2),
    (["--device", "gpu"], 2), (["--preset", "quick"], 2), (["--crf", "60"], 2),
    (["--config", "none.toml"], 2), (["--start", "0.5", "--end", "0.2"], 2), (["--fps", "25"], 2),
    (["--start", "1h"], 2), (["--report", "no/folder/r.json"], 2), ([], 0),
])  # fmt: skip
def test_exit_statuses(tmp_path, source, arguments, status):
    assert vsrdb(source, tmp_path / "out.mp4", *arguments).exit_code == status
    assert (tmp_path / "out.mp4").exists() == (status == 0)


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
@pytest.mark.cases
def test_damage_is_reported_in_one_line_with_status_3(tmp_path, quiet):
    whole = clips.make(tmp_path / "in.mkv", frames=26, height=96, width=128)
    whole.write_bytes(whole.read_bytes()[:-2000])
    done = vsrdb(whole, tmp_path / "out.mkv", *quiet)
    assert done.exit_code == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "not all of the source could be read: the video was cut off" in line
    assert (tmp_path / "out.mkv").exists()
    assert not quiet or done.stderr == line + "\n"


@pytest.mark.slow
def test_a_stream_cut_within_a_frame_is_damage(tmp_path, source):
    decode = ["ffmpeg", "-v", "error", "-i", source, "-f", "yuv4mpegpipe", "-"]
    stream = subprocess.run(decode, capture_output=True, check=True).stdout
    done = subprocess.run(
        [*PROGRAM, "-", tmp_path / "out.mp4", "--weights", "nearest", "--quiet"],
        input=stream[: len(stream) // 2 + 7], capture_output=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"warning: ")


@pytest.mark.linux
@pytest.mark.slow
def test_interrupted_it_reports_what_is_kept_and_ends_with_130(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=500, height=90, width=160)
    target = tmp_path / "out.mp4"
    run = subprocess.Popen(
        # A shell's background job ignores Ctrl-C, and its children inherit that.
        ["env", "--default-signal", *PROGRAM, source, target, "--weights", "bicubic",
         "--segment-seconds", "0.4", "--preset", "slower", "--progress", "json"],
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.stderr is not None
    reported = []
    for line in run.stderr:
        reported.append(json.loads(line))
        if reported[-1].get("segment", 0) >= 2:  # not every frame has a line
            run.send_signal(2)
            break
    reported += [json.loads(line) for line in run.stderr]
    assert run.wait(30) == 130
    assert [event["event"] for event in reported[-2:]] == ["interrupted", "end"]
    assert str(work_folder(target)) in reported[-2]["text"]
    assert reported[-2]["signal"] == "SIGINT"
    assert reported[-1]["status"] == 130
    assert not target.exists()
    assert (work_folder(target) / "segment-00000.mp4").exists()


@pytest.mark.posix
@pytest.mark.slow
def test_a_video_goes_through_pipes_between_two_ffmpeg(tmp_path, source):
    out = tmp_path / "out.mkv"
    decode = f"ffmpeg -v error -i {source} -f yuv4mpegpipe -"
    encode = f"ffmpeg -v error -i - -c:v ffv1 {out}"
    program = " ".join(f"'{part}'" for part in PROGRAM)
    done = subprocess.run(
        f"{decode} | {program} - - --weights nearest --quiet | {encode}",
        shell=True, check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stderr == ""
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [clips.number_in(frame) for frame in frames] == list(range(26))
    assert frames[0].shape == (96, 128, 3)


@pytest.mark.posix
@pytest.mark.slow
def test_the_pages_pipe_keeps_every_frame_and_the_sound(tmp_path):
    page = (ROOT / "docs" / "VIDEO.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"```sh\n(ffmpeg .*?)```", page, re.DOTALL)
    clips.make(tmp_path / "in.mkv", frames=26, audio=("aac",), audio_seconds=1)
    program = " ".join(f"'{part}'" for part in PROGRAM)
    line = line.replace("vsrdb restore - -", f"{program} - - --weights nearest --quiet")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(line, shell=True, check=True, cwd=tmp_path, env=environment, timeout=120)
    with av.open(str(tmp_path / "in.mkv")) as before, av.open(str(tmp_path / "out.mkv")) as after:
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert sounds[0] == sounds[1]
    with av.open(str(tmp_path / "out.mkv")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [clips.number_in(frame) for frame in frames] == list(range(26))


@pytest.mark.slow
def test_a_configuration_file_gives_options_and_the_command_line_wins(tmp_path, source):
    config = tmp_path / "vsrdb.toml"
    config.write_text('scale = 3\ncodec = "hevc"\nno-scene-cut = true\nsegment-seconds = 0.4\n')
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert done.exit_code == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert container.streams.video[0].width == 96
    assert vsrdb(source, tmp_path / "4.mp4", "--config", config, "--scale", "4").exit_code == 0
    with av.open(str(tmp_path / "4.mp4")) as container:
        assert container.streams.video[0].width == 128


def test_a_graph_of_a_configuration_file_is_shown(tmp_path, source):
    config = tmp_path / "vsrdb.toml"
    config.write_text('prefilter = "hflip"\npostfilter = "vflip"\n')
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert "note: before the network (--prefilter): hflip" in done.stderr
    assert "note: before the encoder (--postfilter): vflip" in done.stderr


@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
@pytest.mark.cases
def test_filters_open_files_only_by_the_command_line(tmp_path, source, option):
    (tmp_path / "look.cube").write_text("LUT_3D_SIZE 2\n" + "0 0 0\n" * 8)
    graph = f"lut3d={tmp_path / 'look.cube'}"
    config = tmp_path / "vsrdb.toml"
    config.write_text(f'{option} = "{graph}"\n')
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert (done.exit_code, (tmp_path / "out.mp4").exists()) == (2, False)
    assert "lut3d can open files, which a configuration file must not" in done.stderr
    assert vsrdb(source, tmp_path / "out.mp4", f"--{option}", graph).exit_code == 0


@pytest.mark.parametrize("text, says", [
    ("scal = 2", "there is no option 'scal'"), ("quiet = 1", "quiet is 1, expected true or false"),
    ("scale = [2]", "scale is .2., expected one value"), ("scale = ", "is not valid TOML"),
    ("scale = true", "scale is True, expected a value"), ("target = 'x'", "no option 'target'"),
    ("config = 'x'", "no option 'config'"), ("scale = " + "[" * 50_000, "is not valid TOML"),
    ("scale = " + "9" * 5000, "is not valid TOML"),
    ("scale = 2\n" + "#" * (1 << 20), "is longer than"),
    ("scale = 0x" + "f" * 5000, "scale has too many digits"),
    ("prefilter = 'hflip,'", "a filter is missing"),
])  # fmt: skip
def test_what_a_configuration_file_cannot_mean_is_an_error(tmp_path, source, text, says):
    config = tmp_path / "vsrdb.toml"
    config.write_text(text)
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert done.exit_code == 2
    assert says.replace(".2.", "[2]") in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text, says", [
    pytest.param(
        None, "/dev/zero cannot be read: it is longer than 1048576 bytes", marks=pytest.mark.posix
    ),
    ("scale = " + 3000 * "[", "is not valid TOML"), ("scale = " + 5000 * "9", "is not valid TOML"),
])  # fmt: skip
def test_a_file_that_is_no_configuration_is_read_to_a_limit(tmp_path, source, text, says):
    config = tmp_path / "vsrdb.toml" if text else "/dev/zero"
    if text:
        config.write_text(text)
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_value_out_of_range_in_the_file_is_the_options_own_error(tmp_path, source):
    config = tmp_path / "vsrdb.toml"
    config.write_text("scale = 9")
    done = vsrdb(source, tmp_path / "out.mp4", "--config", config)
    assert done.exit_code == 2
    assert "--scale" in done.stderr
    assert (
        "did you mean 'scale'?"
        in vsrdb(source, tmp_path / "out.mp4", "--config", _file(tmp_path, "scal = 2")).stderr
    )
    assert "cannot be read" in vsrdb(source, "x.mp4", "--config", tmp_path / "none.toml").stderr


def _file(folder, text):
    path = folder / "other.toml"
    path.write_text(text)
    return path


def test_a_file_may_have_the_name_that_the_arguments_have_inside(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    source.rename("paths")
    assert vsrdb("paths", "out.mp4").exit_code == 0


@pytest.mark.parametrize("which", ["in.mp4", "out.mp4", "report.json"])
def test_a_log_is_neither_input_nor_output(tmp_path, source, which):
    before = source.read_bytes()
    report = ["--report", tmp_path / "report.json"]
    done = vsrdb(source, tmp_path / "out.mp4", *report, "--log-file", tmp_path / which)
    assert done.exit_code == 2
    assert "would overwrite an input or output" in done.stderr
    assert source.read_bytes() == before


def test_a_log_is_no_video_in_a_folder(tmp_path, source):
    before = source.read_bytes()
    (tmp_path / "link.log").hardlink_to(source)
    for log in (source, tmp_path / "link.log"):
        done = vsrdb(source, tmp_path / "out", "--log-file", log)
        assert done.exit_code == 2
    done = vsrdb(tmp_path, tmp_path / "out", "--log-file", source)
    assert done.exit_code == 2
    assert source.read_bytes() == before
