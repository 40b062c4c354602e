"""Whatever names and metadata contain, it steers no terminal and forges no line."""

from __future__ import annotations

import json
import re
import subprocess

import clips
import pytest
from click.testing import CliRunner
from rich.console import Console

from vsrdb_cli.cli import main
from vsrdb_cli.commands import bar, console
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.text import printable

# A window's title, a clear screen, C1, the direction of writing, lines of their own, markup.
HOSTILE = (
    "a\x1b]0;t\x07\x1b[2J\x9b31m\u202eb\u2066\x7f\r\nerror: forged\x85\u2028hint: forged[red]c"
)
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of rich: colours, the cursor, lines drawn over


def is_harmless(text: str) -> bool:
    """Return whether a text, apart from rich's own codes, is only letters in lines."""
    lines = OURS.sub("", text.replace("\x1b[2J", "CLEARED")).split("\n")
    forged = any(re.match(r"\W*(error|hint): forged|CLEARED", line) for line in lines)
    return not forged and all(line.replace("\r", "").isprintable() for line in lines)


@pytest.fixture
def terminal(monkeypatch):
    """Make rich take both streams for a terminal."""
    # Only one that is made now knows that it can draw.
    monkeypatch.setattr(console, "messages", Console(stderr=True, force_terminal=True, width=400))
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "400", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)


def bars(text):
    with bar.progress(text) as on_frame:
        on_frame(1, 2, text)


def spinner(text):
    with bar.waiting(text):
        pass


def steps(text):
    with bar.steps(text) as on_step:
        on_step(text, text)


PRINTS = {
    "say": console.say,
    "warn": console.warn,
    "result": console.result,
    "error": lambda text: console.report(VsrdbError(text, hint=text), [text]),
    "bar": bars,
    "spinner": spinner,
    "steps": steps,
}


@pytest.mark.parametrize("way", PRINTS)
def test_every_way_to_print_at_a_terminal_spells_it_out(terminal, capsys, way):
    PRINTS[way](HOSTILE)
    shown = "".join(capsys.readouterr())
    assert "forged" in shown
    assert is_harmless(shown)


def test_cells_and_headings_of_tables_are_spelled_out(capsys):
    table = console.PlainTable()
    table.add_column(HOSTILE)
    table.add_column(("two", "lines"))
    table.add_row(HOSTILE, ("1", "2"))
    console.show(table)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert shown.count("[red]c") == 2


def test_json_is_ascii_that_reads_back(capsys):
    console.json_line({"name": HOSTILE})
    console.json_result({"name": HOSTILE}, indent=2)
    line, result = capsys.readouterr()
    for text in (line, result):
        assert json.loads(text) == {"name": HOSTILE}
        assert text.isascii()
        assert is_harmless(text)


def test_names_of_any_language_are_printed_as_they_are():
    assert (
        printable("naïve 名前 – Ёж (1) 'q' & $x; 👍.mp4") == "naïve 名前 – Ёж (1) 'q' & $x; 👍.mp4"
    )


def vsrdb(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    return done.stdout + done.stderr


MISSING = {
    "restore": ("restore", "{}", "out.mp4"),
    "dry run": ("restore", "{}", "out.mp4", "--dry-run"),
    "option": ("restore", "--{}"),
    "value": ("restore", "in.mp4", "out.mp4", "--tile", "{}"),
    "configuration": ("restore", "in.mp4", "out.mp4", "--config", "{}"),
    "weights": ("restore", "in.mp4", "out.mp4", "--weights", "{}"),
    "compare": ("compare", "{}", "{}", "out.html"),
    "inspect": ("inspect", "{}", "out"),
    "evaluate": ("evaluate", "{}", "{}"),
    "advise": ("advise", "{}"),
    "weights info": ("weights", "info", "{}"),
    "weights import": ("weights", "import", "{}", "{}"),
    "doctor": ("doctor", "--temporary", "{}"),
    "export": ("export", "{}"),
    "command": ("{}",),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_command_repeats_what_it_does_not_know_in_one_line(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").write_bytes(b"no video")
    assert is_harmless(vsrdb(*(part.format(HOSTILE) for part in MISSING[what])))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / HOSTILE
    path.mkdir()
    return clips.make(path / f"{HOSTILE}.mkv", frames=3, height=24, width=32)


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--progress", "json"), ("--verbose",)])
@pytest.mark.cases
def test_a_run_prints_names_in_lines_of_its_own(tmp_path, source, more):
    target, log = tmp_path / f"{HOSTILE}-out.mkv", tmp_path / "run.log"
    for _ in range(2):  # the second finds its output taken
        shown = vsrdb("restore", "--weights", "nearest", "--log-file", log, source, target, *more)
        assert "forged" in shown
        assert is_harmless(shown)
    assert is_harmless(log.read_text())
    assert all(re.match(r"\d{4}-", line) for line in log.read_text().splitlines())


def test_a_batch_and_its_scores_are_printed_in_lines_of_their_own(tmp_path, source):
    second = source.with_name(f"{HOSTILE}2.mkv")
    second.write_bytes(source.read_bytes())
    source.with_name(f"{HOSTILE}3.mkv").write_bytes(b"no video")
    target = tmp_path / "out"
    shown = vsrdb("restore", "--weights", "nearest", "--scale", "1", source.parent, target)
    scores = vsrdb("evaluate", "--all-frames", target, source.parent)
    for text in (shown, scores, vsrdb("advise", source)):
        assert "forged" in text
        assert is_harmless(text)


def test_what_a_file_says_about_its_streams_is_spelled_out(tmp_path):
    clip = clips.make(tmp_path / "clip.mp4", frames=3, height=24, width=32)
    (tmp_path / "texts.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nhello\n")
    source = tmp_path / "in.mkv"
    command = ["ffmpeg", "-v", "error", "-i", clip, "-i", tmp_path / "texts.srt", "-map", "0"]
    command += ["-map", "1", "-c", "copy", "-metadata:s:1", f"language={HOSTILE}", source]
    subprocess.run(list(map(str, command)), check=True)
    shown = vsrdb("restore", "--weights", "nearest", source, tmp_path / "out")
    assert "forged" in shown
    assert is_harmless(shown)


def test_an_error_of_the_library_is_one_line_as_well():
    error = VsrdbError(HOSTILE, hint=HOSTILE)
    assert str(error) == error.hint == printable(HOSTILE)
