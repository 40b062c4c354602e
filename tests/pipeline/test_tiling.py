"""Tiles leave no trace: with a network that sees no further than the context, nothing changes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.errors import OptionError
from vsrdb_cli.pipeline.tiling import (
    SMALLEST_TILE,
    TiledRunner,
    Tiling,
    choose_tile,
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


def test_no_tile_is_planned_that_another_number_of_tiles_would_make_needless():
    assert len(plan_axis(100, 100).starts) == 1
    assert len(plan_axis(101, 100).starts) == 2
    assert plan_axis(101, 100).tile < 100


def test_a_picture_no_larger_than_the_tile_is_not_tiled():
    runner = BuiltinRunner("nearest")
    assert tiled(runner, 90, 160, 160) is runner
    assert tiled(runner, 90, 160, None) is runner
    assert tiled(runner, 90, 161, 160) is not runner


def test_the_largest_tile_that_fits_into_memory_is_chosen():
    runner = BuiltinRunner("nearest")
    whole = runner.memory(300, 400).total(3)
    assert choose_tile(runner, 300, 400, whole) == 400
    tile = choose_tile(runner, 300, 400, whole - 1)
    assert SMALLEST_TILE <= tile < 400
    assert choose_tile(runner, 300, 400, whole + 1000, beside=1000) == 400
    assert choose_tile(runner, 300, 400, whole + 1000, beside=1001) == tile


def test_too_little_memory_for_any_tile_is_said():
    with pytest.raises(OptionError, match="even in tiles of 64 pixels"):
        choose_tile(BuiltinRunner("nearest"), 300, 400, 1000)


def test_a_tile_smaller_than_its_overlaps_is_refused():
    with pytest.raises(ValueError, match="no more than its overlap"):
        plan_axis(100, 48, 16, 16)
