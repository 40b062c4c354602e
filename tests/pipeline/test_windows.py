"""Every frame has one window, mirrored at the ends of its shot and never across a cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsrdb_cli.pipeline.windows import sliding_windows


def reflected(place: int, count: int) -> int:
    while not 0 <= place < count:
        if count == 1:
            return 0
        place = -place if place < 0 else 2 * (count - 1) - place
    return place


@given(shots=st.lists(st.integers(1, 9), max_size=5), length=st.sampled_from([1, 3, 5, 7]))
def test_windows_equal_the_definition_for_any_shots_and_length(shots, length):
    expected, starts, first = [], set(), 0
    for count in shots:
        starts.add(first)
        for centre in range(count):
            places = range(centre - length // 2, centre + length // 2 + 1)
            expected.append(tuple(first + reflected(place, count) for place in places))
        first += count
    assert list(sliding_windows(range(first), length, starts.__contains__)) == expected


def test_one_frame_is_its_own_neighbours_and_two_mirror_each_other():
    assert list(sliding_windows("a", 3)) == [("a", "a", "a")]
    assert list(sliding_windows("ab", 3)) == [("b", "a", "b"), ("a", "b", "a")]


def test_no_window_reaches_across_a_cut():
    windows = list(sliding_windows("abcXYZ", 3, lambda frame: frame in "aX"))
    assert windows[2:4] == [("b", "c", "b"), ("Y", "X", "Y")]


def test_no_more_than_half_a_window_is_read_ahead():
    read = []

    def frames():
        for index in range(100):
            read.append(index)
            yield index

    for centre, _ in enumerate(sliding_windows(frames(), 5)):
        assert len(read) <= centre + 3


def test_the_detector_sees_every_frame_once_in_order():
    seen = []
    list(sliding_windows(range(7), 3, lambda frame: seen.append(frame) or False))
    assert seen == list(range(7))


@pytest.mark.parametrize("length", [0, 2, -1])
def test_a_window_without_a_centre_is_refused(length):
    with pytest.raises(ValueError, match="no centre"):
        next(sliding_windows("abc", length))
