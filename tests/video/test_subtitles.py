"""Texts that are converted: how long each is shown, and what of it is lost."""

import subprocess
from itertools import pairwise
from pathlib import Path

import av
import clips
import pytest

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

OVERLAPPING = Path(__file__).parents[1] / "wild" / "srt_overlap.mkv"


def restored(source, out, **options):
    """The notices."""
    notices = []
    options = RestoreOptions(weights="nearest", **options)
    restore_video(source, out, options, on_notice=notices.append)
    return notices


def cues(path):
    """(Begin, end, lines) of each text, as FFmpeg's own tool reads them; in seconds."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:s", "-f", "srt", "-"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = []
    for cue in text.strip().split("\n\n"):
        _, times, *lines = cue.splitlines()
        begin, end = (
            sum(float(part) * 60**power for power, part in enumerate(reversed(time.split(":"))))
            for time in times.replace(",", ".").split(" --> ")
        )
        found.append((begin, end, lines))
    return found


def when(path, words):
    """From when to when a text is on the screen, without a break."""
    pieces = [(b, e) for b, e, lines in cues(path) if any(words in line for line in lines)]
    for (_, end), (begin, _) in pairwise(pieces):
        assert begin == pytest.approx(end, abs=2e-3)
    return pieces[0][0], pieces[-1][1]


def with_texts(path, srt, seconds=10):
    (path.parent / "in.srt").write_text(srt)
    clip = clips.make(path.parent / "clip.mp4", frames=seconds * 5, rate=5, height=48, width=64)
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-i", str(path.parent / "in.srt")]
    subprocess.run([*command, "-c:v", "copy", "-c:s", "subrip", str(path)], check=True)
    return path


@pytest.mark.parametrize(
    "suffix, segment_seconds", [(".mp4", 10.0), (".mp4", 0.3), (".mov", 10.0), (".mkv", 0.3)]
)
@pytest.mark.cases
def test_texts_that_overlap_last_as_long_as_they_did(tmp_path, suffix, segment_seconds):
    out = tmp_path / f"out{suffix}"
    restored(OVERLAPPING, out, segment_seconds=segment_seconds)
    for words, begin, end in (("zeile 2", 0.1, 0.5), ("Overlap", 0.4, 0.9)):
        assert when(out, words) == pytest.approx((begin, end), abs=2e-3)


@pytest.mark.slow
def test_texts_hours_after_the_others_stay_there(tmp_path):
    srt = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n10:00:00,000 --> 10:00:01,000\nlast\n"
    paths = [with_texts(tmp_path / "in.mkv", srt, seconds=3)]
    paths += [tmp_path / "out.mp4", tmp_path / "again.mov"]
    for source, out in pairwise(paths):
        restored(source, out, strict=True)
        assert when(out, "first") == pytest.approx((1, 2), abs=2e-3)
        assert when(out, "last") == pytest.approx((36000, 36001), abs=2e-3)


def test_a_text_at_the_top_stays_above_a_later_one(tmp_path):
    restored(OVERLAPPING, tmp_path / "out.mp4")
    (both,) = (lines for _, _, lines in cues(tmp_path / "out.mp4") if len(lines) == 3)
    assert ["It" in both[0], both[1], "Overlap" in both[2]] == [True, "zeile 2", True]


@pytest.mark.slow
def test_of_several_at_once_each_keeps_its_time_and_its_style(tmp_path):
    source = with_texts(
        tmp_path / "in.mkv",
        "1\n00:00:01,000 --> 00:00:08,000\n<i>long</i>\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\nshort\n\n"
        "3\n00:00:02,500 --> 00:00:05,000\n<b>third\n\n"
        "4\n00:00:09,000 --> 00:00:09,500\nalone\n",
    )
    out = tmp_path / "out.mp4"
    restored(source, out)
    expected = {"long": (1, 8), "short": (2, 3), "third": (2.5, 5), "alone": (9, 9.5)}
    assert {words: when(out, words) for words in expected} == {
        words: pytest.approx(times, abs=2e-3) for words, times in expected.items()
    }
    (three,) = (lines for _, _, lines in cues(out) if len(lines) == 3)
    assert three == ["<b>third</b>", "short", "<i>long</i>"]  # the later, the higher


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.cases
def test_a_place_or_colour_that_is_lost_is_told_before(tmp_path, suffix):
    notices = restored(OVERLAPPING, tmp_path / f"out{suffix}")
    assert any("little of its styling" in line and ".mkv" in line for line in notices)
    with pytest.raises(OutputError, match="styling"):
        restored(OVERLAPPING, tmp_path / f"again{suffix}", strict=True)


def test_plain_texts_make_no_noise(tmp_path):
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>plain</i> and {\\an2}where it would be\n"
    source = with_texts(tmp_path / "in.mkv", srt, seconds=3)
    assert not restored(source, tmp_path / "out.mp4", strict=True)


def test_a_subtitle_track_is_no_longer_than_its_texts(tmp_path):
    restored(OVERLAPPING, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.subtitles[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(0.9, abs=0.11)
