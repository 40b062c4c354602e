"""Cuts between scenes are seen; motion, flashes of texture and fades within one are not cuts."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vsrdb_cli.pipeline.scenes import SceneCutDetector


def scene(seed: int, height: int = 90, width: int = 400) -> torch.Tensor:
    """A landscape wider than the picture, with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.rand(1, 3, 90 // n + 1, 400 // n, generator=generator),
                      size=(height, width), mode="bicubic")
        for n in (60, 20, 7)
    ]  # fmt: skip
    level = 0.3 * torch.rand(1, generator=generator)
    return (sum(layers)[0] / 3 + level).clamp(0, 1)


def pan(seed: int, frames: int, speed: int) -> list[torch.Tensor]:
    wide = scene(seed)
    return [wide[:, :, t * speed : t * speed + 160] for t in range(frames)]


def cuts(pictures: list[torch.Tensor]) -> list[int]:
    detector = SceneCutDetector()
    return [index for index, picture in enumerate(pictures) if detector(picture)]


def test_each_of_several_scenes_begins_a_shot():
    dark, bright = pan(1, 6, 3), [picture * 0.2 for picture in pan(2, 5, 3)]
    assert cuts(dark + bright + pan(3, 4, 3)) == [0, 6, 11]


def test_a_shot_of_a_single_frame_is_a_shot():
    flash = [torch.ones(3, 90, 160)]
    assert cuts(pan(1, 5, 2) + flash + pan(1, 5, 2)) == [0, 5, 6]


def test_a_steady_pan_and_a_fade_are_no_cuts():
    assert cuts(pan(4, 12, 4)) == [0]
    assert cuts([pan(5, 1, 0)[0] * (1 - t / 20) for t in range(20)]) == [0]


def test_a_pan_too_fast_to_tell_from_cuts_is_recognised_after_two_frames():
    assert cuts(pan(4, 12, 12)) in ([0], [0, 1], [0, 1, 2])
