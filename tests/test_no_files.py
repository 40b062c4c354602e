"""Pipes and devices are written to and read as streams: never replaced, never waited for."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import clips
import pytest
from click.testing import CliRunner

from vsrdb_cli import pipes
from vsrdb_cli.cli import main
from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.files import put_in_place, whole
from vsrdb_cli.video.reading.open import open_source

pytestmark = pytest.mark.posix

ROOT = Path(__file__).parents[1]
LONG = ROOT / "tests" / "wild" / "long.mp4"


@pytest.fixture
def source(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=6, height=24, width=32)


@pytest.fixture
def y4m(tmp_path, source):
    path = tmp_path / "in.y4m"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pipes, "PATIENCE_SECONDS", 0.2)


def pipe(path):
    os.mkfifo(path)
    return path


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, Path(os.devnull).stat().st_rdev)
    except PermissionError:
        pytest.skip("only root makes devices")
    return path


def vsrdb(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def restore(*arguments):
    return vsrdb("restore", "--weights", "nearest", *arguments)


class Other:
    """A program at the other end of a pipe."""

    def __init__(self, path, data=None):
        self.got = b""

        def read():
            self.got = path.read_bytes()

        def write():
            with suppress(BrokenPipeError):
                path.write_bytes(data)

        self._thread = threading.Thread(target=read if data is None else write, daemon=True)
        self._thread.start()

    def end(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.got


class TestNothingIsReplaced:
    def test_a_device_gets_the_report_and_stays_one(self, tmp_path, source):
        null = device(tmp_path / "null")
        link = tmp_path / "link"
        link.symlink_to(null)
        for name in (null, link):
            run = restore(source, tmp_path / "out.mp4", "--overwrite", "--report", name)
            assert run.exit_code == 0, run.output
        assert stat.S_ISCHR(null.stat().st_mode)
        assert link.is_symlink()

    @pytest.mark.parametrize("source", [LONG])
    @pytest.mark.slow
    def test_a_pipe_gets_the_report_of_a_run_in_segments(self, tmp_path, source):
        report = pipe(tmp_path / "report.json")
        other = Other(report)
        run = restore(source, tmp_path / "out.mkv", "--report", report)
        assert run.exit_code == 0, run.output
        assert json.loads(other.end())["inputs"][0]["frames"] == 600
        assert report.is_fifo()

    @pytest.mark.slow
    def test_of_several_inputs_a_pipe_gets_one_report(self, tmp_path, source):
        report = pipe(tmp_path / "report.json")
        other = Other(report)
        second = clips.make(tmp_path / "second.mp4", frames=3, height=24, width=32)
        assert restore(source, second, tmp_path / "out", "--report", report).exit_code == 0
        assert json.loads(other.end())["restored"] == 2

    @pytest.mark.parametrize("arguments", [
        ("restore", "--weights", "nearest", "in.mp4", "out.mp4", "--compare", "page.html"),
        ("compare", "in.mp4", "in.mp4", "-o", "page.html"),
        ("inspect", "in.mp4", "-o", "page.html"),
    ])  # fmt: skip
    @pytest.mark.cases
    def test_a_pipe_gets_a_page(self, tmp_path, source, monkeypatch, arguments):
        monkeypatch.chdir(tmp_path)
        page = pipe(tmp_path / "page.html")
        other = Other(page)
        run = vsrdb(*arguments)
        assert run.exit_code == 0, run.output
        assert other.end().startswith(b"<!doctype html>")
        assert page.is_fifo()

    def test_a_pipe_gets_the_log_and_a_reader_that_leaves_ends_only_the_log(self, tmp_path, source):
        log = pipe(tmp_path / "log")
        other = Other(log)
        assert restore(source, tmp_path / "out.mp4", "--log-file", log).exit_code == 0
        assert b"out.mp4: 6 frames" in other.end()

    def test_what_comes_into_being_meanwhile_is_not_replaced(self, tmp_path):
        made = tmp_path / "made"
        made.write_text("made")
        with pytest.raises(OutputError, match="was created while"):
            put_in_place(made, pipe(tmp_path / "pipe"), overwrite=True)
        assert (tmp_path / "pipe").is_fifo()
        assert any(path.read_text() == "made" for path in tmp_path.glob("pipe.KEPT*"))

    @pytest.mark.linux
    def test_a_full_device_is_told_in_a_line(self):
        with pytest.raises(OutputError, match="No space left"), whole(Path("/dev/full")) as file:
            file.write_text("some")

    @pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
    def test_a_video_file_is_not_sent_through_a_pipe(self, tmp_path, source, overwrite):
        run = restore(source, pipe(tmp_path / "out.mp4"), *overwrite)
        assert run.exit_code == 1
        assert "is a named pipe, which can only carry y4m" in run.output
        assert (tmp_path / "out.mp4").is_fifo()

    def test_nothing_is_written_to_a_disk_or_a_socket(self, tmp_path, source):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "socket"))
        assert "is a socket" in restore(source, tmp_path / "socket").output
        try:
            os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 200))
        except PermissionError:
            return
        assert "is a disk" in restore(source, tmp_path / "disk", "--overwrite").output


class TestStreams:
    @pytest.mark.parametrize("name", ["pipe", "pipe.y4m"])
    def test_a_pipe_gets_y4m(self, tmp_path, source, name):
        other = Other(pipe(tmp_path / name))
        assert restore(source, tmp_path / name).exit_code == 0
        judged = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", "-", "-f", "framehash", "-"],
            input=other.end(), capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        assert sum(not line.startswith("#") for line in judged.splitlines()) == 6

    def test_a_device_takes_a_video_as_y4m(self, tmp_path, source):
        null = device(tmp_path / "null")
        assert restore(source, null).exit_code == 0
        assert stat.S_ISCHR(null.stat().st_mode)

    def test_y4m_is_read_from_a_pipe_whatever_its_name(self, tmp_path, y4m):
        other = Other(pipe(tmp_path / "in.mkv"), y4m)
        run = restore(tmp_path / "in.mkv", tmp_path / "out.mp4")
        assert run.exit_code == 0, run.output
        other.end()
        assert len(clips.read(tmp_path / "out.mp4").numbers) == 6

    @pytest.mark.cases
    def test_among_several_inputs_a_pipe_is_read_once(self, tmp_path, source, y4m):
        other = Other(pipe(tmp_path / "pipe"), y4m)
        run = restore(source, tmp_path / "pipe", tmp_path / "out")
        other.end()
        assert run.exit_code == 0, run.output
        assert len(clips.read(tmp_path / "out" / "pipe.mkv").numbers) == 6

    @pytest.mark.parametrize("data, says", [
        (LONG.read_bytes(), "does not begin with YUV4MPEG2"), (b"", "is empty"),
    ])  # fmt: skip
    def test_what_is_no_y4m_is_refused_in_a_line(self, tmp_path, data, says):
        other = Other(pipe(tmp_path / "in.mp4"), data)
        run = restore(tmp_path / "in.mp4", tmp_path / "out.mp4")
        other.end()
        assert run.exit_code == 1
        assert says in run.output
        assert not (tmp_path / "out.mp4").exists()

    @pytest.mark.parametrize("arguments, says", [
        (("pipe", "out.mp4"), "no program writes to"),
        (("in.mp4", "pipe"), "no program reads from"),
        (("in.mp4", "out.mp4", "--config", "pipe"), "no program writes to"),
        (("in.mp4", "out.mp4", "--log-file", "pipe"), "no program reads from"),
        (("in.mp4", "out.mp4", "--report", "pipe"), "no program reads from"),
    ])  # fmt: skip
    def test_a_pipe_without_another_end_is_not_waited_for(
        self, tmp_path, source, monkeypatch, arguments, says
    ):
        monkeypatch.chdir(tmp_path)
        pipe(tmp_path / "pipe")
        run = restore(*arguments)
        assert run.exit_code in (1, 2)
        assert says in run.output
        assert (tmp_path / "out.mp4").exists() == ("--report" in arguments)

    @pytest.mark.parametrize("path, says", [
        ("/dev/null", "is empty"), ("/dev/zero", "does not begin with"),
    ])  # fmt: skip
    def test_a_device_is_no_video(self, path, says):
        with pytest.raises(VideoError, match=says):
            open_source(path)

    def test_a_socket_is_no_video(self, tmp_path):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "in.mp4"))
        with pytest.raises(VideoError, match="cannot be read"):
            open_source(tmp_path / "in.mp4")

    @pytest.mark.parametrize("command", [
        ("compare", "pipe", "in.mp4", "-o", "page.html"), ("advise", "pipe"),
        ("restore", "pipe", "out.mp4", "--dry-run"),
    ])  # fmt: skip
    def test_what_reads_more_than_once_refuses_a_pipe(self, tmp_path, source, monkeypatch, command):
        monkeypatch.chdir(tmp_path)
        pipe(tmp_path / "pipe")
        run = vsrdb(*command)
        assert run.exit_code == 2
        assert "error: " in run.output

    def test_a_stream_has_no_part(self, tmp_path, y4m):
        other = Other(pipe(tmp_path / "pipe"), y4m)
        run = restore(tmp_path / "pipe", tmp_path / "out.mp4", "--start", "0.1")
        other.end()
        assert run.exit_code == 2
        assert "need a file" in run.output


def test_in_a_folder_of_videos_what_is_no_file_is_skipped_with_a_word(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    clips.make(folder / "a.mp4", frames=3, height=24, width=32)
    pipe(folder / "b.mp4")
    (folder / "c.mp4").symlink_to("b.mp4")
    run = restore(folder, tmp_path / "out")
    assert run.exit_code == 0, run.output
    for name in ("b", "c"):
        assert f"{name}.mp4 skipped: it is a named pipe" in run.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_in_a_folder_of_pictures_a_pipe_is_skipped_with_a_word(tmp_path, source):
    folder = tmp_path / "pictures"
    folder.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, folder / "f%d.png"], check=True)
    pipe(folder / "f7.png")
    with open_source(folder) as reader:
        assert reader.info.frame_count == 6
        assert any("one other file" in notice for notice in reader.info.notices)


@pytest.mark.parametrize("name, kind", [
    ("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/0", 0),
    pytest.param("/proc/self/fd/7", 7, marks=pytest.mark.linux),
    ("/dev/null", None), ("/dev/fd/x", None), ("/dev", None), ("missing", None),
])  # fmt: skip
def test_names_of_open_files_are_known(name, kind):
    assert pipes.descriptor_of(Path(name)) == kind


def test_links_to_open_files_are_followed(tmp_path):
    (tmp_path / "one").symlink_to("/dev/stdout")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "loop").symlink_to("loop")
    assert pipes.descriptor_of(tmp_path / "two") == 1
    assert pipes.descriptor_of(tmp_path / "loop") is None


# Each starts a Python that imports torch.
@pytest.mark.slow
class TestOfTheShell:
    def run(self, line, folder):
        command = line.replace("VSRDB", f"{sys.executable} -m vsrdb_cli restore --weights nearest")
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=folder, capture_output=True, timeout=60, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    @pytest.mark.parametrize("target", [
        "/dev/stdout", "/dev/fd/1", pytest.param("/proc/self/fd/1", marks=pytest.mark.linux),
    ])  # fmt: skip
    def test_stdout_by_its_name_is_stdout(self, tmp_path, source, target):
        whole = self.run("VSRDB in.mp4 - | cat", tmp_path).stdout
        assert self.run(f"VSRDB in.mp4 {target} | cat", tmp_path).stdout == whole
        assert self.run(f"VSRDB in.mp4 {target} > file; cat file", tmp_path).stdout == whole

    def test_a_report_on_stdout_is_all_that_is_there(self, tmp_path, source):
        run = self.run("VSRDB in.mp4 in.mp4 out --report /dev/stdout | cat", tmp_path)
        assert len(json.loads(run.stdout)["inputs"]) == 2

    def test_a_report_does_not_go_into_a_video(self, tmp_path, source):
        run = self.run("VSRDB in.mp4 - --report /dev/stdout | cat", tmp_path)
        assert (run.returncode, run.stdout) == (2, b"")

    @pytest.mark.parametrize("line", [
        "VSRDB <(cat in.y4m) out.mp4", "cat in.y4m | VSRDB /dev/stdin out.mp4",
        "VSRDB /dev/stdin out.mp4 < in.mp4", "VSRDB /dev/fd/7 out.mp4 7< in.mp4",
        "echo 'crf = 20' | VSRDB in.mp4 out.mp4 --config /dev/stdin",
        "VSRDB in.mp4 out.mp4 --config <(echo 'crf = 20')",
        "VSRDB in.mp4 out.mp4 --log-file /dev/stderr",
    ])  # fmt: skip
    def test_what_the_shell_opens_is_read(self, tmp_path, source, y4m, line):
        run = self.run(line, tmp_path)
        assert run.returncode == 0, run.stderr
        assert len(clips.read(tmp_path / "out.mp4").numbers) == 6

    @pytest.mark.parametrize("line", [
        "VSRDB <(cat in.mp4) out.mp4", "cat in.mp4 | VSRDB /dev/stdin out.mp4",
    ])  # fmt: skip
    def test_other_than_y4m_is_refused(self, tmp_path, source, line):
        run = self.run(line, tmp_path)
        assert b"does not begin with YUV4MPEG2" in run.stderr
        assert not (tmp_path / "out.mp4").exists()
