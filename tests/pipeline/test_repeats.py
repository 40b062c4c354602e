"""A picture is restored once, however often it is shown, beside the nearest different ones."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panned import decibels, panned

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.pipeline.repeats import is_equal, runs, with_context
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.video.frame import Frame


@pytest.fixture
def one_thread():
    """Pictures this small are quickest with one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


held_pictures = st.lists(st.integers(0, 3), max_size=40)


def picture(number: int) -> torch.Tensor:
    return torch.full((3, 4, 6), number, dtype=torch.uint8)


def grouped(numbers):
    return [(number, list(group)) for number, group in groupby(numbers)]


@settings(deadline=None)
@given(held_pictures)
def test_runs_hold_every_frame_once_and_end_where_the_picture_changes(numbers):
    found = list(runs((index, picture(number)) for index, number in enumerate(numbers)))
    expected = [number for number, _ in grouped(numbers)]
    assert [int(run.picture[0, 0, 0]) for run in found] == expected
    assert [len(run.items) for run in found] == [len(group) for _, group in grouped(numbers)]
    assert [item for run in found for item in run.items] == list(range(len(numbers)))


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 7, 11), (3, 90, 161), (3, 400, 500)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16, torch.float32])
def test_pictures_are_equal_only_if_every_value_is(shape, kind):
    one = torch.randint(0, 250, shape).to(kind)
    for place in (0, one.numel() // 2, one.numel() - 1):
        other = one.clone()
        assert is_equal(one, other)
        other.view(-1)[place] = 251
        assert not is_equal(one, other)
        assert not is_equal(other, one)


def test_pictures_of_another_size_or_depth_are_not_equal():
    one = torch.zeros(3, 4, 6, dtype=torch.uint8)
    assert not is_equal(one, torch.zeros(3, 6, 4, dtype=torch.uint8))
    assert not is_equal(one, torch.zeros(3, 4, 6, dtype=torch.uint16))


@pytest.mark.slow
def test_of_a_picture_shown_for_hours_one_is_held():
    alive = weakref.WeakSet()

    def pictures():
        for index in range(3000):
            shown = picture(index // 1000)
            alive.add(shown)
            yield index, shown
            del shown
            if index % 500 == 0:
                gc.collect()
                assert len(alive) <= 4

    assert [len(run.items) for run in runs(pictures())] == [1000] * 3


@dataclass
class Source:
    """Frames with numbered pictures, of which those from `before` on are wanted, up to `end`."""

    numbers: list[int]
    before: int = 0
    end: int | None = None
    passes: list[int] = field(default_factory=list)

    @property
    def info(self):
        cut = None if self.end is None else SimpleNamespace(count=self.end - self.before)
        return SimpleNamespace(frames_before=self.before, cut=cut)

    def frames(self, first=0, last=None):
        self.passes.append(first)
        last = len(self.numbers) if last is None else last
        for index, number in enumerate(self.numbers, -self.before):
            if first <= index < last:
                yield Frame(picture(number), index, 1)


@settings(deadline=None)
@given(held_pictures, st.data(), st.integers(0, 3))
def test_a_range_comes_with_the_different_pictures_around_it_and_no_more(numbers, data, reach):
    size = len(numbers)
    begin = data.draw(st.integers(0, size - 1)) if size else 0
    end = data.draw(st.integers(begin + 1, size)) if size else 0
    source = Source(numbers, begin, end) if size else Source(numbers)
    frames = list(with_context(source, reach))
    read = [index + begin for index, _ in frames]
    assert read == list(range(read[0], read[-1] + 1)) if read else not size
    if not size:
        return
    assert read[0] <= begin < end <= read[-1] + 1
    starts = [i for i in range(size) if i == 0 or numbers[i] != numbers[i - 1]]
    before = [i for i in starts if i <= begin][:-1]
    after = [i for i in starts if i >= end]
    assert len(grouped(numbers[read[0] : begin + 1])) - 1 == min(reach, len(before))
    assert read[-1] == (after[reach - 1] if len(after) >= reach > 0 else
                        end - 1 if reach == 0 else size - 1)  # fmt: skip
    for (_, one), (_, other) in pairwise(frames):
        assert (one.rgb is other.rgb) == torch.equal(one.rgb, other.rgb)


def test_without_repeats_a_range_is_read_once_with_few_frames():
    source = Source(list(range(20)), before=8, end=12)
    assert [index for index, _ in with_context(source, 2)] == list(range(-2, 6))
    assert source.passes == [-2]


class Counting(BuiltinRunner):
    """The mean of a window's pictures, enlarged; counts its calls."""

    def __init__(self, length):
        super().__init__("nearest")
        self.length = length
        self.encoded = self.restored = 0

    def encode(self, frame):
        self.encoded += 1
        return super().encode(frame)

    def restore(self, window):
        self.restored += 1
        weights = range(1, self.length + 1)
        mean = sum(w * frame for w, frame in zip(weights, window, strict=True)) / sum(weights)
        return super().restore([mean] * self.length)


@pytest.mark.parametrize("length", [1, 3, 5])
@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 7))
@pytest.mark.slow
def test_restored_once_each_frame_is_what_it_is_in_the_clip_without_repeats(length, times, cut):
    levels = [0.1 + 0.01 * number + (0.6 if number >= cut else 0) for number in range(len(times))]
    once = [torch.full((3, 8, 12), level) for level in levels]
    shown = [one.clone() for one, count in zip(once, times, strict=True) for _ in range(count)]
    runner = Counting(length)
    restored = list(restore_frames(shown, runner))
    assert (runner.encoded, runner.restored) == (len(times), len(times))
    plain = list(restore_frames(once, Counting(length)))
    expected = [one for one, count in zip(plain, times, strict=True) for _ in range(count)]
    assert len(restored) == len(shown)
    assert all(torch.equal(a, b) for a, b in zip(restored, expected, strict=True))
    restored[0].zero_()  # a program may change what it got
    assert all(torch.equal(a, b) for a, b in zip(restored[1:], expected[1:], strict=True))


def test_a_picture_that_comes_back_later_is_another_one():
    runner = Counting(3)
    pictures = [torch.full((3, 8, 12), level) for level in (0.1, 0.2, 0.1, 0.1, 0.2)]
    list(restore_frames(pictures, runner))
    assert runner.restored == 4


def test_codes_of_repeated_frames_are_one_tensor():
    restorer = Restorer(Counting(3), tile=None)
    pairs = list(restorer.run_to_codes(((i, picture(i // 2)) for i in range(6)), 8))
    assert [item for item, _ in pairs] == list(range(6))
    shared = [one is other for (_, one), (_, other) in pairwise(pairs)]
    assert shared == [True, False, True, False, True]


@pytest.mark.slow
def test_a_moving_clip_shown_twice_is_better_for_its_different_neighbours(one_thread):
    truths, small = panned(4, step=3)
    twice = [frame for frame in small for _ in range(2)]
    runner = load_runner("fmanet-xs", precision="float32")
    features = [runner.encode(frame[None]) for frame in twice]
    blind = [runner.restore(features[i - 1 : i + 2])[0] for i in range(2, 6)]
    seeing = list(restore_frames(twice, runner))[2:6]
    shown = [truths[1], truths[1], truths[2], truths[2]]
    assert decibels(seeing, shown) > decibels(blind, shown) + 0.2
