"""PSNR, SSIM and tOF against the paper's own evaluation, and their definitions one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vsrdb_cli.evaluation.metrics import SMALLEST_SIDE, FlowEstimator, psnr, ssim, tof

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-6
FLOW_TOLERANCE = 1e-4  # OpenCV's builds round differently


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "metrics.npz") as data:
        return {"truth": data["gt"], "restored": data["pred"]}


@pytest.fixture(scope="module")
def golden() -> list[dict[str, float]]:
    return json.loads((GOLDEN / "metrics.json").read_text())


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_psnr_and_ssim_are_those_of_the_papers_evaluation(metric, frames, golden):
    found = [metric(r, t) for r, t in zip(frames["restored"], frames["truth"], strict=True)]
    assert found == pytest.approx([g[metric.__name__] for g in golden], abs=TOLERANCE)


def test_tof_is_that_of_the_papers_evaluation(frames, golden):
    restored, truth = FlowEstimator(), FlowEstimator()
    flows = [
        (restored(r), truth(t)) for r, t in zip(frames["restored"], frames["truth"], strict=True)
    ]
    assert flows[0] == (None, None), "the first frame has nowhere to have moved from"
    found = [tof(r, t) for r, t in flows[1:]]
    assert found == pytest.approx([g["tof"] for g in golden[1:]], abs=FLOW_TOLERANCE)


def test_pictures_deeper_than_8_bit_score_like_the_same_codes_in_8_bit(frames):
    restored, truth = frames["restored"][0], frames["truth"][0]
    deep = restored.astype(np.float32), truth.astype(np.float32)
    assert psnr(*deep) == psnr(restored, truth)
    assert ssim(*deep) == ssim(restored, truth)
    in_8_bit, in_float = FlowEstimator(), FlowEstimator()
    for picture in frames["truth"][:2]:
        flows = in_8_bit(picture), in_float(picture.astype(np.float32) - 0.4)
    np.testing.assert_array_equal(*flows)


def test_psnr_counts_the_three_channels_together():
    truth = np.full((60, 60, 3), 100, np.uint8)
    one_off = truth + np.uint8(1)
    one_channel_off = truth.copy()
    one_channel_off[..., 1] += 1
    assert psnr(one_off, truth) == pytest.approx(20 * math.log10(255))
    assert psnr(one_channel_off, truth) == pytest.approx(20 * math.log10(255) + 10 * math.log10(3))


def test_psnr_does_not_wrap_round_where_the_restored_picture_is_darker():
    truth = np.full((60, 60, 3), 100, np.uint8)
    assert psnr(truth - np.uint8(10), truth) == psnr(truth + np.uint8(10), truth)


def test_equal_pictures_have_infinite_psnr_and_ssim_1(frames):
    picture = frames["truth"][0]
    assert psnr(picture, picture) == math.inf
    assert ssim(picture, picture) == 1


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_four_pixels_on_each_side_do_not_count_and_the_fifth_does(metric, frames):
    truth = frames["truth"][0]
    equal = metric(truth, truth)
    for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
        spoilt = truth.copy()
        spoilt[edge] = 255 - spoilt[edge]
        assert metric(spoilt, truth) == equal
    for line in (np.s_[4], np.s_[-5], np.s_[:, 4], np.s_[:, -5]):
        spoilt = truth.copy()
        spoilt[line] = 255 - spoilt[line]
        assert metric(spoilt, truth) < equal


@pytest.mark.parametrize(
    "height, width, rows, columns",
    [
        (720, 1280, (8, 712), (16, 1264)),
        (160, 224, (16, 144), (16, 208)),
        (175, 177, (23, 151), (8, 168)),
        (SMALLEST_SIDE, SMALLEST_SIDE, (8, 40), (8, 40)),
    ],
)
def test_tof_cuts_to_multiples_of_32_and_leaves_out_16_rows_and_columns(
    height, width, rows, columns
):
    still = np.zeros((height, width, 2), np.float32)
    moving = np.full_like(still, 5)
    moving[slice(*rows), slice(*columns)] = 0
    assert tof(moving, still) == 0
    for corner in ((rows[0], columns[0]), (rows[1] - 1, columns[1] - 1)):
        moving[corner] = 5
        assert tof(moving, still) > 0
        moving[corner] = 0


def test_tof_is_the_mean_length_of_the_difference():
    truth = np.zeros((64, 96, 2), np.float32)
    restored = truth + np.float32([3, 4])
    assert tof(restored, truth) == 5


def test_tof_of_a_panning_camera_is_by_how_much_the_pan_is_off():
    noise = np.random.default_rng(3).random((40, 60, 3))
    wide = np.kron(noise, np.ones((8, 8, 1)))
    for axis in (0, 1):
        wide = sum(np.roll(wide, shift, axis) for shift in range(-6, 7)) / 13
    wide = np.rint(wide * 255).astype(np.uint8)

    def pan(speed):
        motion = FlowEstimator()
        for index in range(2):
            flow = motion(np.ascontiguousarray(wide[:256, speed * index : speed * index + 384]))
        return flow

    assert tof(pan(1), pan(3)) == pytest.approx(2, abs=0.1)
