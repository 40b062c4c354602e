import cv2
import numpy as np
import pytest
import torch
from recipe.motion import pixel_grid
from recipe.photos import Photos
from recipe.pool import Pool, ShardWriter, Window, augment, collate, cut
from recipe.render import render_window


@pytest.fixture(scope="module")
def windows(photo_folder):
    rng = np.random.default_rng(5)
    photos = Photos(photo_folder)
    return [render_window(rng, photos, 24) for _ in range(4)]


def test_what_was_written_is_read_back(tmp_path, windows):
    writer = ShardWriter(tmp_path / "0000", len(windows), 24, 4)
    for window in windows:
        writer.add(window)
    with pytest.raises(ValueError, match="no shards"):
        Pool(tmp_path)  # not whole yet
    writer.close()
    pool = Pool(tmp_path)
    assert len(pool) == 4
    for number, window in enumerate(windows):
        for found, written in zip(pool.window(number), window, strict=True):
            np.testing.assert_array_equal(found, written)


def test_windows_rendered_meanwhile_join_when_their_shard_is_whole(tmp_path, windows):
    for number in range(2):
        writer = ShardWriter(tmp_path / f"{number:04d}", 1, 24, 4)
        writer.add(windows[number])
        if number == 0:
            writer.close()
            pool = Pool(tmp_path)
    pool.refresh()
    assert len(pool) == 1
    writer.close()
    pool.refresh()
    assert len(pool) == 2
    np.testing.assert_array_equal(pool.window(1).lr, windows[1].lr)


def tensors(window: Window) -> Window:
    return Window(*map(torch.from_numpy, window))


def moving_square() -> Window:
    """A bright square on grey that moves by (+2, +1) LR pixels a frame, and its flow."""
    lr = np.full((3, 24, 24, 3), 100, np.uint8)
    for t, number in enumerate((-1, 0, 1)):
        lr[t, 8 + number : 14 + number, 8 + 2 * number : 14 + 2 * number] = (250, 200, 150)
    flow = np.zeros((2, 24, 24, 2), np.float16)
    flow[0, 8:14, 8:14], flow[1, 8:14, 8:14] = (-2, -1), (2, 1)
    return tensors(Window(lr, lr.repeat(4, axis=1).repeat(4, axis=2), flow))


@pytest.mark.parametrize("seed", range(12))
def test_augmentation_keeps_flow_and_frames_together(seed):
    window = Window(*(p.numpy() for p in augment(np.random.default_rng(seed), moving_square())))
    grid = pixel_grid(24, 24)
    square = np.abs(window.flow[0]).sum(-1) > 0
    assert square.sum() == 36
    for neighbour, flow in zip((0, 2), window.flow, strict=True):
        there = grid + flow.astype(np.float32)
        moved = cv2.remap(np.ascontiguousarray(window.lr[neighbour]), there, None, cv2.INTER_LINEAR)
        np.testing.assert_array_equal(moved[square], window.lr[1][square])


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_takes_the_same_place_from_lr_hr_and_flow(seed):
    window = cut(moving_square(), 16, np.random.default_rng(seed))
    window = Window(*(part.numpy() for part in window))
    np.testing.assert_array_equal(window.hr[:, ::4, ::4], window.lr)
    inside = np.abs(window.flow[1]).sum(-1) > 0
    assert np.all(window.lr[1][inside] == (250, 200, 150))


def test_a_batch_has_channels_second_and_values_up_to_one(windows):
    batch = collate([tensors(window) for window in windows])
    assert batch.clip.shape == (4, 3, 3, 24, 24)
    assert batch.sharp_hr.shape == (4, 3, 3, 96, 96)
    assert batch.flow.shape == (4, 2, 2, 24, 24)
    np.testing.assert_allclose(
        batch.clip[2, :, 1].permute(1, 2, 0) * 255, windows[2].lr[1], atol=1e-4
    )


def test_augmentation_goes_all_ways():
    rng, window = np.random.default_rng(0), moving_square()
    found = {augment(rng, window).lr.numpy().tobytes() for _ in range(400)}
    # A square is its own transpose: eight ways in space are four here, as time goes both ways.
    assert len(found) > 20
