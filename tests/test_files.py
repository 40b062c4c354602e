"""Failing outputs: the source is untouched, and no incomplete file has the final name."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import clips
import pytest

from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import check_file, put_in_place, temporary_beside, whole
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.y4m_writer import PipeWriter

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-c", "from vsrdb_cli.cli import main; main()", "restore"]
NOBODY = 65534


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return clips.make(folder / "in.mp4", frames=20, audio=("aac",))


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@contextmanager
def largest_file(limit):
    """No file of ours may grow beyond so many bytes, as if the disk were full then."""
    import resource  # which Windows lacks

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def restore(source, target, **options):
    restore_video(source, target, RestoreOptions(weights="nearest", **options))


# Before the header, with the first pictures, and with the index at the end.
@pytest.mark.posix
@pytest.mark.parametrize("limit", [0, 500, 2000])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "pictures", "y4m"])
@pytest.mark.cases
def test_a_full_disk_ends_the_run_in_one_line_and_leaves_nothing(source, output, name, limit):
    before = source.read_bytes()
    with (
        largest_file(limit),
        pytest.raises(OutputError, match=r"cannot be written: .+") as caught,
    ):
        if name == "y4m":
            file = (output.parent / "stdout").open("wb")
            with open_source(source) as reader, PipeWriter(reader.info, 1, file) as sink:
                for frame in reader.frames():
                    sink.write(frame)
        else:
            restore(source, output / name)
    assert "\n" not in str(caught.value)
    assert "free space" in caught.value.hint
    assert not list(output.iterdir())
    assert source.read_bytes() == before


@pytest.mark.posix
@pytest.mark.parametrize("limit, begun", [(100, False), (3000, True), (12000, True)])
@pytest.mark.slow
def test_a_full_disk_keeps_what_is_finished_of_a_long_video(source, output, limit, begun):
    out = output / "out.mkv"
    with largest_file(limit), pytest.raises(OutputError, match=r"cannot be written: .+"):
        restore(source, out, segment_seconds=0.2)
    assert work_folder(out).exists() == begun
    assert not out.exists()
    restore(source, out, segment_seconds=0.2)
    assert clips.read(out).numbers == list(range(20))
    assert [path.name for path in output.iterdir()] == ["out.mkv"]


@pytest.mark.posix
def test_a_full_disk_leaves_the_output_that_was_there(source, output):
    out = output / "out.mp4"
    out.write_bytes(b"precious")
    with largest_file(500), pytest.raises(OutputError):
        restore(source, out, overwrite=True)
    assert [path.read_bytes() for path in output.iterdir()] == [b"precious"]


@pytest.mark.parametrize("name", ["in.mp4", "link.mp4", "hard.mp4"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_never_an_output(source, name, overwrite):
    before = source.read_bytes()
    (source.parent / "link.mp4").symlink_to(source)
    os.link(source, source.parent / "hard.mp4")
    with pytest.raises(OutputError, match="is the input itself"):
        restore(source, source.parent / name, overwrite=overwrite)
    assert source.read_bytes() == before
    assert len(list(source.parent.iterdir())) == 3


@pytest.mark.parametrize("name", ["out.mp4", "pictures"])
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.slow
def test_an_output_through_a_symbolic_link_goes_where_it_leads(source, output, name, there):
    disk = source.parent / "disk"
    disk.mkdir()
    (output / name).symlink_to(disk / name)
    if there or name == "pictures":
        restore(source, disk / name)
    restore(source, output / name, overwrite=True)
    assert list(output.iterdir()) == [output / name]
    assert (output / name).is_symlink()
    assert list(disk.iterdir()) == [disk / name]
    with open_source(disk / name) as restored:
        assert len(list(restored.times())) == 20


@pytest.mark.linux
def test_a_link_to_another_disk_is_no_matter_for_segments_either(source, output):
    with TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == output.stat().st_dev:  # noqa: PTH116
            pytest.skip("no other disk")
        disk = Path(folder)
        (output / "out.mp4").symlink_to(disk / "out.mp4")
        restore(source, output / "out.mp4", segment_seconds=0.2)
        assert work_folder(output / "out.mp4") == disk / "out.mp4.vsrdb"
        assert list(disk.iterdir()) == [disk / "out.mp4"]
        assert list(output.iterdir()) == [output / "out.mp4"]


def test_a_link_into_a_folder_that_is_not_there_is_refused_before_the_work(source, output):
    (output / "out.mp4").symlink_to(output / "none" / "out.mp4")
    with pytest.raises(OutputError, match="none does not exist"):
        check_file(output / "out.mp4", source, overwrite=False)


def test_a_file_in_the_place_of_the_folder_is_named_as_one(source, output):
    (output / "file").touch()
    with pytest.raises(OutputError, match="file is a file, not a folder"):
        check_file(output / "file" / "out.mp4", source, overwrite=False)


def test_a_file_created_meanwhile_stays_and_ours_is_kept_beside_it(output):
    temporary = temporary_beside(output / "out.mp4")
    temporary.write_text("ours")
    (output / "out.mp4").write_text("theirs")
    with pytest.raises(OutputError, match="was created while vsrdb was running") as caught:
        put_in_place(temporary, output / "out.mp4", overwrite=False)
    assert (output / "out.mp4").read_text() == "theirs"
    (kept,) = (path for path in output.iterdir() if path.name != "out.mp4")
    assert kept.read_text() == "ours"
    assert kept.match("out.KEPT-*.mp4")
    assert str(kept) in caught.value.hint
    temporary_beside(output / "out.mp4")  # a later run sweeps what was left half
    assert kept.exists()


@contextmanager
def as_nobody():
    """Without the superuser's right to write everywhere, where we have it."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.posix
