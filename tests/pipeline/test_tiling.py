"""Tiles leave no trace: with a network that sees no further than the context, nothing changes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.runner import Memory
from vsrdb_cli.pipeline.tiling import (
    SMALLEST_USEFUL,
    TiledRunner,
    Tiling,
    choose_tile,
    least_memory,
    plan_axis,
    tiled,
)


class Blurring(BuiltinRunner):
    """Sees `reach` pixels around each pixel of all three frames, at x4."""

    def __init__(self, reach: int) -> None:
        super().__init__("nearest")
        self.reach = reach

    def restore(self, window):
        size = 2 * self.reach + 1
        mean = sum(window) / len(window)
        return super().restore([F.avg_pool2d(mean, size, 1, self.reach)] * 3)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 150), width=st.integers(1, 150), tile=st.integers(20, 90),
    context=st.integers(0, 5), blend=st.integers(0, 9),
)  # fmt: skip
def test_tiled_equals_whole_when_context_covers_what_the_network_sees(
    height, width, tile, context, blend
):
    runner = Blurring(context)
    window = [torch.rand(1, 3, height, width) for _ in range(3)]
    in_tiles = TiledRunner(runner, Tiling.of(height, width, tile, context, blend))
    features = [in_tiles.encode(frame) for frame in window]
    torch.testing.assert_close(
        in_tiles.restore(features), runner.restore(window), rtol=0, atol=1e-6
    )


def test_with_less_context_than_the_network_sees_the_two_differ():
    runner = Blurring(4)
    window = [torch.rand(1, 3, 60, 60) for _ in range(3)]
    in_tiles = TiledRunner(runner, Tiling.of(60, 60, 40, context=1, blend=2))
    restored = in_tiles.restore([in_tiles.encode(frame) for frame in window])
    assert (restored - runner.restore(window)).abs().max() > 1e-3


@given(
    length=st.integers(1, 5000), tile=st.integers(50, 600), context=st.integers(0, 16),
    blend=st.integers(0, 16),
)  # fmt: skip
def test_tiles_are_equal_cover_everything_and_overlap_enough(length, tile, context, blend):
    plan = plan_axis(length, tile, context, blend)
    assert plan.tile <= min(tile, length)
    assert plan.starts[0] == 0
    assert plan.starts[-1] + plan.tile == length
    for start, following in zip(plan.starts, plan.starts[1:], strict=False):
        assert start + plan.tile - following >= 2 * context + blend


def test_no_tile_is_planned_that_fewer_tiles_would_make_needless():
    assert len(plan_axis(100, 100).starts) == 1
    assert len(plan_axis(101, 100).starts) == 2
    assert plan_axis(101, 100).tile < 100


def test_a_picture_no_larger_than_the_tile_is_not_tiled():
    runner = BuiltinRunner("nearest")
    assert tiled(runner, 90, 160, 160) is runner
    assert tiled(runner, 90, 160, None) is runner
    assert tiled(runner, 90, 161, 160) is not runner


@dataclass(eq=False)
class Held:
    """Features that can be watched."""

    picture: torch.Tensor


class Demanding(BuiltinRunner):
    """Takes memory as FMA-Net does, and keeps count of its work and of what it holds at once."""

    def __init__(self):
        super().__init__("nearest")
        self.encoded = self.held = self.most_held = 0

    def encode(self, picture):
        self.encoded += 1
        self.held += 1
        self.most_held = max(self.held, self.most_held)
        features = Held(picture)
        weakref.finalize(features, self._drop)
        return features

    def _drop(self):
        self.held -= 1

    def restore(self, window):
        mean = sum(features.picture for features in window) / len(window)
        return super().restore([F.avg_pool2d(mean, 5, 1, 2)] * 3)

    def memory(self, height, width):
        return Memory(weights=1000, features=3600 * height * width, work=18000 * height * width)


def test_features_not_held_give_the_same_picture_in_the_memory_of_one_tile():
    tiling = Tiling.of(200, 300, 100)
    windows = [[torch.rand(1, 3, 200, 300) for _ in range(3)]]
    windows.append([windows[0][1], windows[0][2], windows[0][1]])  # mirrored at a shot's end
    results = {}
    for hold in (True, False):
        runner = Demanding()
        in_tiles = TiledRunner(runner, tiling, hold=hold)
        features = {id(p): in_tiles.encode(p) for p in windows[0]}
        restored = [in_tiles.restore([features[id(p)] for p in window]) for window in windows]
        results[hold] = restored, runner.encoded, runner.most_held
    count = tiling.count
    assert all(map(torch.equal, results[True][0], results[False][0]))
    assert results[True][1:] == (3 * count, 3 * count)
    assert results[False][1:] == (5 * count, 3)


def test_memory_is_counted_for_all_tiles_only_where_their_features_are_held():
    tiling, runner = Tiling.of(720, 1280, 192), Demanding()
    one = runner.memory(*tiling.tile_size)
    picture = 720 * 1280 * 3 * 4
    held = TiledRunner(runner, tiling).memory(720, 1280).total(3)
    not_held = TiledRunner(runner, tiling, hold=False).memory(720, 1280).total(3)
    assert held == 1000 + 3 * tiling.count * one.features + one.work + 16 * picture
    assert not_held == 1000 + 3 * one.features + one.work + 19 * picture


def test_smaller_tiles_never_take_more_memory():
    def takes(side):
        return tiled(Demanding(), 720, 1280, side, 0).memory(720, 1280).total(3)

    sides = list(range(64, 1281, 8))
    assert all(takes(small) <= takes(large) for small, large in pairwise(sides))


def test_of_all_tiles_that_fit_those_of_least_arithmetic_are_chosen():
    runner = Demanding()
    whole = runner.memory(720, 1280).total(3)
    assert choose_tile(runner, 720, 1280, whole) == 1280
    chosen = choose_tile(runner, 720, 1280, whole - 1)
    assert tiled(runner, 720, 1280, chosen, whole - 1).hold
    little = 2 << 30
    small = choose_tile(runner, 720, 1280, little)
    in_use = tiled(runner, 720, 1280, small, little)
    assert not in_use.hold
    assert in_use.memory(720, 1280).total(3) <= little
    assert SMALLEST_USEFUL < small < chosen
    for side in range(SMALLEST_USEFUL, 1280, 16):
        other = tiled(runner, 720, 1280, side, little)
        if other.memory(720, 1280).total(3) <= little:
            assert in_use.arithmetic < 1.1 * other.arithmetic


def test_where_no_tiles_fit_the_ones_that_take_least_are_named():
    runner = Demanding()
    assert choose_tile(runner, 720, 1280, 1000) is None
    side, takes = least_memory(runner, 720, 1280)
    assert side == SMALLEST_USEFUL
    assert choose_tile(runner, 720, 1280, takes) == side
    assert choose_tile(runner, 720, 1280, takes - 1) is None


def test_a_tile_smaller_than_its_overlaps_is_refused():
    with pytest.raises(ValueError, match="no more than its overlap"):
        plan_axis(100, 48, 16, 16)
