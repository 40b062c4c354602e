"""Sources are read through a file of ours: what the system says of reading is heard."""

import os
import subprocess
from pathlib import Path

import clips
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import Demuxer
from vsrdb_cli.video.containers.opening import SourceFile, open_input


@pytest.fixture
def clip(tmp_path):
    return clips.make(tmp_path / "in.mkv", frames=100, audio=("aac",), audio_seconds=4)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def failing(monkeypatch, after):
    """Have the system refuse to read on after so many bytes: what is open is a folder then."""
    read, given = SourceFile.read, [0]
    folder = os.open(".", os.O_RDONLY)

    def reading(self, size=-1):
        given[0] += size
        if given[0] > after:
            os.dup2(folder, self.fileno())
        return read(self, size)

    monkeypatch.setattr(SourceFile, "read", reading)


@pytest.mark.posix
@pytest.mark.parametrize("container", ["mkv", "ts", "mp4", "flv"])
def test_an_error_of_reading_is_neither_damage_nor_an_end(tmp_path, clip, monkeypatch, container):
    path = tmp_path / f"copy.{container}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", path], check=True)
    size = path.stat().st_size
    for share in (0.3, 0.6, 0.9):
        with monkeypatch.context() as patch:
            failing(patch, 40_000 + share * size)
            with (
                pytest.raises(VideoError, match=r"cannot be read: Is a directory") as error,
                open_input(path) as opened,
            ):
                list(Demuxer(opened, *opened.streams))
        assert error.value.hint


def test_a_file_that_was_cut_off_is_still_damage(clip):
    clip.write_bytes(clip.read_bytes()[:-1000])
    with open_input(clip) as container:
        assert sum(packet.size > 0 for packet in Demuxer(container, *container.streams)) > 100


@pytest.mark.linux
def test_a_source_that_is_closed_holds_no_file_open(clip):
    before = open_files()
    for _ in range(5):
        with open_input(clip) as container:
            assert next(container.demux()).size
    assert open_files() <= before + 1


def test_a_place_before_the_first_is_none(tmp_path):
    """FFmpeg asks for such in damaged files; an error here would be printed by PyAV."""
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    with SourceFile(path) as file:
        assert file.seek(-5) == -1
        assert (file.seek(2), file.read()) == (2, b"23")