@pytest.mark.parametrize("segment_seconds", [10, 0.2])
@pytest.mark.parametrize("name", ["out.mp4", "pictures"])
@pytest.mark.cases
def test_a_folder_that_may_not_be_written_to_is_refused(source, output, name, segment_seconds):
    restore(source, source.parent / name, segment_seconds=segment_seconds)  # all is imported now
    for folder in (source.parent, *output.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    output.chmod(0o555)
    with as_nobody(), pytest.raises(OutputError) as caught:
        restore(source, output / name, segment_seconds=segment_seconds)
    assert str(caught.value) == f"the folder {output} is not writable"
    assert caught.value.hint == "choose another output folder"
    assert not list(output.iterdir())


@pytest.mark.posix
@pytest.mark.slow
def test_killed_it_leaves_no_file_of_that_name_and_the_next_run_sweeps_up(source, output):
    before = source.read_bytes()
    out = output / "out.mkv"
    command = [*PROGRAM, "--weights", "nearest", "--preset", "veryslow", source, out]
    process = subprocess.Popen(command, cwd=ROOT)
    while not list(output.glob(".vsrdb-*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list(output.iterdir())
    assert [path.suffix for path in left] == [".part"]
    assert source.read_bytes() == before
    restore(source, output / "other.mkv")  # another output: not its business
    assert left[0].exists()
    restore(source, out)
    assert sorted(path.name for path in output.iterdir()) == ["other.mkv", "out.mkv"]


def test_what_a_living_process_writes_is_left_alone(output):
    mine = temporary_beside(output / "out.mp4")
    mine.write_bytes(b"half")
    pictures = Path(str(mine).replace(f"-{os.getpid()}-", "-999999999-"))
    pictures.mkdir()  # of a process that there cannot be
    temporary_beside(output / "out.mp4")
    assert list(output.iterdir()) == [mine]


@pytest.mark.posix
@pytest.mark.parametrize("name", ["new.mp4", "pictures"])
@pytest.mark.cases
def test_an_output_has_the_permissions_of_any_new_file(source, output, name):
    mask = os.umask(0o027)
    try:
        restore(source, output / name)
    finally:
        os.umask(mask)
    mode = stat.S_IMODE((output / name).stat().st_mode)
    assert mode == (0o750 if name == "pictures" else 0o640)


def test_a_file_is_whole_or_as_it_was(output):
    out = output / "report.json"
    with whole(out) as temporary:
        temporary.write_text("first")
    with pytest.raises(ZeroDivisionError), whole(out) as temporary:
        temporary.write_text("sec")
        1 / 0  # noqa: B018
    assert [path.read_text() for path in output.iterdir()] == ["first"]


@pytest.mark.posix
def test_a_file_that_cannot_be_written_whole_says_so(output):
    with (
        largest_file(10),
        pytest.raises(OutputError, match=r"report\.json cannot be written"),
        whole(output / "report.json") as temporary,
    ):
        temporary.write_bytes(bytes(100))
    assert not list(output.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_was_put_into_a_folder_meanwhile_is_not_replaced(tmp_path, overwrite):
    new, there = tmp_path / "new", tmp_path / "pictures"
    for folder, name in ((new, "a.png"), (there, "thesis.txt")):
        folder.mkdir()
        (folder / name).write_text(name)
    with pytest.raises(OutputError, match="changed while vsrdb was running") as kept:
        put_in_place(new, there, overwrite=overwrite, replaced=(".png",))
    assert (there / "thesis.txt").read_text() == "thesis.txt"
    (beside,) = tmp_path.glob("pictures.KEPT-*")
    assert (beside / "a.png").exists()
    assert str(beside) in kept.value.hint


def test_pictures_are_replaced_only_where_that_is_asked_for(tmp_path):
    there = tmp_path / "pictures"
    there.mkdir()
    (there / "a.png").write_text("old")
    for overwrite in (False, True):
        new = tmp_path / "new"
        new.mkdir()
        (new / "a.png").write_text("new")
        if not overwrite:
            with pytest.raises(OutputError):
                put_in_place(new, there, overwrite=False, replaced=(".png",))
            assert (there / "a.png").read_text() == "old"
        else:
            put_in_place(new, there, overwrite=True, replaced=(".png",))
            assert (there / "a.png").read_text() == "new"


def test_a_folder_that_has_to_stay_is_filled(tmp_path, monkeypatch):
    new, here = tmp_path / "new", tmp_path / "here"
    for folder in (new, here):
        folder.mkdir()
    (new / "a.png").write_text("new")
    (here / "b.png").write_text("old")
    before = here.stat().st_ino
    monkeypatch.chdir(here)
    put_in_place(new, Path(), overwrite=True, replaced=(".png",))
    assert [file.name for file in Path().iterdir()] == ["a.png"]
    assert (Path().stat().st_ino, new.exists()) == (before, False)


@pytest.mark.parametrize("wrong", ["a stranger", "a full disk"])
def test_pictures_that_cannot_be_put_where_one_stands_are_kept_whole(tmp_path, monkeypatch, wrong):
    new, here = tmp_path / "new", tmp_path / "here"
    for folder in (new, here):
        folder.mkdir()
    for name in ("a.png", "b.png"):
        (new / name).write_text(name)
    if wrong == "a stranger":
        (here / "thesis.txt").write_text("mine")
    else:

        def full(file, target):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("vsrdb_cli.files.link_or_copy", full)
    monkeypatch.chdir(here)
    with pytest.raises(OutputError) as kept:
        put_in_place(new, Path(), overwrite=True, replaced=(".png",))
    (beside,) = tmp_path.glob("here.KEPT-*")
    assert sorted(file.name for file in beside.iterdir()) == ["a.png", "b.png"]
    assert str(beside) in kept.value.hint
    assert (here / "thesis.txt").exists() == (wrong == "a stranger")
