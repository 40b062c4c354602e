"""Several inputs: every good one is restored, every bad one reported, nothing overwritten."""

import json
import shutil
import threading
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from click.testing import CliRunner

from vsrdb_cli.batch import journal
from vsrdb_cli.batch.inputs import NameFilter, find, is_batch
from vsrdb_cli.batch.outcomes import attempt
from vsrdb_cli.batch.targets import Item
from vsrdb_cli.batch.workload import Workload
from vsrdb_cli.cli import main
from vsrdb_cli.commands.request import RestoreRequest
from vsrdb_cli.commands.run import RestoreRun
from vsrdb_cli.commands.session import Session
from vsrdb_cli.errors import OptionError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video


def vsrdb(*arguments):
    command = ["restore", "--weights", "nearest", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return clips.make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=3, height=24, width=32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def put(clip, *paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, path)


def put_pictures(folder, count=2):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = av.VideoFrame.from_ndarray(clips.picture(number, 24, 32), "rgb24")
        image.to_image().save(folder / f"{number}.png")


def tree(folder):
    """Return all files but the journal of the batch."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != journal.NAME)
    return sorted(str(path.relative_to(folder)) for path in files)


def found(batch, root):
    return [str(item.target.relative_to(root)) for item in batch.items]


@pytest.mark.slow
def test_a_folder_of_8_clips_with_2_bad_ones_gives_6_and_reports_2(tmp_path, folder, clip):
    put(clip, *(folder / f"{n}.mp4" for n in range(6)))
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (folder / "empty.mov").touch()
    done = vsrdb(folder, tmp_path / "out", "--report", tmp_path / "report.json")
    assert done.exit_code == 1
    assert tree(tmp_path / "out") == [f"{n}.mp4" for n in range(6)]
    for n in range(6):
        assert len(clips.read(tmp_path / "out" / f"{n}.mp4").images) == 3
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["restored"], report["failed"], report["skipped"]) == (6, 2, 0)
    errors = {Path(i["source"]).name: i["error"] for i in report["inputs"] if i["error"]}
    assert set(errors) == {"cut.mp4", "empty.mov"}
    assert "is empty (0 bytes)" in errors["empty.mov"]
    rows = [line for line in done.stdout.splitlines() if "restored" in line or "failed" in line]
    assert len(rows) == 8
    assert sum("failed" in row for row in rows) == 2


def restore_request(folder, target, **values):
    return RestoreRequest((folder,), target, RestoreOptions(weights="nearest"), **values)


def test_the_network_is_loaded_once(tmp_path, folder, clip):
    runners = []

    def restore(*arguments, executor, **options):
        report = restore_video(*arguments, executor=executor, **options)
        runners.append(executor.runner)
        return report

    put(clip, folder / "a.mp4", folder / "b.mp4")
    request = restore_request(folder, tmp_path / "out")
    assert RestoreRun(request, request.find_inputs(), Session(), restore=restore).run() == 0
    first, second = runners
    assert first is second


@pytest.mark.slow
def test_the_tree_is_mirrored_and_only_when_asked(tmp_path, folder, clip):
    put(clip, folder / "a.mp4", folder / "x" / "b.mov", folder / "x" / "y" / "c.mkv")
    put_pictures(folder / "shots")
    assert found(find([folder], tmp_path / "out"), tmp_path / "out") == ["a.mp4"]
    flat = vsrdb(folder, tmp_path / "flat")
    assert flat.exit_code == 0
    assert tree(tmp_path / "flat") == ["a.mp4"]
    assert "2 folders" in flat.stderr
    deep = vsrdb(folder, tmp_path / "deep", "--recursive")
    assert deep.exit_code == 0
    assert tree(tmp_path / "deep") == [
        *("a.mp4", "shots/0.png", "shots/1.png", "x/b.mov", "x/y/c.mkv"),
    ]


@pytest.mark.slow
def test_several_inputs_go_into_one_folder_a_folder_under_its_name(tmp_path, folder, clip):
    put(clip, tmp_path / "one.mp4", tmp_path / "two.avi", folder / "three.mp4")
    put_pictures(tmp_path / "shots")
    done = vsrdb(
        tmp_path / "one.mp4", tmp_path / "two.avi", folder, tmp_path / "shots", tmp_path / "out"
    )
    assert done.exit_code == 0
    assert tree(tmp_path / "out") == [
        *("in/three.mp4", "one.mp4", "shots/0.png", "shots/1.png", "two.mkv"),
    ]


def test_several_inputs_need_a_folder(tmp_path, clip):
    done = vsrdb(clip, clip, tmp_path / "out.mp4")
    assert done.exit_code == 2
    assert "is not a folder, but there are several inputs" in done.stderr


def test_a_pattern_and_a_container_choose(tmp_path, folder, clip):
    put(clip, folder / "a.mp4", folder / "b.mp4", folder / "b.dat", folder / "notes.txt")
    batch = find([folder], tmp_path / "out", names=NameFilter(("b*",)), suffix=".mkv")
    assert [item.source.name for item in batch.items] == ["b.dat", "b.mp4"]
    assert found(batch, tmp_path / "out") == ["b.dat.mkv", "b.mp4.mkv"]
    assert find([folder], tmp_path / "out").notices == [f"2 other files in {folder} skipped"]


def test_patterns_and_exclusions_add_up(tmp_path, folder, clip):
    put(clip, folder / "a.mp4", folder / "b.mkv", folder / "c.mov", folder / "raw" / "d.mp4")
    done = vsrdb(
        *(folder, tmp_path / "out", "--recursive"),
        *("--pattern", "*.mp4", "--pattern", "*.mkv", "--exclude", "b*", "--exclude", "raw"),
    )
    assert done.exit_code == 0
    assert tree(tmp_path / "out") == ["a.mp4"]


@pytest.mark.slow
def test_inputs_that_differ_in_their_ending_have_outputs_that_do(tmp_path, folder, clip):
    put(clip, folder / "a.mkv", folder / "a.ts", folder / "b.ts")
    done = vsrdb(folder, tmp_path / "out")
    assert done.exit_code == 0
    assert tree(tmp_path / "out") == ["a.mkv", "a.ts.mkv", "b.mkv"]
    assert "becomes a.ts.mkv: another input becomes a.mkv" in done.stderr


def test_an_output_that_exists_is_a_failure_or_skipped(tmp_path, folder, clip):
    put(clip, folder / "a.mp4", folder / "b.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_text("mine")
    again = vsrdb(folder, tmp_path / "out")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    skipping = vsrdb(folder, tmp_path / "out", "--skip-existing")
    assert skipping.exit_code == 0
    assert "skipped" in skipping.stdout
    assert (tmp_path / "out" / "a.mp4").read_text() == "mine"
    assert vsrdb(clip, tmp_path / "out" / "a.mp4", "--skip-existing").exit_code == 0
    assert (tmp_path / "out" / "a.mp4").read_text() == "mine"


def test_a_folder_of_pictures_is_a_sequence_and_of_videos_a_batch(tmp_path, folder, clip):
    put_pictures(folder)
    assert not is_batch([folder])
    put(clip, tmp_path / "videos" / "a.mp4")
    assert is_batch([tmp_path / "videos"])
    assert vsrdb(folder, tmp_path / "out.mp4").exit_code == 0
    assert len(clips.read(tmp_path / "out.mp4").images) == 2


@pytest.mark.slow
def test_pictures_among_videos_are_skipped_and_reported(tmp_path, folder, clip):
    put_pictures(folder)
    put(clip, folder / "a.mp4", folder / "deep" / "b.mp4")
    put_pictures(folder / "deep", count=1)
    done = vsrdb(folder, tmp_path / "out", "--recursive")
    assert done.exit_code == 0
    assert f"2 pictures among the videos in {folder} skipped" in done.stderr
    assert f"1 picture among the videos in {folder / 'deep'} skipped" in done.stderr
    assert tree(tmp_path / "out") == ["a.mp4", "deep/b.mp4"]
    assert vsrdb(folder, tmp_path / "frames", "--pattern", "*.png").exit_code == 0
    assert tree(tmp_path / "frames") == ["0.png", "1.png"]
    with pytest.raises(OptionError, match="only 1 of the 2 pictures"):
        is_batch([folder], names=NameFilter(("0.png",)))


def test_an_empty_folder_and_options_without_a_folder_are_refused(tmp_path, folder, clip):
    done = vsrdb(folder, tmp_path / "out")
    assert done.exit_code == 1
    assert "no videos in" in done.stderr
    assert "--recursive needs a folder" in vsrdb(clip, tmp_path / "o.mp4", "--recursive").stderr
    assert vsrdb(clip, tmp_path / "o.mp4", "--container", "mkv").exit_code == 2


def test_links_out_of_the_folder_are_not_followed(tmp_path, folder, clip):
    put(clip, folder / "a.mp4", tmp_path / "elsewhere" / "secret.mp4")
    (folder / "out.mp4").symlink_to(tmp_path / "elsewhere" / "secret.mp4")
    (folder / "outside").symlink_to(tmp_path / "elsewhere")
    (folder / "inside.mp4").symlink_to(folder / "a.mp4")
    (folder / "loop").symlink_to(folder)
    batch = find([folder], tmp_path / "out", recursive=True)
    assert [item.source.name for item in batch.items] == ["a.mp4", "inside.mp4"]
    assert sum("outside the folder" in notice for notice in batch.notices) == 2


def test_an_output_inside_the_input_is_no_input_of_the_next_run(tmp_path, folder, clip):
    put(clip, folder / "a.mp4")
    for _ in range(2):
        done = vsrdb(folder, folder / "restored", "--recursive", "--skip-existing")
        assert done.exit_code == 0
    assert tree(folder) == ["a.mp4", "restored/a.mp4"]


@pytest.mark.parametrize("where", ["same", "link", "other-name"])
def test_no_input_is_ever_overwritten(tmp_path, folder, clip, where):
    put(clip, folder / "a.mp4")
    before = (folder / "a.mp4").read_bytes()
    target = {"same": folder, "link": tmp_path / "link", "other-name": tmp_path / "in" / "."}[where]
    if where == "link":
        target.symlink_to(folder)
    done = vsrdb(folder, target, "--overwrite")
    assert done.exit_code == 1
    assert "is the input itself" in done.stderr
    (tmp_path / "c").mkdir()
    shutil.copy(clip, tmp_path / "c" / "a.mp4")
    crossing = vsrdb(folder / "a.mp4", tmp_path / "c" / "a.mp4", tmp_path / "c", "--overwrite")
    assert crossing.exit_code == 1
    assert (folder / "a.mp4").read_bytes() == before
    assert (tmp_path / "c" / "a.mp4").read_bytes() == before


def test_two_inputs_with_one_output_both_fail_and_neither_is_written(tmp_path, clip):
    put(clip, tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4", tmp_path / "c.mp4")
    done = vsrdb(
        tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4", tmp_path / "c.mp4", tmp_path / "out"
    )
    assert done.exit_code == 1
    assert tree(tmp_path / "out") == ["c.mp4"]


def test_even_a_bug_in_vsrdb_does_not_stop_the_others(tmp_path, folder, clip, capsys):
    def broken(source, *arguments, **options):
        if source.name == "a.mp4":
            raise ZeroDivisionError("a fault")
        return restore_video(source, *arguments, **options)

    put(clip, folder / "a.mp4", folder / "b.mp4")
    report = tmp_path / "report.json"
    request = restore_request(folder, tmp_path / "out", report_file=report)
    assert RestoreRun(request, request.find_inputs(), Session(), restore=broken).run() == 1
    assert tree(tmp_path / "out") == ["b.mp4"]
    (first, _) = json.loads(report.read_text())["inputs"]
    assert "ZeroDivisionError" in first["details"]
    assert "this is a bug in vsrdb" in capsys.readouterr().err


@pytest.mark.slow
def test_a_dead_gpu_ends_the_batch_and_the_same_command_continues(tmp_path, folder, clip):
    put(clip, *(folder / f"{name}.mp4" for name in "abc"))

    def fails(source, *arguments, **options):
        if source.name == "b.mp4":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return restore_video(source, *arguments, **options)

    report = tmp_path / "report.json"
    request = restore_request(folder, tmp_path / "out", report_file=report)
    assert RestoreRun(request, request.find_inputs(), Session(), restore=fails).run() == 1
    assert tree(tmp_path / "out") == ["a.mp4"]
    a, b = json.loads(report.read_text())["inputs"]
    assert a["status"] == "restored"
    assert b["error"].endswith("b.mp4 was restored: CUDA error: an illegal memory access was"
                               " encountered")  # fmt: skip
    assert "run the same command again" in b["hint"]
    assert RestoreRun(request, request.find_inputs(), Session()).run() == 0
    assert tree(tmp_path / "out") == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.slow
def test_an_interrupted_batch_continues_where_it_stopped(tmp_path, folder):
    for name in ("a", "b"):
        clips.make(folder / f"{name}.mp4", frames=26, height=24, width=32)
    partial = RestoreOptions(weights="nearest", segment_seconds=0.4)
    (tmp_path / "out").mkdir()

    def stop(progress):
        if progress.phase == "restore" and progress.frames == 23:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        restore_video(folder / "b.mp4", tmp_path / "out" / "b.mp4", partial, on_progress=stop)
    done = vsrdb(folder, tmp_path / "out", "--segment-seconds", "0.4")
    assert done.exit_code == 0
    assert "continuing an interrupted run" in done.stderr
    assert tree(tmp_path / "out") == ["a.mp4", "b.mp4"]
    assert np.array_equal(clips.read(tmp_path / "out" / "b.mp4").numbers, range(26))


def test_nothing_is_weighed_any_further_once_all_is_restored():
    items = [Item(Path(f"{number}.mp4"), Path(f"{number}_out.mp4")) for number in range(3)]
    begun, go_on, weighed = threading.Event(), threading.Event(), []

    def weigh(item):
        begun.set()
        go_on.wait(10)
        weighed.append(item)
        return 1.0

    before = threading.active_count()
    with Workload(items, weigh):
        begun.wait(10)
        threading.Timer(0.1, go_on.set).start()
    assert weighed == items[:1]
    assert threading.active_count() <= before + 1  # the timer


@pytest.mark.slow
def test_damage_is_not_forgotten_by_the_run_that_continues(tmp_path, folder):
    cut = clips.make(folder / "a.ts", frames=40, height=24, width=32)
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) // 376 * 188] + data[len(data) // 376 * 188 + 1880 :])
    (folder / "b.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    assert vsrdb(folder, out).exit_code == 1
    clips.make(folder / "b.mp4", frames=3, height=24, width=32)
    strict = vsrdb(folder, out, "--strict", "--overwrite")
    assert strict.exit_code == 1
    assert "a.ts" in strict.stderr
    done = vsrdb(folder, out, "--overwrite", "--report", tmp_path / "report.json")
    assert done.exit_code == 3
    (first, _) = json.loads((tmp_path / "report.json").read_text())["inputs"]
    assert first["damage"]


def test_a_folder_is_named_in_the_output_as_it_is_called(tmp_path, folder, clip, monkeypatch):
    put(clip, folder / "a.mp4", tmp_path / "other" / "b.mp4")
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    batch = find([Path(".."), tmp_path / "other"], Path("out"))
    assert [str(item.target) for item in batch.items] == ["out/in/a.mp4", "out/other/b.mp4"]


def test_an_input_named_twice_is_a_problem(tmp_path, clip):
    (first, _) = find([clip, clip], tmp_path / "out").items
    assert str(first.problem) == f"{clip} is given more than once"


@pytest.mark.slow
def test_pictures_named_one_by_one_become_pictures_with_a_notice(tmp_path, folder):
    put_pictures(folder, 3)
    done = vsrdb(*sorted(folder.iterdir()), tmp_path / "out")
    assert done.exit_code == 0
    assert tree(tmp_path / "out") == ["0.png", "1.png", "2.png"]
    assert "each picture is restored on its own" in done.stderr


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "\xff", '{"inputs": [1]}', '{"inputs": {"KEY": 5}}',
     '{"inputs": {"KEY": {"damage": 5}}}', '{"inputs": {"KEY": {"damage": [5]}}}'],
)  # fmt: skip
@pytest.mark.cases
def test_a_journal_of_any_other_content_finishes_nothing(tmp_path, folder, clip, text):
    put(clip, folder / "a.mp4", folder / "b.mp4")
    out = tmp_path / "out"
    out.mkdir()
    key = str(out / "a.mp4")
    (out / journal.NAME).write_text(text.replace("KEY", key), encoding="latin-1")
    assert vsrdb(folder, out).exit_code == 0
    assert tree(out) == ["a.mp4", "b.mp4"]


def test_stdout_takes_no_batch(tmp_path, folder, clip, monkeypatch):
    put(clip, folder / "a.mp4", folder / "b.mp4")
    monkeypatch.chdir(tmp_path)
    done = vsrdb(folder / "a.mp4", folder / "b.mp4", "-")
    assert done.exit_code == 2
    assert "stdout takes one video" in done.stderr
    assert not Path("-").exists()


@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
])  # fmt: skip
def test_memory_that_runs_out_is_no_bug_but_an_error_of_one_line(tmp_path, error):
    def restore():
        raise error

    outcome = attempt(Item(tmp_path / "in.mp4", tmp_path / "out.mp4"), restore)
    assert outcome.details is None
    assert str(outcome.error) == f"memory ran out while {tmp_path / 'in.mp4'} was restored"
