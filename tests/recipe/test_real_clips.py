import dataclasses
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from recipe.photos import to_codes, to_linear
from recipe.real_clips import Interpolator, make, read_clip
from recipe.render import downscale, to_bytes
from recipe.validation import Example, bicubic, real_examples, score
from torch import nn

SPEED = 3  # pixels a frame


def moving_frames(count: int, height: int = 98, width: int = 130) -> list[np.ndarray]:
    """A smooth texture that moves right by SPEED pixels a frame."""
    noise = np.random.default_rng(0).uniform(0, 255, (12, 20, 3)).astype(np.float32)
    wide = cv2.resize(noise, (width + SPEED * count, height), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide, 0, 255).astype(np.uint8)
    starts = [SPEED * (count - number) for number in range(count)]
    return [np.ascontiguousarray(wide[:, start : start + width]) for start in starts]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("clip") / "moving.mkv"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 130, 98, "rgb24"
        stream.options = {"qp": "0"}
        for frame in moving_frames(16):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file


def pictures(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(file))[..., ::-1] for file in sorted(folder.glob("*.png"))]


def test_sizes_are_cut_to_multiples_of_four(clip):
    frames = read_clip(clip)
    assert len(frames) == 16
    assert frames[0].shape == (96, 128, 3)
    np.testing.assert_array_equal(frames[5], moving_frames(16)[5][:96, :128])


def test_truth_is_every_third_frame_and_blur_is_centred_on_it(clip, tmp_path):
    count = make(clip, tmp_path, 3, sharp=False, limit=None)
    lr, gt = pictures(tmp_path / "lr" / "moving"), pictures(tmp_path / "gt" / "moving")
    frames = read_clip(clip)
    assert count == len(lr) == len(gt) == 4
    for number, truth in enumerate(gt):
        np.testing.assert_array_equal(truth, frames[2 + 3 * number])
    # By hand: the texture moves evenly, so that the mean of shifted truths is the blur.
    light = to_linear(gt[1])
    shifts = np.linspace(-1.2, 1.2, 13) * SPEED
    moves = [np.float32([[1, 0, shift], [0, 1, 0]]) for shift in shifts]
    mean = np.mean([cv2.warpAffine(light, move, (128, 96)) for move in moves], axis=0)
    wanted = to_bytes(downscale(to_codes(mean.astype(np.float32))))
    inner = (slice(3, -3), slice(4, -4))
    error = np.abs(lr[1][inner].astype(int) - wanted[inner])
    unblurred = np.abs(
        to_bytes(downscale(gt[1].astype(np.float32)))[inner].astype(int) - wanted[inner]
    )
    assert error.mean() < 2
    assert error.mean() < unblurred.mean() / 3


def test_sharp_clips_are_downscaled_truth(clip, tmp_path):
    make(clip, tmp_path, 3, sharp=True, limit=2)
    lr, gt = pictures(tmp_path / "lr" / "moving"), pictures(tmp_path / "gt" / "moving")
    assert len(lr) == 2
    for small, truth in zip(lr, gt, strict=True):
        error = small.astype(int) - to_bytes(downscale(truth.astype(np.float32)))
        assert np.abs(error).max() <= 1


def test_interpolation_half_way_is_half_way(clip):
    frames = read_clip(clip)
    half = to_codes(Interpolator(frames).at(5.5))
    wanted = np.float32([[1, 0, SPEED / 2], [0, 1, 0]])
    wanted = cv2.warpAffine(frames[5].astype(np.float32), wanted, (128, 96))
    inner = (slice(8, -8), slice(12, -12))
    assert np.abs(half - wanted)[inner].mean() < 3
    assert np.abs(frames[5] - wanted)[inner].mean() > 6


def test_examples_are_windows_around_their_truth(clip, tmp_path):
    make(clip, tmp_path / "blur3", 3, sharp=False, limit=None)
    (example,) = real_examples(tmp_path / "blur3", per_clip=2, size=(16, 20))
    assert example.name == "blur3/moving"
    assert example.clip.shape == (2, 3, 3, 16, 20)
    assert example.sharp_hr.shape == (2, 3, 64, 80)
    scores = score(Bicubic(), example)
    assert set(scores) == {"psnr"}
    network, reference = scores["psnr"]
    assert network == reference > 15
    other = torch.roll(example.sharp_hr, 8, dims=-1)
    shifted = score(Bicubic(), dataclasses.replace(example, sharp_hr=other))
    assert reference > shifted["psnr"][1]


class Bicubic(nn.Module):
    """A network that upsamples, and says that all moves right by `speed` pixels a frame."""

    def __init__(self, speed: float = 0.0) -> None:
        super().__init__()
        self.speed = nn.Parameter(torch.tensor(speed))

    def restore_clip(self, clip: torch.Tensor) -> SimpleNamespace:
        flow_mask = torch.zeros_like(clip)
        flow_mask[:, 0, 0], flow_mask[:, 0, 2] = -self.speed, self.speed
        return SimpleNamespace(output=bicubic(clip), image_flow_mask_x=flow_mask)


@torch.inference_mode()
def test_motion_is_scored_over_all_pixels_and_over_slow_ones():
    flow = torch.zeros(5, 2, 2, 16, 20)
    flow[:, 0, :, :, :5], flow[:, 0, :, :, 5:] = 1.0, 4.0
    flow[:, :, 0] *= -1
    example = Example("x", torch.rand(5, 3, 3, 16, 20), torch.rand(5, 3, 64, 80), flow)
    scores = score(Bicubic(speed=1.0), example)
    assert scores["epe"] == pytest.approx((2.25, 3.25))
    assert scores["epe_slow"] == pytest.approx((0.0, 1.0))
