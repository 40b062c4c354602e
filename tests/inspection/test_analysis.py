"""What inspect shows is what the network computes, and its parts are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_numbers import CASES, golden
from scipy.ndimage import map_coordinates

from vsrdb_cli.inspection.analysis import Inspection, inspect_clip, largest_tile
from vsrdb_cli.network.fmanet import FMANet


def network_of(case: str) -> FMANet:
    numbers = golden(case)
    network = FMANet(numbers.config, training_heads=True).eval()
    network.load_state_dict(numbers.state(), strict=True)
    return network


@pytest.fixture(scope="module", params=CASES)
def seen(request: pytest.FixtureRequest) -> tuple[FMANet, torch.Tensor, Inspection]:
    network, clip = network_of(request.param), golden(request.param).arrays["input"][:1]
    return network, clip, inspect_clip(network, clip)


@pytest.fixture(scope="module")
def tiled() -> Inspection:
    clip = torch.rand(1, 3, 3, 70, 100, generator=torch.Generator().manual_seed(1))
    return inspect_clip(network_of("tiny_32x48"), clip, every=3, tile=64)


@pytest.mark.cases
def test_the_result_is_what_the_network_restores(seen):
    network, clip, found = seen
    with torch.inference_mode():
        expected = network.restore([network.encode(clip[:, :, t]) for t in range(3)])[0]
    np.testing.assert_allclose(found.restored, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_filter_and_residual_add_up_to_the_result(seen, tiled):
    for found in (seen[2], tiled):
        np.testing.assert_array_equal(found.filtered + found.residual, found.restored)


def test_masks_lie_between_0_and_1_and_are_not_all_the_same(seen, tiled):
    for found in (seen[2], tiled):
        for mask in (found.mask, found.feature_mask):
            assert mask.min() >= 0
            assert mask.max() <= 1 + 1e-6  # of cross-faded tiles, the weights' rounding
            assert np.ptp(mask) > 0.01


def test_degradation_kernels_are_shares_and_restoration_kernels_sum_to_1(seen, tiled):
    for found in (seen[2], tiled):
        degradation, restoration = found.kernels.degradation, found.kernels.restoration
        assert degradation.min() >= 0
        np.testing.assert_allclose(degradation.sum(axis=(2, 3, 4)), 1, atol=1e-5)
        np.testing.assert_allclose(restoration.sum(axis=(4, 5, 6)), 1, atol=1e-5)
        assert restoration.min() < 0


def test_the_kernels_applied_to_the_warped_frames_give_the_filters_part(seen):
    _, _, found = seen
    kernels = found.kernels.restoration
    side = kernels.shape[-1]
    padded = np.pad(found.warped, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2), mode="edge")
    for y in range(0, kernels.shape[0], 3):
        for x in range(0, kernels.shape[1], 3):
            around = padded[:, :, y : y + side, x : x + side]
            expected = np.einsum("uvtij,tcij->cuv", kernels[y, x], around)
            got = found.filtered[:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            np.testing.assert_allclose(got, expected, atol=1e-4)


def test_flow_and_mask_applied_to_the_frames_give_the_warped_frames(seen):
    _, _, found = seen
    y, x = np.mgrid[0 : found.size[0], 0 : found.size[1]].astype(np.float64)
    for t in range(found.length):
        dx, dy = found.flow[t]
        for channel in range(3):
            source = np.pad(found.frames[t, channel], 1)  # zeros outside, reached gradually
            there = map_coordinates(source, [y + dy + 1, x + dx + 1], order=1, cval=0)
            np.testing.assert_allclose(found.warped[t, channel], there * found.mask[t], atol=2e-3)


def test_kernels_of_every_third_pixel_are_those_pixels_kernels(seen):
    network, clip, found = seen
    sparse = inspect_clip(network, clip, every=3).kernels
    for name in ("degradation", "restoration"):
        every_third = getattr(found.kernels, name)[::3, ::3]
        np.testing.assert_allclose(getattr(sparse, name), every_third, atol=1e-6)


def test_kernels_of_tiles_lie_where_those_of_the_whole_picture_do(tiled):
    clip = torch.from_numpy(tiled.frames).transpose(0, 1)[None]
    whole = inspect_clip(network_of("tiny_32x48"), clip, every=3)
    assert tiled.tile is not None
    assert whole.tile is None
    for name in ("degradation", "restoration"):
        one, other = getattr(tiled.kernels, name), getattr(whole.kernels, name)
        assert one.shape == other.shape
        # The attention makes tiles differ a little; shifted by one place they differ much.
        shifted = np.abs(one[:, 1:] - other[:, :-1]).mean()
        assert np.abs(one - other).mean() < shifted / 3


def test_a_picture_too_large_for_memory_is_inspected_in_tiles():
    network = network_of("tiny_32x48")
    assert largest_tile(network, 300, 400, beside=0, available=lambda _: 1 << 40) is None
    tile = largest_tile(network, 300, 400, beside=0, available=lambda _: 200 << 20)
    assert tile is not None
    assert 64 <= tile < 400
