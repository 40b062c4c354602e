import re
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from restoring import enlarged, open_sink, restore_nearest

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.streams.sound import Loudness
from vsrdb_cli.video.writing.verify import Expected, mismatches

WILD = Path(__file__).parents[1] / "wild"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    source = clips.make(folder / "in.mp4", frames=10, height=32, width=48, audio=("aac",))
    for suffix in (".mp4", ".mkv"):
        restore_nearest(source, folder / f"out{suffix}")
    return folder


def tone(begin, seconds, rate=48000):
    """A track of a loud tone."""
    track = Loudness()
    wave = 0.2 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    track.add(wave[None].astype(np.float32), rate, Fraction(begin).limit_denominator(rate))
    return track


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("frames, seconds, sound, words", [
    (10, 0.4, (0, 0.4), []),
    (11, 0.4, (0, 0.4), ["it has 10 frames, the source 11"]),
    (10, 0.44, (0, 0.4), ["it lasts 0.400 s, the source 0.440 s"]),
    (10, 0.4, (0.25, 0.15), ["sound track 1 begins at about there, in the source at 0.250 s"]),
    (10, 0.4, (0, 0.8), ["sound track 1 ends at about there, in the source at 0.800 s"]),
])  # fmt: skip
def test_frames_duration_and_sound_are_compared(finished, suffix, frames, seconds, sound, words):
    expected = Expected(frames, Fraction(0), Fraction(seconds), [tone(*sound)])
    found = list(mismatches(finished / f"out{suffix}", expected))
    # An encoder's window more or less, by the container.
    exact = [re.sub(r"s at -?0\.[04]\d\d s,", "s at about there,", line) for line in found]
    assert exact == words


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
@pytest.mark.parametrize("frames", [1, 2])
def test_sound_may_last_much_longer_than_the_pictures(tmp_path, frames, suffix):
    name = "libopus" if suffix == ".webm" else "aac"
    source = clips.make(
        tmp_path / "in.mkv", frames=frames, height=48, width=64, audio=(name,), audio_seconds=2
    )
    restore_nearest(source, tmp_path / f"out{suffix}")
    assert clips.read(tmp_path / f"out{suffix}").numbers == list(range(frames))


def test_a_frame_whose_time_rounds_to_the_next_one_ends_with_it(tmp_path):
    """Matroska counts milliseconds; the frame before has the duration of what it was rounded to."""
    ticks = (0, 3600, 90_000, 90_010, 93_600)
    source = clips.make(tmp_path / "in.mp4", pts=ticks, frames=5, time_base=Fraction(1, 90_000))
    for suffix in (".mkv", ".webm"):
        restore_nearest(source, tmp_path / f"out{suffix}")
        assert clips.read(tmp_path / f"out{suffix}").numbers == list(range(5))


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_the_last_frame_is_any_of_those_in_the_last_millisecond(tmp_path, suffix):
    """They lie in the order of decoding, and each has a duration that is rounded in its own way."""
    options = RestoreOptions(weights="nearest", scale=1)
    restore_video(WILD / "one_time_ahead.ts", tmp_path / f"out{suffix}", options)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_a_missing_sound_track_is_seen(finished):
    expected = Expected(10, Fraction(0), Fraction(2, 5), [tone(0, 0.4), tone(0, 0.4)])
    assert list(mismatches(finished / "out.mp4", expected)) == [
        "it has 1 tracks with sound instead of 2"
    ]


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_an_output_that_does_not_match_is_kept_under_a_name_that_says_so(finished, tmp_path, name):
    with (
        open_source(finished / "in.mp4") as reader,
        open_sink(tmp_path / name, reader.info, 4) as sink,
        pytest.raises(OutputError, match="does not match its source") as caught,
    ):
        for frame in reader.frames(0, 9):  # one is lost on the way
            sink.write(Frame(enlarged(frame.rgb, 4), frame.pts, frame.duration))
        sink.commit(frames=10)
    assert str(tmp_path / name.replace("out", "out.MISMATCH")) in caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == [name.replace("out", "out.MISMATCH")]
