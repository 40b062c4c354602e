"""`vsrdb restore IN OUT --compare PAGE`: the page that compares both, made in the same go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import clips
import pytest
import telecined
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.commands.request import RestoreRequest
from vsrdb_cli.commands.run import RestoreRun
from vsrdb_cli.commands.session import Session
from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.video_reader import VideoReader

HEIGHT, WIDTH, FRAMES = 24, 32, 12


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.make(Path("in.mp4"), frames=FRAMES, height=HEIGHT, width=WIDTH)


def vsrdb(*arguments):
    command = ["restore", "in.mp4", "out.mp4", "--weights", "bicubic", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def shown_on(page: str) -> dict:
    found = re.search(r'id="data">(.*?)</script>', Path(page).read_text(), re.DOTALL)
    return json.loads(found[1])


def refusal(*arguments) -> str:
    """Return the message of a run that restores nothing and writes no page."""
    done = vsrdb(*arguments)
    assert done.exit_code in (1, 2)
    lines = [line.partition(" ")[0] for line in done.stderr.splitlines()]
    assert lines == ["error:", "hint:"], done.stderr
    assert not Path("out.mp4").exists()
    return done.stderr


@pytest.mark.slow
def test_the_page_shows_the_input_enlarged_beside_the_output():
    done = vsrdb("--compare", "page.html")
    assert done.exit_code == 0, done.stderr
    page = shown_on("page.html")
    assert page["names"] == {"before": "in.mp4", "after": "out.mp4"}
    assert page["sizes"]["before"] == [WIDTH, HEIGHT]
    assert page["size"] == [4 * WIDTH, 4 * HEIGHT]
    assert page["frames"] == list(range(FRAMES))
    assert f"page.html: {FRAMES} frames" in done.stderr
    # Bicubic beside bicubic: only the encoder's loss lies between them.
    assert max(page["curves"]["difference"]) < 2


def test_only_the_restored_part_is_compared_with_its_own_frames():
    assert vsrdb("--start", "4f", "--end", "10f", "--compare", "page.html").exit_code == 0
    page = shown_on("page.html")
    assert page["frames"] == list(range(6))
    assert page["notices"] == []  # nothing had to be looked for
    assert max(page["curves"]["difference"]) < 2  # the frame beside would differ by much more


def test_the_page_is_reported_to_programs_by_an_event():
    done = vsrdb("--compare", "page.html", "--progress", "json")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    (page,) = [event for event in events if event["event"] == "page"]
    size = Path("page.html").stat().st_size
    expected = {"event": "page", "output": "page.html", "frames": FRAMES, "bytes": size}
    assert page == expected | {"file": "in.mp4"}
    compared = [event["frame"] for event in events if event["event"] == "compare"]
    assert compared[-1] == FRAMES
    assert events[-1]["status"] == 0


@pytest.mark.slow
def test_quiet_prints_nothing():
    done = vsrdb("--compare", "page.html", "--quiet")
    assert (done.stdout, done.stderr, done.exit_code) == ("", "", 0)
    assert Path("page.html").exists()


def test_a_dry_run_writes_no_page_and_reports_it():
    done = vsrdb("--compare", "page.html", "--dry-run")
    assert done.exit_code == 0
    assert "note: a dry run does not write page.html" in done.stderr
    assert not Path("page.html").exists()


@pytest.mark.parametrize("page, wrong", [
    ("page.txt", "unsupported page extension '.txt'"),
    ("no/page.html", "does not exist"),
    ("there.html", "exists already"),
])  # fmt: skip
def test_a_page_that_cannot_be_written_is_refused_before_the_work(page, wrong):
    Path("there.html").touch()
    assert wrong in refusal("--compare", page)


def test_page_and_report_are_two_files():
    assert "both page and report" in refusal("--compare", "p.html", "--report", "p.html")


def test_overwrite_replaces_the_page_too():
    Path("page.html").touch()
    assert vsrdb("--compare", "page.html", "--overwrite").exit_code == 0
    assert shown_on("page.html")["frames"]


def test_several_inputs_are_refused_with_what_to_do_instead():
    clips.make(Path("b.mp4"), frames=2, height=HEIGHT, width=WIDTH)
    command = ["restore", "in.mp4", "b.mp4", "folder", "--compare", "page.html"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert "--compare takes a single input" in done.stderr
    assert "vsrdb compare IN OUT" in done.stderr
    assert not Path("folder").exists()


def test_the_output_stays_where_the_page_fails(capsys):
    def no_space(*_arguments, **_options):
        raise OutputError("the disk is full", hint="free some space")

    request = RestoreRequest(
        (Path("in.mp4"),),
        Path("out.mp4"),
        RestoreOptions(weights="bicubic"),
        page=Path("page.html"),
        report_file=Path("report.json"),
    )
    run = RestoreRun(request, request.find_inputs(), Session(), compare=no_space)
    assert run.run() == 1
    printed = capsys.readouterr().err
    assert "out.mp4 was restored, but not compared: the disk is full" in printed
    assert Path("out.mp4").exists()
    (outcome,) = json.loads(Path("report.json").read_text())["inputs"]
    assert (outcome["status"], outcome["error"]) == ("restored", "the disk is full")


@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
def test_a_page_of_filtered_pictures_is_refused_before_the_work(option):
    done = vsrdb("--compare", "page.html", f"--{option}", "crop=16:16")
    assert done.exit_code == 2
    assert "--compare cannot be used with --prefilter or --postfilter" in done.stderr
    assert not Path("out.mp4").exists()


@pytest.mark.slow
def test_film_is_compared_with_the_frames_of_film_searched_for_once(monkeypatch):
    searches = []
    find_film = VideoReader.find_film

    def counted(reader, on_frame):
        searches.append(reader.info.path)
        return find_film(reader, on_frame)

    monkeypatch.setattr(VideoReader, "find_film", counted)
    frames = telecined.woven(telecined.fields(telecined.film(20)))
    telecined.write(Path("in.mp4"), frames)
    done = vsrdb("--overwrite", "--compare", "page.html")
    assert done.exit_code == 0, done.stderr
    page = shown_on("page.html")
    assert page["frames"] == list(range(20))
    assert page["rate"] == pytest.approx(24000 / 1001)
    assert max(page["curves"]["difference"]) < 2
    assert "paired by number" not in done.stderr
    assert searches == [Path("in.mp4")]
