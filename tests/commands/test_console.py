"""Messages survive copying: no markup, no emoji, no wrapping, no control characters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vsrdb_cli.commands import console
from vsrdb_cli.errors import VsrdbError


def test_names_are_printed_as_they_are(capsys):
    name = "clip [red]1[/] :smile: " + "x" * 200 + ".mp4"
    console.say(name)
    console.result(name)
    printed = capsys.readouterr()
    assert printed.err == name + "\n"
    assert printed.out == name + "\n"


def test_control_characters_are_spelled_out(capsys):
    console.report(VsrdbError("bad \x1b[2J name", hint="look at \r it"))
    assert capsys.readouterr().err == "error: bad \\x1b[2J name\nhint: look at \\r it\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from vsrdb_cli.cli import main;"
        "assert CliRunner().invoke(main, ['restore', '--help']).exit_code == 0;"
        "print({'torch', 'av', 'numpy', 'onnx'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


@pytest.mark.linux
def test_a_full_disk_under_stdout_is_an_error_with_a_hint():
    code = "from vsrdb_cli.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", code, "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    error, hint = run.stderr.splitlines()
    assert error == "error: stdout cannot be written: No space left on device"
    assert hint.startswith("hint: ")
    assert run.returncode == 1


def test_sizes_are_printed_for_people():
    assert [console.human_bytes(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"
    ]  # fmt: skip
