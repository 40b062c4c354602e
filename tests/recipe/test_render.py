import cv2
import numpy as np
import pytest
from recipe.motion import LayerMotion, pixel_grid, random_motion, still
from recipe.photos import Photos, to_codes, to_linear
from recipe.render import (
    MARGIN_HR,
    TIMES,
    Layer,
    composite,
    compress,
    downscale,
    exposed,
    render_window,
    true_flow,
)

SIDE = 128
INNER = (slice(40, -40), slice(40, -40))


def smooth_texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 1, (24, 24, 3)).astype(np.float32)
    wide = SIDE + 2 * MARGIN_HR
    return np.clip(cv2.resize(noise, (wide, wide), interpolation=cv2.INTER_CUBIC), 0, 1)


def translation(dx: float, dy: float) -> LayerMotion:
    zero = np.zeros(2, np.float32)
    velocity = np.array([dx, dy], np.float32)
    return LayerMotion(velocity, zero, zero, 0.0, 0.0, np.zeros((SIDE, SIDE, 2), np.float32))


def warped_back(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return cv2.remap(picture, pixel_grid(SIDE, SIDE) + flow, None, cv2.INTER_LINEAR)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("time", [-1, 1])
def test_true_flow_leads_from_the_centre_to_the_same_texture_in_a_neighbour(seed, time):
    motion = random_motion(np.random.default_rng(seed), SIDE, speed=12.0)
    layers = [Layer(smooth_texture(seed), motion)]
    centre, neighbour = composite(layers, 0), composite(layers, time, cv2.INTER_CUBIC)
    error = np.abs(warped_back(neighbour, true_flow(layers, time)) - centre)[INNER].mean()
    unaligned = np.abs(neighbour - centre)[INNER].mean()
    assert error < 0.01
    assert error < unaligned / 10


def test_true_flow_of_a_translation_is_minus_the_camera_motion():
    flow = true_flow([Layer(smooth_texture(0), translation(6, -2))], 1)
    np.testing.assert_allclose(flow, np.broadcast_to([-6.0, 2.0], flow.shape), atol=1e-4)


def test_true_flow_is_that_of_the_layer_in_front():
    mask = np.zeros((SIDE + 2 * MARGIN_HR,) * 2 + (1,), np.float32)
    mask[MARGIN_HR + 32 : MARGIN_HR + 64, MARGIN_HR + 32 : MARGIN_HR + 64] = 1
    front = np.concatenate([smooth_texture(1) * mask, mask], axis=-1)
    layers = [Layer(smooth_texture(0), still(SIDE)), Layer(front, translation(8, 0))]
    flow = true_flow(layers, 1)
    np.testing.assert_allclose(flow[48, 48], [-8, 0], atol=1e-4)
    np.testing.assert_allclose(flow[10, 10], [0, 0], atol=1e-4)


def test_exposure_averages_in_linear_light_not_in_codes():
    # Half black, half white, moved by exactly the step's width during the exposure.
    wide = SIDE + 2 * MARGIN_HR
    texture = np.zeros((wide, wide, 3), np.float32)
    texture[:, wide // 2 :] = 1
    blurred = exposed([Layer(texture, translation(32, 0))], 0.0, 1.0)
    middle = blurred[SIDE // 2, SIDE // 2, 0]
    assert middle == pytest.approx(0.5, abs=0.05)
    # 0.5 of the light is code 188; a mean of codes would be 128.
    assert to_codes(blurred)[SIDE // 2, SIDE // 2, 0] == pytest.approx(188, abs=8)
    # The trail is a ramp over the whole way.
    row = blurred[SIDE // 2, :, 0]
    assert ((row > 0.02) & (row < 0.98)).sum() == pytest.approx(32, abs=3)
    assert np.all(np.diff(row) >= -1e-6)


def test_a_static_scene_gives_three_equal_sharp_frames_without_flow():
    layers = [Layer(smooth_texture(0), still(SIDE))]
    frames = [exposed(layers, t, 1.0) for t in TIMES]
    inside = slice(MARGIN_HR, MARGIN_HR + SIDE)
    for frame in frames:
        np.testing.assert_array_equal(frame, smooth_texture(0)[inside, inside])
    np.testing.assert_array_equal(true_flow(layers, 1), 0)


def test_linear_light_and_codes_are_inverses():
    codes = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_allclose(to_codes(to_linear(codes)), codes, atol=1e-2)


def test_downscale_does_not_shift_a_ramp():
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32)[None, :, None], (64, 64, 3))
    small = downscale(ramp)
    assert small.shape == (16, 16, 3)
    np.testing.assert_allclose(
        small[:, 3:-3, 0], np.broadcast_to(ramp[0, 1::4, 0] + 0.5, (16, 16))[:, 3:-3], atol=1e-3
    )


@pytest.mark.parametrize("as_video", [True, False])
def test_compression_changes_little_and_keeps_the_frame_count(as_video):
    frames = [(to_codes(smooth_texture(i))[:64, :64]).astype(np.uint8) for i in range(3)]
    errors = []
    for crf in (12, 24):
        back = compress(frames, crf, as_video=as_video)
        assert len(back) == 3
        errors.append(np.abs(np.stack(back).astype(int) - np.stack(frames)).mean())
    assert 0 < errors[0] < errors[1] < 8


def test_a_rendered_window_is_blurry_small_and_repeatable(photo_folder):
    photos = Photos(photo_folder)
    window = render_window(np.random.default_rng(3), photos, 24)
    assert window.lr.shape == (3, 24, 24, 3)
    assert window.hr.shape == (3, 96, 96, 3)
    assert window.flow.shape == (2, 24, 24, 2)
    again = render_window(np.random.default_rng(3), photos, 24)
    np.testing.assert_array_equal(window.lr, again.lr)
    np.testing.assert_array_equal(window.flow, again.flow)


def test_soft_photos_and_scored_recordings_and_validation_are_left_out(photo_folder):
    training = {file.name for file in Photos(photo_folder).files}
    validation = {file.name for file in Photos(photo_folder, validation=True).files}
    assert training | validation == {f"photo_{i}.png" for i in range(13)}
    assert validation == {"photo_0.png", "photo_12.png"}
    assert not training & validation
