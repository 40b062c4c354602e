"""docs/JSON.md lists what other programs get: events, statuses, reports, configuration."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import clips
import pytest
import telecined
from click.testing import CliRunner

from vsrdb_cli.batch.outcomes import Outcome, Status
from vsrdb_cli.batch.targets import Item
from vsrdb_cli.cli import main
from vsrdb_cli.commands.events import Interrupted, Notice
from vsrdb_cli.commands.json_lines import JsonLines
from vsrdb_cli.commands.restore import restore
from vsrdb_cli.commands.session import ExitStatus
from vsrdb_cli.dry_run.estimate import Estimate

PAGE = (Path(__file__).parents[2] / "docs" / "JSON.md").read_text(encoding="utf-8")
_, STATUSES, PROGRESS, REPORT, DRY_RUN, CONFIG = PAGE.split("\n## ")


def rows(section):
    """Return the cells of a section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(cell):
    return set(re.findall(r"`([\w-]+)`", cell))


EVENTS = {name.strip("`"): quoted(names) for name, names, _ in rows(PROGRESS)}


def vsrdb(*arguments):
    command = ["restore", "--weights", "nearest", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def events_of(done):
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture
def source(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=26, height=24, width=32)


@pytest.mark.slow
def test_every_event_has_the_fields_the_page_lists(tmp_path, source, capsys):
    cut = tmp_path / "cut.mkv"
    clips.make(tmp_path / "whole.mkv", frames=26, height=96, width=128)
    cut.write_bytes((tmp_path / "whole.mkv").read_bytes()[:-2000])
    webm = tmp_path / "webm"
    shown = telecined.woven(telecined.fields(telecined.film(20)))
    film = telecined.write(tmp_path / "film.mkv", shown)
    runs = [
        (source, tmp_path / "out.mp4", "--segment-seconds", "0.4"),
        (source, tmp_path / "out.mp4"),
        (source, tmp_path / "out.mp4", "--skip-existing"),
        (source, tmp_path / "compared.mp4", "--compare", tmp_path / "page.html"),
        (source, tmp_path / "dry.mp4", "--dry-run"),
        (film, tmp_path / "film.mp4"),
        (cut, source, webm, "--container", "webm"),
    ]
    events = [event for run in runs for event in events_of(vsrdb(*run, "--progress", "json"))]
    JsonLines()(Notice("a note"))
    JsonLines()(Interrupted("stopped", "SIGTERM"))
    events += [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    seen = {event["event"]: event.keys() - {"event", "file"} for event in events}
    assert seen == EVENTS
    assert all(event.keys() >= {"event", "file"} for event in events)


@pytest.mark.parametrize("arguments, status", [
    (["in.mp4", "out.mp4"], 0), (["in.mp4", "out.mp4", "--dry-run"], 0),
    (["none.mp4", "out.mp4"], 1), (["in.mp4", "https://example.org/a.mp4"], 2),
    (["in.mp4", "none.mp4", "out"], 1), (["in.mp4", "none.mp4", "out", "--dry-run"], 1),
])  # fmt: skip
@pytest.mark.cases
def test_every_run_begins_with_loading_and_ends_with_its_status(
    tmp_path, source, monkeypatch, arguments, status
):
    monkeypatch.chdir(tmp_path)
    done = vsrdb(*arguments, "--progress", "json")
    events = events_of(done)
    assert events[0] == {"event": "loading", "file": None, "what": "libraries"}
    assert done.exit_code == status
    assert (events[-1]["event"], events[-1]["status"]) == ("end", status)
    assert [event["event"] for event in events].count("end") == 1


def test_the_page_lists_every_exit_status():
    assert {int(status) for status, _ in rows(STATUSES)} == {int(status) for status in ExitStatus}


def test_the_page_lists_the_fields_of_a_report():
    written = Outcome(Item(Path("a"), Path("b")), Status.SKIPPED).to_json()
    assert set().union(*(quoted(names) for names, _ in rows(REPORT))) == written.keys()


def test_the_page_lists_the_fields_of_an_estimate(tmp_path, source):
    done = vsrdb(source, tmp_path / "out.mp4", "--dry-run", "--json")
    printed = json.loads(done.stdout)
    (of_input,) = printed["inputs"]
    listed = set().union(*(quoted(names) for names, _ in rows(DRY_RUN)))
    assert of_input.keys() == listed | {"source", "output", "status", "reason"}
    own = {entry.name for entry in fields(Estimate)} - {"info", "runner"}  # whose facts are listed
    assert own <= of_input.keys()
    assert printed.keys() == {"version", "seconds", "output_bytes", "inputs"}


def kind_of(option):
    if option.is_flag:
        return "`true` or `false`"
    if option.multiple:
        return "text, or a list of texts"
    number = click.types.IntParamType, click.types.FloatParamType
    return "number" if isinstance(option.type, number) else "text"


def test_the_page_lists_every_option_a_configuration_file_can_hold():
    options = [
        option
        for option in restore.params
        if isinstance(option, click.Option) and not option.hidden and option.name != "config"
    ]
    listed = {(kind, name) for kind, names in rows(CONFIG) for name in quoted(names)}
    names = {
        option: next(n for n in option.opts if n.startswith("--")).removeprefix("--")
        for option in options
    }
    assert listed == {(kind_of(option), names[option]) for option in options}


def test_the_pages_configuration_is_taken(tmp_path):
    config = tmp_path / "vsrdb.toml"
    config.write_text(re.search(r"```toml\n(.*?)```", CONFIG, re.DOTALL)[1])
    (tmp_path / "in").mkdir()
    clips.make(tmp_path / "in" / "a.mp4", frames=3, height=64, width=96)
    done = vsrdb(tmp_path / "in", tmp_path / "out", "--config", config, "--weights", "nearest")
    assert done.exit_code == 0, done.stderr
    assert tomllib.loads(config.read_text())["scale"] == 2
    assert clips.read(tmp_path / "out" / "a.mp4").images[0].shape == (128, 192, 3)


def test_the_examples_of_the_page_are_such_objects():
    (example,) = re.findall(r"```json\n(.*?)```", PROGRESS, re.DOTALL)
    event = json.loads(example)
    assert event.keys() == EVENTS[event["event"]] | {"event", "file"}


@pytest.mark.posix
def test_a_signal_during_the_imports_is_reported_with_its_status(tmp_path, source):
    code = (
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from vsrdb_cli.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "restore", source, tmp_path / "o.mp4", "--progress", "json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert [e["event"] for e in events_of(done)] == ["loading", "interrupted", "end"]
