"""Without stdin, stdout, stderr, a home or a user's name: no traceback, a sensible status."""

import os
import subprocess
import sys
from pathlib import Path

import clips
import pytest

from vsrdb_cli import user_folders
from vsrdb_cli.backends.answer_cache import CachedAnswer
from vsrdb_cli.backends.exported_files import default_folder
from vsrdb_cli.checkpoints.registry import imported_models, place_for_import
from vsrdb_cli.errors import BackendError, OutputError, VideoError
from vsrdb_cli.video.reading.y4m_reader import PipeReader

ROOT = Path(__file__).parents[2]
NEAREST = "restore --weights nearest"


def run(line, folder, **environment):
    return subprocess.run(
        ["bash", "-c", line.replace("VSRDB ", f"{sys.executable} -m vsrdb_cli ")],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


@pytest.mark.posix
@pytest.mark.parametrize("line, status, says", [
    ("VSRDB --help >&-", 0, ""), ("VSRDB --help <&- 2>&-", 0, ""),
    ("VSRDB nonsense 2>&-", 2, ""), ("VSRDB nonsense <&- >&- 2>&-", 2, ""),
    ("VSRDB completion bash >&-", 1, "error: stdout is closed"),
])  # fmt: skip
@pytest.mark.cases
def test_a_closed_stream_is_no_traceback(tmp_path, line, status, says):
    ended = run(line, tmp_path)
    assert ended.returncode == status
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reader_without_stdin_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(VideoError, match="stdin cannot be read: it is closed"):
        PipeReader()


@pytest.fixture
def no_home(monkeypatch):
    def unknown(*_, **__):
        raise RuntimeError("could not determine the home directory")

    for name in ("VSRDB_WEIGHTS", "VSRDB_EXPORTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(user_folders, "user_cache_path", unknown)
    # As older versions of platformdirs do.
    monkeypatch.setattr(user_folders, "user_data_path", lambda *_, **__: Path("~/.local/share"))


def test_without_a_home_nothing_is_kept_and_nothing_fails(tmp_path, no_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert imported_models() == {}
    memory = CachedAnswer("precision.json", "sha bfloat16", bool)
    memory.keep(answer=True)
    assert memory.answer() is None
    with pytest.raises(OutputError, match="the user has no home") as refused:
        place_for_import("mine")
    assert "VSRDB_WEIGHTS" in refused.value.hint
    with pytest.raises(BackendError, match="the user has no home"):
        default_folder()
    assert not list(tmp_path.iterdir())


@pytest.mark.posix
@pytest.mark.slow  # each starts a Python that imports torch
class TestRuns:
    @pytest.fixture
    def folder(self, tmp_path):
        source = clips.make(tmp_path / "in.mp4", frames=6, height=48, width=64)
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, tmp_path / "in.y4m"], check=True)
        return tmp_path

    @pytest.mark.parametrize("line, status, says", [
        (f"VSRDB {NEAREST} - out.mp4 <&-", 1, "error: stdin cannot be read: it is closed"),
        (f"VSRDB {NEAREST} /dev/stdin out.mp4 <&-", 1, "error: /dev/stdin cannot be read"),
        (f"VSRDB {NEAREST} in.mp4 - >&-", 1, "error: stdout is closed"),
        (f"VSRDB {NEAREST} in.mp4 /dev/stdout >&-", 1, "error: /dev/stdout is closed"),
        (f"VSRDB {NEAREST} in.mp4 out.mp4 --report /dev/stdout >&-", 2, "is closed"),
        (f"VSRDB {NEAREST} in.mp4 out.mp4 --dry-run --json >&-", 1, "error: stdout is closed"),
        ("VSRDB weights list >&-", 1, "error: stdout is closed"),
    ])  # fmt: skip
    def test_what_cannot_be_without_a_stream_is_one_line(self, folder, line, status, says):
        ended = run(line, folder)
        assert ended.returncode == status
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (folder / "out.mp4").exists()

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize("line", [
        f"VSRDB {NEAREST} in.mp4 out.mp4", f"VSRDB {NEAREST} in.mp4 out.mp4 --progress json",
        f"VSRDB {NEAREST} in.mp4 in.y4m outputs && mv outputs/in.mp4 out.mp4",
    ])  # fmt: skip
    def test_a_video_is_whole_whichever_stream_is_missing(self, folder, line, closed):
        ended = run(f"({line}) {closed}", folder)
        assert ended.returncode == 0, ended.stderr
        assert len(clips.read(folder / "out.mp4").numbers) == 6
        assert ended.stdout == "" or "outputs" in line  # no event of a closed stderr

    @pytest.mark.linux
    @pytest.mark.parametrize("line", [
        f"VSRDB {NEAREST} in.mp4 out.mp4", "VSRDB restore in.mp4 out.mp4",
        f"VSRDB {NEAREST} in.mp4 in.y4m outputs", "VSRDB weights list", "VSRDB --help",
        "VSRDB evaluate in.mp4 in.mp4 --plot plot.png", "VSRDB doctor",
        "VSRDB compare in.mp4 in.mp4 -o page.html",
    ])  # fmt: skip
    def test_a_user_without_a_name_or_a_home_can_do_it_all(self, folder, line):
        nobody = "unshare -U --map-user=12345 env -u HOME -u XDG_CACHE_HOME -u VSRDB_WEIGHTS "
        if subprocess.run([*nobody.split(), "true"], check=False).returncode:
            pytest.skip("no user namespaces here")
        ended = run(nobody + line, folder)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr + ended.stdout
        assert not (folder / "~").exists()
