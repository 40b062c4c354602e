"""`--strength`: parts of the restored picture and of bicubic enlargement, before clamping."""

import pytest
import torch

from vsrdb_cli import OptionError, load_runner, restore_frames
from vsrdb_cli.backends.builtin import BuiltinRunner

PICTURES = [torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(n)) for n in range(3)]


class Beyond(BuiltinRunner):
    """Gives values far beyond white, as a network may."""

    def restore(self, window):
        return super().restore(window) + 0.6


def restored(runner, **options):
    return torch.stack(list(restore_frames(PICTURES, runner, **options)))


@pytest.fixture(scope="module")
def network():
    return load_runner("fmanet-xs", precision="float32")


@pytest.mark.parametrize("scale", [4, 2])
def test_0_is_plain_bicubic(network, scale):
    bicubic = restored(load_runner("bicubic"), scale=scale)
    assert torch.equal(restored(network, strength=0, scale=scale), bicubic)


def test_1_is_the_restored_picture_bit_for_bit(network):
    assert torch.equal(restored(network, strength=1), restored(network))
    assert not torch.equal(restored(network), restored(load_runner("bicubic")))


def test_a_half_is_the_mean_of_both_before_they_are_clamped():
    nearest = BuiltinRunner("nearest")
    unclamped = torch.stack([nearest.restore([p[None]] * 3)[0] + 0.6 for p in PICTURES])
    bicubic = torch.stack([BuiltinRunner("bicubic").restore([p[None]] * 3)[0] for p in PICTURES])
    half = restored(Beyond("nearest"), strength=0.5)
    torch.testing.assert_close(half, ((unclamped + bicubic) / 2).clamp(0, 1))
    assert (half - (unclamped.clamp(0, 1) + bicubic.clamp(0, 1)) / 2).abs().max() > 0.1


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_it_lies_between_0_and_1(strength):
    with pytest.raises(OptionError, match="strength"):
        restored(BuiltinRunner("nearest"), strength=strength)
