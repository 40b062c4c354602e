import cv2
import numpy as np
import pytest
import torch
from recipe.motion import pixel_grid
from recipe.photos import Photos
from recipe.pool import Cuts, Pool, ShardWriter, Window, cut
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
    assert len(pool.fixed(2).clip) == 2
    with pytest.raises(ValueError, match="holds 2 windows, 3 are asked for"):
        pool.fixed(3)


def test_of_windows_of_several_sizes_those_are_taken_that_a_patch_fits_into(tmp_path, windows):
    for name, size in (("0000", 24), ("0001", 16)):
        writer = ShardWriter(tmp_path / name, 1, size, 4)
        window = windows[0]
        hr = 4 * size
        writer.add(
            Window(window.lr[:, :size, :size], window.hr[:, :hr, :hr], window.flow[:, :size, :size])
        )
        writer.close()
    pool = Pool(tmp_path)
    assert len(pool) == 2
    rng = np.random.default_rng(0)
    for size in (12, 20):
        for _ in range(8):
            assert pool.sample(rng, 2, size).clip.shape == (2, 3, 3, size, size)
    with pytest.raises(ValueError, match="no windows of 25 LR pixels or more"):
        pool.sample(rng, 2, 25)


def shard(*windows: Window) -> Window:
    """Windows along the first dimension, as tensors."""
    return Window(*(torch.from_numpy(np.stack(parts)) for parts in zip(*windows, strict=True)))


def moving_square() -> Window:
    """A bright square on grey that moves by (+2, +1) LR pixels a frame, and its flow."""
    lr = np.full((3, 24, 24, 3), 100, np.uint8)
    for t, number in enumerate((-1, 0, 1)):
        lr[t, 8 + number : 14 + number, 8 + 2 * number : 14 + 2 * number] = (250, 200, 150)
    flow = np.zeros((2, 24, 24, 2), np.float16)
    flow[0, 8:14, 8:14], flow[1, 8:14, 8:14] = (-2, -1), (2, 1)
    return Window(lr, lr.repeat(4, axis=1).repeat(4, axis=2), flow)


@pytest.mark.parametrize("seed", range(12))
def test_however_it_is_turned_flow_and_frames_stay_together(seed):
    batch = cut(shard(moving_square()), Cuts.random(np.random.default_rng(seed), 1, 1, 2), 22)
    clip, flows = batch.clip[0].permute(1, 2, 3, 0).numpy(), batch.flow[0].permute(1, 2, 3, 0)
    grid = pixel_grid(22, 22)
    square = flows[0].abs().sum(-1).numpy() > 0
    assert square.sum() == 36
    for neighbour, flow in zip((0, 2), flows.numpy(), strict=True):
        moved = cv2.remap(
            np.ascontiguousarray(clip[neighbour]), grid + flow, None, cv2.INTER_LINEAR
        )
        np.testing.assert_array_equal(moved[square], clip[1][square])


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_takes_the_same_place_from_lr_hr_and_flow(seed):
    batch = cut(shard(moving_square()), Cuts.random(np.random.default_rng(seed), 3, 1, 8), 16)
    assert torch.equal(batch.sharp_hr[..., ::4, ::4], batch.clip)
    inside = batch.flow[:, :, 1].abs().sum(1) > 0
    centre = batch.clip[:, :, 1].permute(0, 2, 3, 1)
    values = torch.tensor([150.0, 200.0, 250.0]) / 255
    assert torch.equal(centre[inside].sort(dim=-1).values, values.expand(int(inside.sum()), 3))


def test_whole_windows_have_channels_second_and_values_up_to_one(windows):
    batch = cut(shard(*windows), Cuts.whole(4), 24)
    assert batch.clip.shape == (4, 3, 3, 24, 24)
    assert batch.sharp_hr.shape == (4, 3, 3, 96, 96)
    assert batch.flow.shape == (4, 2, 2, 24, 24)
    for number, window in enumerate(windows):
        clip, hr = (part[number].permute(1, 2, 3, 0) * 255 for part in batch[:2])
        np.testing.assert_allclose(clip, window.lr, atol=1e-4)
        np.testing.assert_allclose(hr, window.hr, atol=1e-4)
        np.testing.assert_array_equal(batch.flow[number].permute(1, 2, 3, 0), window.flow)


def test_a_cut_is_turned_as_its_entry_says(windows):
    """One way at a time, against NumPy."""
    turned = {
        "reversed_": lambda a: a[::-1],
        "flipped": lambda a: a[:, ::-1],
        "mirrored": lambda a: a[:, :, ::-1],
        "transposed": lambda a: a.swapaxes(1, 2),
    }
    for way, turn in turned.items():
        cuts = Cuts.whole(4)._replace(**{way: np.ones(4, bool)})
        batch = cut(shard(*windows), cuts, 24)
        for number, window in enumerate(windows):
            found = batch.clip[number].permute(1, 2, 3, 0).numpy() * 255
            np.testing.assert_allclose(found, turn(window.lr), atol=1e-4)
            found = batch.sharp_hr[number].permute(1, 2, 3, 0).numpy() * 255
            np.testing.assert_allclose(found, turn(window.hr), atol=1e-4)


def test_cuts_go_all_ways():
    batch = cut(shard(moving_square()), Cuts.random(np.random.default_rng(0), 400, 1, 0), 24)
    found = {clip.numpy().tobytes() for clip in batch.clip}
    # A square is its own transpose: eight ways in space are four here, as time goes both ways.
    assert len(found) > 20


def test_windows_of_small_and_large_shards_are_as_likely(tmp_path):
    for name, values in (("0000", range(1)), ("0001", range(1, 4))):
        writer = ShardWriter(tmp_path / name, len(values), 4, 4)
        for value in values:
            lr = np.full((3, 4, 4, 3), value, np.uint8)
            hr = np.full((3, 16, 16, 3), value, np.uint8)
            writer.add(Window(lr, hr, np.zeros((2, 4, 4, 2), np.float16)))
        writer.close()
    pool, rng = Pool(tmp_path), np.random.default_rng(0)
    drawn = [int(pool.sample(rng, 1, 4).clip[0, 0, 0, 0, 0] * 255 + 0.5) for _ in range(400)]
    assert all(60 < drawn.count(value) < 140 for value in range(4))
