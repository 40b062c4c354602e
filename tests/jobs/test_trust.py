"""A run continues from a work folder only if it is ours and its files are unchanged."""

import json
import os
import shutil
import stat
from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, StoppedError, Watch

from vsrdb_cli import restore
from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.jobs import folder_lock
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.report import Phase
from vsrdb_cli.jobs.run import work_folder


@pytest.fixture
def source(tmp_path):
    """26 frames, three segments: of 10, 10 and 6."""
    return clips.make(tmp_path / "in.mp4", frames=26)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.mp4"


@pytest.fixture
def precious(tmp_path):
    file = tmp_path / "precious"
    file.write_text("of the victim")
    yield file
    assert file.read_text() == "of the victim"


@pytest.fixture
def stopped(source, target):
    """The work folder of a run that was stopped in its third segment."""
    with pytest.raises(StoppedError):
        Watch(stop_after=21).restore(source, target, OPTIONS)
    return work_folder(target)


def refused(source, target, says):
    with pytest.raises(OutputError, match=f"is not trusted: {says}") as error:
        Watch().restore(source, target)
    assert error.value.hint
    assert not target.exists()


@pytest.mark.parametrize("name", [
    "segment-00000.mp4", "holder", "lock", "journal.json", "joined.mp4", "segment-00002.mp4",
])  # fmt: skip
def test_links_that_were_planted_are_not_followed(source, target, precious, name):
    work_folder(target).mkdir()
    (work_folder(target) / name).symlink_to(precious)
    refused(source, target, f"{name} in it is a link")


def test_a_work_folder_that_is_a_link_is_refused(tmp_path, source, target):
    (tmp_path / "elsewhere").mkdir()
    work_folder(target).symlink_to(tmp_path / "elsewhere")
    refused(source, target, "it is a link")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.posix
@pytest.mark.parametrize("mode", [0o775, 0o757])
@pytest.mark.cases
def test_a_work_folder_that_others_may_write_to_is_refused(source, target, stopped, mode):
    stopped.chmod(mode)
    refused(source, target, "other users may write to it")
    stopped.chmod(0o755)
    assert Watch().restore(source, target).resumed == 20


@pytest.mark.posix
@pytest.mark.parametrize("name", [".", "segment-00000.mp4", "journal.json"])
@pytest.mark.cases
def test_what_belongs_to_another_user_is_refused(source, target, stopped, name):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(stopped / name, 4711, 4711)
    refused(source, target, r".*belongs to another user")


@pytest.mark.skipif(os.name == "nt", reason="a folder with an open file in it keeps its name")
@pytest.mark.parametrize("after", [3, 12, 26])
def test_a_work_folder_that_is_put_in_the_place_of_ours_is_not_used(
    tmp_path, source, target, precious, after
):
    folder = work_folder(target)

    class Swapping(Watch):
        def on_progress(self, progress):
            if progress.frames == after and not (tmp_path / "ours").exists():
                folder.rename(tmp_path / "ours")
                shutil.copytree(tmp_path / "ours", folder)
                (folder / "joined.mp4").symlink_to(precious)
                (folder / "planted").mkdir()

    with pytest.raises(OutputError, match="was replaced by another one during the run"):
        Swapping().restore(source, target)
    assert not target.exists()
    assert (folder / "planted").exists()
    assert (folder / "joined.mp4").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="a folder with an open file in it keeps its name")
def test_a_work_folder_that_is_swapped_as_it_is_locked_is_not_used(
    tmp_path, source, target, stopped, monkeypatch
):
    checked = folder_lock.check_ours

    def checking(folder):
        checked(folder)
        if not (tmp_path / "ours").exists():
            folder.rename(tmp_path / "ours")
            folder.mkdir()
            (folder / "segment-00000.mp4").symlink_to(source)

    monkeypatch.setattr(folder_lock, "check_ours", checking)
    refused(source, target, "segment-00000.mp4 in it is a link")


def test_a_folder_of_something_else_is_not_taken_for_a_work_folder(source, target):
    work_folder(target).mkdir()
    (work_folder(target) / "letters.txt").write_text("precious")
    refused(source, target, r"letters\.txt in it is not one of vsrdb's files")
    assert (work_folder(target) / "letters.txt").read_text() == "precious"


@pytest.mark.posix
def test_a_named_pipe_in_it_is_not_waited_for(source, target):
    work_folder(target).mkdir()
    os.mkfifo(work_folder(target) / "journal.json")
    refused(source, target, r"journal\.json in it is not one of vsrdb's files")


