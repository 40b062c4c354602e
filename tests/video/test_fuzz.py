"""Whatever is done to a file's bytes: an output, or one line; never a traceback or a leftover."""

from __future__ import annotations

import faulthandler
from fractions import Fraction

import clips
import full_clips
import fuzz
import pytest

CASES = 12  # of each kind, bounded by number: a slow machine tries as many


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    shape = {"frames": 6, "height": 36, "width": 48}
    full_clips.make(folder / "full.mkv", audio=("aac", "flac"), subtitles=("subrip", "ass"),
                    attachment=True)  # fmt: skip
    full_clips.make(folder / "full.mp4", audio=("aac",), subtitles=("mov_text",), cover=True,
                    timecode="10:00:00:00")  # fmt: skip
    clips.make(folder / "stream.ts", audio=("aac",), **shape)
    clips.make(folder / "raw.h264", **shape)
    clips.make(folder / "turned.mov", codec="prores_ks", pix_fmt="yuv422p10le", options={},
               display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30), **shape)  # fmt: skip
    clips.make(folder / "vp9.webm", codec="libvpx-vp9", options={}, audio=("libopus",), **shape)
    clips.make(folder / "lossless.mkv", codec="ffv1", options={}, **shape)
    clips.make(folder / "ten.mp4", codec="libx265", pix_fmt="yuv420p10le", frames=6, height=64,
               width=64, options={"x265-params": "log-level=error"})  # fmt: skip
    clips.make(folder / "moving.gif", codec="gif", pix_fmt="rgb8", options={},
               time_base=Fraction(1, 100), **shape)  # fmt: skip
    clips.make(folder / "moving.apng", codec="apng", pix_fmt="rgb24", options={}, **shape)
    return fuzz.small_clips(folder)


@pytest.fixture(autouse=True)
def no_hang():
    faulthandler.dump_traceback_later(10 * fuzz.PATIENCE_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize(
    "number", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 10))]
)
@pytest.mark.cases
def test_spoilt_bytes_give_an_output_or_one_line(originals, tmp_path, number):
    outcomes = set()
    for seed in range(CASES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcomes.add(fuzz.case(originals[number : number + 1], 1000 * number + seed, folder))
    assert outcomes  # what each comes to is the decoders' affair


@pytest.mark.slow
def test_untouched_they_are_restored(originals, tmp_path, monkeypatch):
    """The judge's own judge: the clips are good ones."""
    for way in fuzz.SPOIL:
        monkeypatch.setitem(fuzz.SPOIL, way, lambda data, random: data)
    monkeypatch.setattr(fuzz, "TARGETS", ("out.mkv",))
    for number, clip in enumerate(originals):
        (tmp_path / clip.name).mkdir()
        seed = next(s for s in range(100) if not _strict(s))
        assert fuzz.case([clip], seed, tmp_path / clip.name) == "restored", number


def _strict(seed):
    random = fuzz.Random(seed)
    random.choice([0])
    random.choice(("out.mkv",))
    random.choice((1, 2))
    random.choice((10.0, 10.0, 0.2))
    return random.random() < 0.2
