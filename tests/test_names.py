"""Names of up to 255 bytes, whatever their letters, and what is longer."""

import errno
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.files import kept_beside, put_in_place
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.names import fitting
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

LONG = Path(__file__).parent / "wild" / "long.mp4"


def name_of(count, ending, letter="a"):
    """A name of so many bytes."""
    letters, left = divmod(count - len(ending), len(letter.encode()))
    return letter * letters + "a" * left + ending


def vsrdb(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.mark.parametrize("target, letter", [(".mp4", "語"), (".mkv", "é")])
@pytest.mark.parametrize("count", [248, 255])
@pytest.mark.cases
def test_a_run_in_segments_takes_names_of_up_to_255_bytes(tmp_path, count, target, letter):
    path = tmp_path / name_of(count, target, letter)
    options = RestoreOptions(weights="nearest", start="0f", end="24f", segment_seconds=0.5)
    assert restore_video(LONG, path, options).frames == 24
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_work_folders_of_long_names_differ_and_are_known_as_such(tmp_path):
    one, other = (tmp_path / f"{name_of(250, '')}{end}.mp4" for end in "xy")
    folders = {work_folder(one), work_folder(other)}
    assert len(folders) == 2
    for folder in folders:
        assert folder.suffix == ".vsrdb"
        folder.mkdir()


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀", "\udcff"])
def test_what_fits_is_as_it_was_and_what_does_not_is_cut_between_letters(letter):
    assert fitting("name", ".mp4") == "name.mp4"
    long = letter * 255
    name = fitting(long, ".MISMATCH.mp4")
    assert len(os.fsencode(name)) <= 255
    assert name.endswith(".MISMATCH.mp4")
    assert name != fitting(long + "b", ".MISMATCH.mp4")
    assert unicodedata.normalize("NFC", name).isprintable() or letter == "\udcff"


def test_what_is_kept_of_a_long_name_has_one_that_fits(tmp_path):
    path, made = tmp_path / name_of(255, ".mp4"), tmp_path / "made"
    made.write_text("made")
    assert kept_beside(path, made, "MISMATCH").read_text() == "made"
    path.write_text("another's")
    made.write_text("made")
    with pytest.raises(OutputError, match="was created while"):
        put_in_place(made, path, overwrite=False)
    assert len(list(tmp_path.glob("*.KEPT-*.mp4"))) == 1


def test_outputs_of_a_batch_fit_though_their_ending_is_longer(tmp_path):
    source = tmp_path / name_of(255, ".ts")
    shutil.copy(LONG, source)  # its content tells what it is
    run = vsrdb("restore", "--weights", "nearest", source, LONG, tmp_path / "out", "--end", "3f")
    assert run.exit_code == 0, run.output
    (made,) = (tmp_path / "out").glob("a*.mkv")
    assert len(made.name.encode()) == 255


@pytest.mark.parametrize("name, says", [
    (name_of(256, ".mp4"), "256 bytes, the limit is 255"),
    (name_of(256, ".mp4", "語"), "256 bytes, the limit is 255"),
    ("/".join([name_of(200, "")] * 21) + "/out.mp4", "bytes, the limit is 4095"),
])  # fmt: skip
def test_a_name_that_is_too_long_is_told_in_a_line(tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("restore", LONG, name), ("restore", name, "out.mp4"), ("restore", LONG, LONG, name),
        ("restore", LONG, "out.mp4", "--report", name), ("inspect", name, "-o", "page.html"),
        ("restore", LONG, "out.mp4", "--log-file", name), ("compare", name, LONG),
        ("restore", LONG, name, "--progress", "json"), ("restore", LONG, name, "--dry-run"),
    ):  # fmt: skip
        run = vsrdb(*arguments)
        assert run.exit_code == 2
        assert says in run.output
    with pytest.raises(OptionError, match=says):
        restore_video(LONG, name, RestoreOptions(weights="nearest"))
    assert not list(tmp_path.iterdir())


def test_a_path_of_almost_4095_bytes_ends_in_a_line_where_no_room_is_left(tmp_path, monkeypatch):
    folder = tmp_path
    while len(str(folder)) < 3880:
        folder /= name_of(200, "")
        monkeypatch.chdir(folder.parent)
        Path(folder.name).mkdir()
    path = folder / name_of(4090 - len(str(folder)), ".mp4")
    run = vsrdb("restore", "--weights", "nearest", LONG, path, "--end", "3f")
    assert run.exit_code in (1, 2)
    assert "too long" in run.output
    assert not list(folder.iterdir())


@pytest.mark.parametrize("arguments", [
    ("restore", LONG, "out.mp4"), ("compare", LONG, LONG), ("advise", LONG),
    ("evaluate", LONG, LONG),
])  # fmt: skip
def test_what_the_system_cannot_read_is_told_in_a_line_by_every_command(
    tmp_path, monkeypatch, arguments
):
    def failing(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vsrdb_cli.video.reading.probe.heif_picture", failing)
    run = vsrdb(*arguments)
    assert run.exit_code == 1
    assert "cannot be read or written: Input/output error" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_file_that_permissions_hide_is_told_in_a_line(tmp_path, monkeypatch):
    def denied(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", denied)
    run = vsrdb("restore", LONG, tmp_path / "out.mp4", "--weights", "nearest")
    assert run.exit_code == 2
    assert "is not accessible: Permission denied" in run.output
