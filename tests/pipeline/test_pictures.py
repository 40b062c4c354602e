"""`restore_frames` returns pictures of the kind it is given, and refuses anything else."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vsrdb_cli import OptionError, load_runner, restore_frames

NEAREST = load_runner("nearest")
COLOURS = torch.tensor([[[0.0, 1.0]], [[0.2, 0.8]], [[0.4, 0.6]]])  # (3, 1, 2)


def restored(*pictures):
    return list(restore_frames(pictures, NEAREST))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_float_tensors_come_back_as_float_tensors_of_their_type(dtype):
    picture = COLOURS.to(dtype)
    (after,) = restored(picture)
    assert after.dtype == dtype
    assert after.shape == (3, 4, 8)
    assert torch.equal(after[:, ::4, ::4], picture)


def test_codes_of_8_bits_come_back_as_codes():
    codes = torch.randint(0, 256, (3, 5, 6), dtype=torch.uint8)
    (after,) = restored(codes)
    assert after.dtype == torch.uint8
    assert torch.equal(after[:, ::4, ::4], codes)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_arrays_come_back_as_arrays_of_their_type_channels_last(dtype):
    codes = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    picture = codes if dtype == np.uint8 else (codes / 255).astype(dtype)
    (after,) = restored(picture)
    assert isinstance(after, np.ndarray)
    assert (after.dtype, after.shape) == (dtype, (20, 28, 3))
    np.testing.assert_allclose(after[::4, ::4], picture, rtol=0, atol=1e-6)


def test_arrays_that_are_views_with_steps_of_their_own_are_taken():
    codes = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    mirrored = codes[::-1, ::-1, ::-1]
    (after,) = restored(mirrored)
    np.testing.assert_array_equal(after[::4, ::4], mirrored)


def test_images_of_pillow_come_back_as_images_of_pillow():
    codes = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    (after,) = restored(Image.fromarray(codes))
    assert isinstance(after, Image.Image)
    assert (after.mode, after.size) == ("RGB", (28, 20))
    np.testing.assert_array_equal(np.asarray(after)[::4, ::4], codes)


def test_each_picture_comes_back_in_its_own_kind_and_all_are_restored_alike():
    codes = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    tensor = torch.from_numpy(codes).permute(2, 0, 1)
    array, codes_of_tensor, floats = restored(codes, tensor, tensor / 255)
    np.testing.assert_array_equal(array, codes_of_tensor.permute(1, 2, 0).numpy())
    torch.testing.assert_close(floats * 255, codes_of_tensor.float())


def test_what_was_given_is_not_changed():
    codes = np.full((4, 4, 3), 100, np.uint8)
    floats = torch.full((3, 4, 4), 1.2)
    restored(codes)
    restored(floats)
    assert (codes == 100).all()
    assert (floats == 1.2).all()


def test_what_comes_out_is_the_callers_to_change():
    network = load_runner("fmanet-xs", precision="float32")
    for picture in (torch.rand(3, 16, 16), np.zeros((16, 16, 3), np.float32)):
        (after,) = restore_frames([picture], network)
        after *= 2


def test_a_batch_is_iterated_over():
    assert [p.shape for p in restore_frames(torch.rand(2, 3, 4, 5), NEAREST)] == [(3, 16, 20)] * 2
    frames = np.zeros((2, 4, 5, 3), np.uint8)
    assert [p.shape for p in restore_frames(frames, NEAREST)] == [(16, 20, 3)] * 2


def test_values_a_little_beyond_0_and_1_are_clamped():
    (after,) = restored(torch.full((3, 4, 4), 1.1))
    assert after.max() == 1


@pytest.mark.parametrize("picture, says, hint", [
    (torch.full((3, 4, 4), 200.0), "picture 0 has values from 200 to 200, expected 0 to 1", "255"),
    (np.full((4, 4, 3), -1.0), "values from -1 to -1", "255"),
    (torch.full((3, 4, 4), torch.nan), "values that are not finite", "NaN"),
    (np.full((4, 4, 3), np.inf), "values that are not finite", "NaN"),
    (torch.zeros(1, 3, 4, 4), r"shape \(1, 3, 4, 4\), expected \(3, H, W\)", "one by one"),
    (np.zeros((1, 4, 4, 3)), r"shape \(1, 4, 4, 3\), expected \(H, W, 3\)", "one by one"),
    (torch.zeros(4, 5), r"a tensor of shape \(4, 5\)", "into a list"),
    (np.zeros((4, 5), np.uint8), r"an? array of shape \(4, 5\)", "into a list"),
    (torch.zeros(4, 5, 3), r"shape \(4, 5, 3\)", r"permute\(2, 0, 1\)"),
    (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\)", r"transpose\(1, 2, 0\)"),
    (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\)", "red, green, blue"),
    (torch.zeros(3, 0, 5), r"shape \(3, 0, 5\)", "red, green, blue"),
    (torch.zeros(3, 4, 4, dtype=torch.int64), "values of type int64, expected uint8 or", "uint8"),
    (np.zeros((4, 4, 3), np.uint16), "values of type uint16", "uint8"),
    (np.zeros((4, 4, 3), object), "values of type object", "uint8"),
    (Image.new("L", (4, 4)), "a PIL image of mode L, expected RGB", r"convert\(.RGB.\)"),
    ("frame.png", "a str, which is not a picture", "numpy arrays"),
    (None, "a NoneType, which is not a picture", "numpy arrays"),
])  # fmt: skip
def test_what_is_not_a_picture_is_refused_in_one_line(picture, says, hint):
    with pytest.raises(OptionError, match=says) as refused:
        restored(picture)
    assert "\n" not in f"{refused.value}{refused.value.hint}"
    assert re.search(hint, refused.value.hint)


@pytest.mark.parametrize("pictures", [Path("in.mp4"), "in.mp4", Image.new("RGB", (4, 4))])
def test_one_picture_or_file_in_place_of_several_pictures_is_refused(pictures):
    with pytest.raises(OptionError, match="expected several pictures") as refused:
        next(restore_frames(pictures, NEAREST))
    assert "restore_video" in refused.value.hint


def test_a_size_that_changes_is_refused_with_the_pictures_number():
    arriving = restore_frames([torch.zeros(3, 4, 5)] * 2 + [torch.zeros(3, 5, 4)], NEAREST)
    with pytest.raises(OptionError, match="picture 2 is 4x5, those before are 5x4"):
        list(arriving)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_pictures_that_take_turns_in_one_memory_stay_apart(dtype):
    memory = torch.empty(3, 8, 8, dtype=dtype)
    values = [0, 1, 0, 1] if dtype == torch.uint8 else [0.0, 0.2, 0.4, 0.6]
    after = list(restore_frames((memory.fill_(value) for value in values), NEAREST))
    assert [picture[0, 0, 0].item() for picture in after] == pytest.approx(values)


def test_numbers_in_the_other_order_of_bytes_are_taken():
    picture = COLOURS.permute(1, 2, 0).numpy()
    (after,) = restored(picture.astype(picture.dtype.newbyteorder(">")))
    np.testing.assert_array_equal(after[::4, ::4], picture)
