"""A part of a video: exactly the frames asked for, restored as in the whole, times from 0."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import clips
import pytest

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

NEAREST = RestoreOptions(weights="nearest")


@pytest.mark.parametrize("segment_seconds", [10.0, 0.2])
@pytest.mark.parametrize("start, end, numbers", [
    ("3f", "9f", range(3, 9)), (None, "4f", range(4)), ("9f", None, range(9, 14)),
    (0.4, 0.48, range(10, 12)),
])  # fmt: skip
@pytest.mark.cases
def test_a_part_has_exactly_the_frames_asked_for(tmp_path, start, end, numbers, segment_seconds):
    source = clips.make(tmp_path / "in.mp4", frames=14)
    options = replace(NEAREST, start=start, end=end, segment_seconds=segment_seconds)
    report = restore_video(source, tmp_path / "out.mp4", options)
    part = clips.read(report.output)
    assert part.numbers == list(numbers)
    assert part.times[0] == 0


def test_a_sample_is_as_long_as_asked(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=50)
    whole = clips.read(source)
    report = restore_video(source, tmp_path / "out.mp4", replace(NEAREST, sample=Fraction(1, 2)))
    step = whole.times[1] - whole.times[0]
    assert abs(report.frames * step - Fraction(1, 2)) <= step


def test_a_part_that_is_not_there_is_refused_and_leaves_nothing(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=5)
    with pytest.raises(OptionError, match="no frames from"):
        restore_video(source, tmp_path / "out.mp4", replace(NEAREST, start=Fraction(99)))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_strict_refuses_what_would_be_dropped_before_the_work(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=5, audio=("pcm_s16le",))
    with pytest.raises((OptionError, OutputError)):
        restore_video(source, tmp_path / "out.webm", replace(NEAREST, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
