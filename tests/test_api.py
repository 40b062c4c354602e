"""The front door for programs: light to import, whole, and as docs/API.md shows it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import clips
import pytest

import vsrdb_cli as vsrdb

PAGE = Path(__file__).parents[1] / "docs" / "API.md"
EXAMPLES = re.findall(r"^## ([^\n]+)|^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
HEAVY = {"torch", "numpy", "av", "click", "rich", "safetensors", "psutil", "cv2", "onnx", "PIL"}


def modules_after(*arguments):
    """The modules a fresh interpreter has loaded at its end."""
    code = "import atexit, json, sys; atexit.register(lambda: print(json.dumps(list(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {arguments[0]}", *arguments[1:]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import vsrdb_cli; vsrdb_cli.__version__; dir(vsrdb_cli)")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("vsrdb_cli")} == {"vsrdb_cli"}


@pytest.mark.slow
@pytest.mark.parametrize("name, free_of", [
    ("RestoreOptions", HEAVY), ("VsrdbError", HEAVY), ("load_runner", {"av", "click", "rich"}),
    ("restore_video", {"click", "rich"}), ("restore_frames", {"click", "rich"}),
])  # fmt: skip
def test_a_name_loads_no_more_than_it_needs(name, free_of):
    assert not modules_after(f"import vsrdb_cli; vsrdb_cli.{name}") & free_of


@pytest.mark.parametrize("arguments", [["--help"], ["restore", "--help"], ["--version"]])
def test_help_loads_neither_torch_nor_numpy_nor_ffmpeg(arguments):
    run = "from vsrdb_cli.cli import main; main()"
    assert not modules_after(run, *arguments) & (HEAVY - {"click", "rich"})


def test_every_name_of_the_front_door_is_there():
    for name in vsrdb.__all__:
        assert getattr(vsrdb, name) is not None
    assert dir(vsrdb) == sorted(vsrdb.__all__)
    with pytest.raises(AttributeError, match="no attribute 'restore_everything'"):
        _ = vsrdb.restore_everything


def test_python_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "vsrdb_cli", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith(vsrdb.__version__)


def page_examples():
    """(Its section, the code) of each example on the page."""
    section = ""
    for title, code in EXAMPLES:
        section = title or section
        if code:
            yield pytest.param(code, id=section)


@pytest.mark.parametrize("code", list(page_examples()))
@pytest.mark.cases
def test_an_example_of_the_page_does_what_it_says(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in.mp4", "next.mp4"):
        clips.make(tmp_path / name, frames=3, height=32, width=32)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    for name in re.findall(r'"(out\.\w+)"', code):
        assert (tmp_path / name).exists() != ("missing" in code)


def test_the_page_shows_every_name_that_is_no_type_of_an_argument():
    text = PAGE.read_text()
    for name in set(vsrdb.__all__) - {"__version__", "Runner", "RunnerInfo", "Progress", "Hdr"}:
        assert name in text
    assert len(list(page_examples())) == 8


def test_files_may_be_named_by_text(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=24, width=32)
    report = vsrdb.restore_video(
        str(source), str(tmp_path / "out.mp4"), vsrdb.RestoreOptions(weights="nearest")
    )
    assert report.output == tmp_path / "out.mp4"
    assert clips.read(report.output).numbers == [0, 1]