@pytest.mark.posix
def test_a_work_folder_is_not_for_others_whatever_is_usual(source, target):
    before = os.umask(0)
    try:
        with pytest.raises(StoppedError):
            Watch(stop_after=21).restore(source, target, OPTIONS)
    finally:
        os.umask(before)
    assert not work_folder(target).stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def rot(segment):
    """Change a few bytes in the middle, as a bad disk does."""
    content = bytearray(segment.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(255 - byte for byte in content[middle : middle + 20])
    segment.write_bytes(content)


@pytest.mark.cases
def test_a_rotten_segment_is_restored_anew(source, target, stopped):
    rot(stopped / "segment-00000.mp4")
    assert Watch().restore(source, target).resumed == 10
    assert clips.read(target).numbers == list(range(26))


class Then(LocalExecutor):
    """Does something once all segments are restored."""

    def __init__(self, do):
        super().__init__(OPTIONS)
        self.do = do

    def restore(self, *arguments):
        super().restore(*arguments)
        self.do()


@pytest.mark.slow
def test_a_segment_that_rots_during_the_run_is_not_joined(source, target):
    segment = work_folder(target) / "segment-00001.mp4"
    with pytest.raises(OutputError, match=r"segment-00001\.mp4 has changed on its disk"):
        Watch().restore(source, target, executor=Then(lambda: rot(segment)))
    assert not target.exists()
    assert Watch().restore(source, target).resumed == 16
    assert clips.read(target).numbers == list(range(26))


def test_a_source_replaced_before_joining_is_not_mixed_with_the_old_one(source, target):
    then = Then(lambda: clips.make(source, frames=30))
    with pytest.raises(VideoError, match=r"was changed while it was restored: size of the input"):
        Watch().restore(source, target, executor=then)
    assert not target.exists()


@pytest.mark.parametrize("name", ["out.mp4", "out"])
@pytest.mark.cases
def test_a_source_that_is_replaced_during_a_short_run_gives_no_output(tmp_path, source, name):
    class Replacing(Watch):
        def on_progress(self, progress):
            if progress.frames == 5:
                clips.make(tmp_path / "other.mp4", frames=26).replace(source)

    with pytest.raises(VideoError, match=r"was changed while it was restored: "):
        Replacing().restore(source, tmp_path / name, replace(OPTIONS, segment_seconds=60))
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("segment_seconds", [0.4, 60])
def test_a_source_replaced_as_soon_as_it_was_opened_gives_no_output(
    tmp_path, source, target, monkeypatch, segment_seconds
):
    opened = restore.open_requested

    def opening(*args, **callbacks):
        reader = opened(*args, **callbacks)
        clips.make(tmp_path / "other.mp4", frames=26).replace(source)
        return reader

    monkeypatch.setattr(restore, "open_requested", opening)
    with pytest.raises(VideoError, match=r"was changed while it was restored: "):
        Watch().restore(source, target, replace(OPTIONS, segment_seconds=segment_seconds))
    assert not target.exists()


def test_a_source_that_changes_while_it_is_planned_is_not_begun(source, target):
    class Changing(Watch):
        def on_progress(self, progress):
            if progress.phase == Phase.PLAN and progress.frames == 26:
                os.utime(source, (1e9, 1e9))

    with pytest.raises(VideoError, match=r"was changed while it was restored: date of the input"):
        Changing().restore(source, target)
    assert not work_folder(target).exists()


DEEP = "[" * 100_000
JOURNALS = {
    "empty": lambda journal: b"",
    "not UTF-8": lambda journal: b"\xff\xfe{",
    "deep": lambda journal: DEEP.encode(),
    "a list": lambda journal: b"[]",
    "a number": lambda journal: b"7",
    "a huge number": lambda journal: b"9" * 10_000,
    "another format": lambda journal: {**journal, "format": 99},
    "no format": lambda journal: {k: v for k, v in journal.items() if k != "format"},
    "unknown values": lambda journal: {**journal, "evil": 1},
}
for _name, _values in {
    "bound": ([], {"scale": 4}, None),
    "plan": (1, {}, {"bounds": [], "cuts": []}, {"bounds": [0, "x"], "cuts": []},
             {"bounds": [9, 3], "cuts": []}, {"bounds": [0, 10, 26], "cuts": None}),
    "read": ([], {"frames": "x"}, {"evil": 1}),
    "runner": ([], {}, {"weights": 7}),
    "tile": ("x", -5, 0, 1.5),
    "finished": ([], {"0": "x"}, None),
    "sha256": ([], {"0": 1}),
    "made_by": (7,),
    "joined": ("x", []),
}.items():  # fmt: skip
    for _value in _values:
        JOURNALS[f"{_name}: {_value}"] = lambda journal, n=_name, v=_value: {**journal, n: v}


@pytest.mark.slow
def test_a_journal_of_any_content_ends_in_one_line(source, target, stopped):
    file = stopped / "journal.json"
    kept = file.read_bytes()
    for name, edit in JOURNALS.items():
        edited = edit(json.loads(kept))
        file.write_bytes(edited if isinstance(edited, bytes) else json.dumps(edited).encode())
        with pytest.raises(OutputError, match=r"is not a journal of this version") as error:
            Watch().restore(source, target)
        assert "\n" not in str(error.value), name
        assert len(str(error.value)) < 400, name
        assert "--restart" in error.value.hint
    file.write_bytes(kept)
    assert Watch().restore(source, target).resumed == 20


@pytest.mark.parametrize("gone", ["out.mp4.vsrdb", "."])
@pytest.mark.parametrize("after", [3, 12, 26])
@pytest.mark.slow
def test_a_folder_that_goes_during_the_run_is_told_in_one_line(tmp_path, source, gone, after):
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    class Unmounting(Watch):
        def on_progress(self, progress):
            if progress.frames == after:
                shutil.rmtree(outputs / gone, ignore_errors=True)

    with pytest.raises(OutputError) as error:
        Unmounting().restore(source, outputs / "out.mp4")
    assert "\n" not in str(error.value)
    assert error.value.hint
    outputs.mkdir(exist_ok=True)
    assert Watch().restore(source, outputs / "out.mp4").frames == 26
