"""Film in 3:2 pulldown comes back as its frames; nothing else is taken for it."""

from fractions import Fraction
from itertools import pairwise

import clips
import pytest
import torch
from PIL import Image
from probing import ffprobe
from telecined import FILM, RATE, fields, film, woven, write

from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_again, open_requested, open_source

AUTO = RestoreOptions(weights="nearest")
WANTED = RestoreOptions(weights="nearest", detelecine=True)
MPEG2 = {"flags": "+ildct+ilme", "g": "15", "bf": "2", "b": "1500000"}


def read(path, options=AUTO):
    """The frames of a source, their times in seconds, and what is known of it."""
    with open_requested(path, options) as source:
        frames = list(source.frames())
        assert not source.report.damage
        assert source.info.frame_count == len(frames) == source.report.frames
        return [f.rgb for f in frames], [f.pts * source.info.time_base for f in frames], source.info


def colours(path, frames):
    """The film frames as they are read from a file that holds just them."""
    with open_source(write(path, frames, rate=FILM)) as source:
        return [frame.rgb for frame in source.frames()]


def numbers_in(frames):
    return [clips.number_in(rgb.permute(1, 2, 0).numpy()) for rgb in frames]


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("cadence, begin", [
    *(((3, 2), begin) for begin in range(5)), ((2, 3, 3, 2), 0), ((2, 3, 3, 2), 6),
])  # fmt: skip
@pytest.mark.cases
def test_film_frames_come_back_exactly_and_evenly(tmp_path, cadence, begin, top_first):
    frames = film(40)
    shown = fields(frames, cadence)[begin:]
    # Of a frame that the beginning leaves one field of, or the end, nothing comes back.
    of_each = [sum(field is frame for field in shown[: len(shown) // 2 * 2]) for frame in frames]
    whole = [frame for frame, count in zip(frames, of_each, strict=True) if count > 1]
    seen, times, info = read(write(tmp_path / "in.mp4", woven(shown, top_first=top_first)))
    assert info.rate == FILM
    assert times == [number / FILM for number in range(len(whole))]
    expected = colours(tmp_path / "film.mp4", whole)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))
    order = "top" if top_first else "bottom"
    assert f"({order} field first): its {len(whole)} frames are brought back" in info.notices[0]
    assert "at 23.976 instead of 29.97 frames a second" in info.notices[0]
    with open_again(info) as again:  # as another process does
        assert all(torch.equal(a, b.rgb) for a, b in zip(seen, again.frames(), strict=True))


@pytest.mark.slow
def test_what_broken_cadences_leave_whole_comes_back_at_its_time(tmp_path):
    shown = []  # numbers
    for shot, (begin, end) in enumerate([(0, 0), (2, 1), (4, 3), (1, 2), (3, 0)]):
        part = fields(range(100 * shot + 1, 100 * shot + 41))
        shown += part[begin : len(part) - end]
    frames = {number: film(1, first=number)[0] for number in dict.fromkeys(shown)}
    path = write(tmp_path / "in.mp4", woven([frames[number] for number in shown]))
    seen, times, _ = read(path)
    whole = [number for number in frames if shown.count(number) > 1]
    assert numbers_in(seen) == whole
    for number, time in zip(whole, times, strict=True):
        assert abs(time - shown.index(number) / RATE / 2) <= Fraction(3, 2) / RATE / 2
    expected = colours(tmp_path / "film.mp4", [frames[number] for number in whole])
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_still_scenes_keep_the_number_of_frames_and_the_times(tmp_path):
    moving, later = film(30), film(30, first=100)
    frames = [*moving, *([moving[-1]] * 41), *later]
    seen, times, _ = read(write(tmp_path / "in.mp4", woven(fields(frames))))
    assert numbers_in(seen) == [*range(30), *([29] * 41), *range(100, 130)]
    assert times == [number / FILM for number in range(101)]


@pytest.mark.parametrize("name, codec, options", [
    ("in.mpg", "mpeg2video", MPEG2), ("in.ts", "mpeg2video", MPEG2),
    ("in.mp4", "libx264", {"crf": "28", "x264-params": "tff=1", "preset": "veryfast"}),
])  # fmt: skip
@pytest.mark.cases
def test_film_that_was_coded_with_losses_is_found(tmp_path, name, codec, options):
    path = write(tmp_path / name, woven(fields(film(60))), codec=codec, options=options, sound=2.5)
    seen, times, info = read(path)
    assert info.rate == FILM
    assert numbers_in(seen) == list(range(60))
    steps = {after - before for before, after in pairwise(times)}
    assert all(abs(step - 1 / FILM) <= info.time_base for step in steps)


@pytest.mark.parametrize("shown, rate", [
    (film(90), RATE),  # interlaced
    (fields(film(40), (2,)), RATE),  # progressive
    (fields(film(40), (2,))[1:], RATE),  # whose frames are divided
    (fields(film(40), (2, 2, 3, 2, 3)), RATE),  # 25 frames for 30
    (fields(film(30), (3,)), RATE),  # 20 for 30
    (fields(film(40)), Fraction(25)),
    (fields(film(1), (100,)), RATE),  # still
], ids=["video", "progressive", "divided", "of 25", "of 20", "PAL", "still"])  # fmt: skip
@pytest.mark.cases
def test_what_is_not_such_film_keeps_its_frames(tmp_path, shown, rate):
    path = write(tmp_path / "in.mp4", woven(shown), rate=rate)
    seen, _, info = read(path)
    assert info.rate == rate
    assert info.film is None
    assert len(seen) == len(shown) // 2
    assert not any("film" in notice and "in part" not in notice for notice in info.notices)
    with pytest.raises(
        VideoError, match=r"in.mp4 (is not film|is film .* in part|has 25 frames)"
    ) as told:
        read(path, WANTED)
    assert "omit --detelecine" in told.value.hint


@pytest.mark.parametrize("insert", [film(40, first=200), fields(film(20, first=200), (2,))],
                         ids=["interlaced", "progressive"])  # fmt: skip
@pytest.mark.slow
def test_film_in_part_of_a_video_is_deinterlaced_as_before_and_told(tmp_path, insert):
    shown = [*fields(film(60)), *insert, *fields(film(60, first=100))]
    path = write(tmp_path / "in.mp4", woven(shown))
    with open_source(path) as source:
        before = [frame.rgb for frame in source.frames()]
    seen, _, info = read(path)
    assert info.notices[0].startswith("the video is film in 3:2 pulldown only in part: all of it")
    assert all(torch.equal(a, b) for a, b in zip(seen, before, strict=True))
    with pytest.raises(VideoError, match="is film in 3:2 pulldown only in part"):
        read(path, WANTED)


@pytest.mark.slow
def test_a_title_that_scrolls_over_film_counts_as_video(tmp_path):
    shown = [[plane.copy() for plane in planes] for planes in fields(film(60))]
    for number, (luma, *_) in enumerate(shown):
        for line in range(30):  # four lines light, four dark
            luma[34 + line, 40:120] = 235 if (line + 2 * number) % 8 < 4 else 16
    _, _, info = read(write(tmp_path / "in.mp4", woven(shown)))
    assert info.film is None


def test_film_that_repeats_fields_by_flags_alone_is_read_as_it_is(tmp_path):
    pts = [2 * 1001 * start // 2 for start in (0, 3, 5, 8, 10, 13, 15, 18, 20, 23)]
    seen, times, info = read(write(tmp_path / "in.mp4", film(10), pts=pts))
    assert info.film is None
    assert numbers_in(seen) == list(range(10))
    assert times == [Fraction(ticks, 60000) for ticks in pts]


def test_film_can_be_kept_as_video(tmp_path):
    path = write(tmp_path / "in.mp4", woven(fields(film(40))))
    kept = RestoreOptions(weights="nearest", detelecine=False)
    seen, _, info = read(path, kept)
    assert (len(seen), info.rate) == (50, RATE)
    assert "the video is interlaced (top field first)" in info.notices[0]


@pytest.mark.slow
def test_a_part_counts_frames_of_film_and_begins_at_0(tmp_path):
    path = write(tmp_path / "in.mp4", woven(fields(film(60))))
    for part in ({"start": "7f", "end": "21f"}, {"start": 7 / FILM, "end": 21 / FILM}):
        options = RestoreOptions(weights="nearest", **part)
        seen, times, _ = read(path, options)
        assert numbers_in(seen) == list(range(7, 21))
        assert times == [number / FILM for number in range(14)]


@pytest.mark.slow
def test_the_output_has_the_rate_of_film_and_the_sound_of_the_source(tmp_path):
    path = write(tmp_path / "in.mp4", woven(fields(film(60))), sound=2.5)
    report = restore_video(path, tmp_path / "out.mp4", AUTO)
    assert report.frames == 60
    video, sound = ffprobe(tmp_path / "out.mp4")["streams"]
    assert (video["r_frame_rate"], video["avg_frame_rate"]) == ("24000/1001", "24000/1001")
    assert float(video["duration"]) == pytest.approx(60 / FILM, abs=1e-4)
    assert float(sound["duration"]) == pytest.approx(2.5, abs=0.03)
    assert float(video["start_time"]) == 0


def test_only_files_can_be_brought_back(tmp_path):
    for number in range(3):
        Image.fromarray(clips.picture(number)).save(tmp_path / f"{number}.png")
    with pytest.raises(OptionError, match="--detelecine applies to video files"):
        read(tmp_path, WANTED)
