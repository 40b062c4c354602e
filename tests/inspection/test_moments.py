"""The moment asked for is looked at, with the neighbours a restoration of the video sees."""

from __future__ import annotations

from fractions import Fraction

import clips
import numpy as np
import pytest
import torch

from vsrdb_cli.errors import OptionError
from vsrdb_cli.inspection.moments import Moment, moments
from vsrdb_cli.video.reading.open import open_source


def look(path, **asked) -> list[Moment]:
    with open_source(path) as source:
        return list(moments(source, 3, **asked))


def numbers(moment: Moment) -> list[int]:
    pictures = (moment.clip[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).numpy()
    return [clips.number_in(picture) for picture in pictures]


@pytest.mark.parametrize("at", [5, Fraction(1, 5), Fraction(17, 100)])
def test_a_frame_is_found_by_its_number_and_by_its_time(video, at):
    (moment,) = look(video, at=at)
    assert (moment.index, moment.seconds) == (5, 0.2)
    assert numbers(moment) == [4, 5, 6]
    assert moment.mirrored == (False, False, False)


def test_several_frames_come_in_a_row_and_fewer_at_the_end(video):
    assert [moment.index for moment in look(video, at=2, count=3)] == [2, 3, 4]
    assert [moment.index for moment in look(video, at=6, count=5)] == [6, 7]


def test_a_missing_neighbour_is_mirrored_and_said_to_be(video):
    first, last = look(video, at=0), look(video, at=7)
    assert (numbers(first[0]), first[0].mirrored) == ([1, 0, 1], (True, False, False))
    assert (numbers(last[0]), last[0].mirrored) == ([6, 7, 6], (False, False, True))


def test_a_window_ends_at_a_scene_cut(tmp_path):
    # Three frames, a cut, and three others.
    for index in range(6):
        image = clips.picture(index) if index < 3 else 255 - clips.picture(index)
        save(tmp_path / f"{index}.png", image)
    (moment,) = look(tmp_path, at=3)
    np.testing.assert_array_equal(moment.clip[0, :, 0], moment.clip[0, :, 2])
    assert moment.mirrored == (True, False, False)


def test_the_neighbours_of_a_held_picture_are_the_different_ones_beside_it(tmp_path):
    shows = (0, 1, 1, 1, 2, 2, 3)
    source = clips.make(tmp_path / "in.mkv", frames=7, codec="ffv1", options={}, shows=shows)
    looked_at = look(source, at=1, count=5)
    assert [moment.index for moment in looked_at] == [1, 2, 3, 4, 5]
    assert [numbers(moment) for moment in looked_at] == [*[[0, 1, 2]] * 3, *[[1, 2, 3]] * 2]
    assert {moment.mirrored for moment in looked_at} == {(False, False, False)}


def test_without_a_time_the_busiest_second_is_looked_at(tmp_path):
    for index in range(72):
        noise = np.random.default_rng(index).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        save(tmp_path / f"{index:02d}.png", noise if index >= 48 else np.zeros_like(noise))
    (moment,) = look(tmp_path)
    assert 48 <= moment.index < 72


@pytest.mark.parametrize("at", [8, 5000, Fraction(1, 2)])
def test_a_frame_beyond_the_end_is_refused_with_the_last_one_there_is(video, at):
    with pytest.raises(OptionError, match="has no frame at") as error:
        look(video, at=at)
    assert error.value.hint == "its last one is frame 7, at 0.280 s; frames count from 0"


def test_a_single_picture_is_its_own_neighbours(tmp_path):
    save(tmp_path / "only.png", clips.picture(3))
    (moment,) = look(tmp_path)
    assert numbers(moment) == [3, 3, 3]
    assert moment.mirrored == (True, False, True)


def save(path, image: np.ndarray) -> None:
    from vsrdb_cli.video.pictures.formats import encode_png

    path.write_bytes(encode_png(image))
