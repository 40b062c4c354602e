"""A power cut loses nothing: what is made is on the disk before what it was made from goes."""

import os
from dataclasses import replace
from pathlib import Path

import clips
import pytest
from long_jobs import OPTIONS, Watch

from vsrdb_cli.files import whole


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What is flushed, renamed and removed from here on, by names below the test's folder."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("names of open files are not to be had here")
    done = []

    def watch(name, told):
        real = getattr(os, name)

        def called(*args, **named):
            said = told(*args)
            result = real(*args, **named)
            done.append((name, *said))
            return result

        monkeypatch.setattr(os, name, called)

    def short(path):
        return os.path.relpath(path, tmp_path)

    watch("fsync", lambda file: [short(Path(f"/proc/self/fd/{file}").readlink())])
    watch("replace", lambda old, new: [short(old), short(new)])
    watch("rename", lambda old, new: [short(old), short(new)])
    watch("unlink", lambda path, **_: [short(path)])
    return done


def place(calls, *call):
    assert call in calls, f"{call} is missing of {calls}"
    return len(calls) - 1 - calls[::-1].index(call)


def test_segments_go_only_once_the_output_and_its_name_are_on_the_disk(tmp_path, calls):
    source = clips.make(tmp_path / "in.mp4", frames=26)
    Watch().restore(source, tmp_path / "out.mp4", OPTIONS)
    joined = "out.mp4.vsrdb/joined.mp4"
    named = place(calls, "replace", joined, "out.mp4")
    flushed_names = place(calls, "fsync", ".")
    gone = [at for at, call in enumerate(calls) if call[0] == "unlink" and "segment-" in call[1]]
    assert place(calls, "fsync", joined) < named < flushed_names < min(gone)


def test_a_segment_is_entered_only_once_it_and_its_name_are_on_the_disk(tmp_path, calls):
    source = clips.make(tmp_path / "in.mp4", frames=26)
    Watch().restore(source, tmp_path / "out.mp4", OPTIONS)
    for index in range(3):
        named = next(
            at for at, call in enumerate(calls)
            if call[0] == "replace" and call[2].endswith(f"segment-{index:05d}.mp4")
        )  # fmt: skip
        assert calls[named - 1] == ("fsync", calls[named][1])
        assert calls[named + 1] == ("fsync", "out.mp4.vsrdb")


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_a_short_output_and_its_name_are_on_the_disk(tmp_path, calls, name):
    source = clips.make(tmp_path / "in.mp4", frames=4)
    Watch().restore(source, tmp_path / name, replace(OPTIONS, segment_seconds=60))
    rename = next(at for at, call in enumerate(calls) if call[-1] == name and len(call) == 3)
    temporary = calls[rename][1]
    flushed = {call[1] for call in calls[:rename] if call[0] == "fsync"}
    assert temporary in flushed
    if name == "out":
        assert {f"{temporary}/frame_{number:06d}.png" for number in range(1, 5)} <= flushed
    assert calls[rename + 1] == ("fsync", ".")


def test_a_folder_that_is_replaced_goes_last(tmp_path, calls):
    source = clips.make(tmp_path / "in.mp4", frames=4)
    out = tmp_path / "out"
    options = replace(OPTIONS, segment_seconds=60, overwrite=True)
    Watch().restore(source, out, options)
    calls.clear()
    Watch().restore(source, out, options)
    renames = [at for at, call in enumerate(calls) if call[0] == "rename"]
    gone = [at for at, call in enumerate(calls) if call[0] == "unlink"]
    assert max(renames) < place(calls, "fsync", ".") < min(gone)


def test_a_file_beside_it_is_flushed_before_it_gets_its_name(tmp_path, calls):
    with whole(tmp_path / "report.json") as temporary:
        temporary.write_text("{}")
    part = f"{temporary.name}"
    assert calls == [("fsync", part), ("replace", part, "report.json"), ("fsync", ".")]
