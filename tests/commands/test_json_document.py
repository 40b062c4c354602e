"""docs/JSON.md lists every event of `--progress json` and its fields, and those of `--report`."""

import json
import re
from pathlib import Path

import clips
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.commands.json_lines import JsonLines

DOCUMENT = (Path(__file__).parents[2] / "docs" / "JSON.md").read_text(encoding="utf-8")


def rows(heading):
    """The cells of the table under a heading."""
    part = DOCUMENT.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named(cell):
    return re.findall(r"`(\w+)`", cell)


EVENTS = {
    named(event)[0]: {"event", "file", *named(fields.split(":")[0])}
    for event, fields, *_ in rows("Progress")
}


@pytest.fixture
def told(tmp_path):
    """What a run in segments, one that fails, a skipped and a damaged input tell."""
    folder = tmp_path / "in"
    folder.mkdir()
    clips.make(folder / "a.mkv", frames=25, height=24, width=32)
    whole = clips.make(tmp_path / "whole.mkv", frames=25, height=24, width=32).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "bad.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    out.mkdir()
    (out / "skip.mkv").write_bytes(b"there")
    clips.make(folder / "skip.mkv", frames=2, height=24, width=32)
    options = ["--weights", "nearest", "--segment-seconds", "0.4", "--skip-existing"]
    options += ["--progress", "json", "--report", str(tmp_path / "report.json")]
    done = CliRunner().invoke(main, ["restore", str(folder), str(out), *options])
    assert done.exit_code == 1
    events = [json.loads(line) for line in done.stderr.splitlines()]
    return events, json.loads((tmp_path / "report.json").read_text())


def test_every_event_told_is_listed_with_just_its_fields(told, monkeypatch):
    events, _ = told
    shown = []
    monkeypatch.setattr("vsrdb_cli.commands.console.json_line", shown.append)
    JsonLines().note("something to know")
    JsonLines().interrupted("stopped", "SIGINT")
    events += shown
    for event in events:
        assert set(event) == EVENTS[event["event"]], event
    assert {event["event"] for event in events} == set(EVENTS)


def test_the_last_event_is_the_end_with_the_exit_status(told):
    events, _ = told
    assert events[-1]["event"] == "end"
    assert events[-1]["status"] == 1


def test_every_field_of_the_report_is_listed(told):
    _, report = told
    listed = {name for fields, *_ in rows("What became of it") for name in named(fields)}
    assert all(set(entry) == listed for entry in report["inputs"])
    assert {entry["status"] for entry in report["inputs"]} == {"restored", "skipped", "failed"}
