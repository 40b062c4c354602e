"""A padded network restores what the plain one does, and all its widths are multiples of 8."""

import pytest
import torch
from drawn_networks import (
    CONFIGURATIONS,
    OUTPUT_TOLERANCE,
    assert_restored_alike,
    network_of,
    restored,
)
from golden_numbers import CASES, golden
from plain_fmanet import PlainFMANet

from vsrdb_cli.backends import parity
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded

TINY = golden("tiny_32x48").config


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
@pytest.mark.slow
def test_a_padded_network_equals_the_golden_numbers(case):
    expected = golden(case)
    network = FMANet(expected.config)
    network.load_state_dict(expected.state(), strict=False)
    frames = expected.arrays["input"].unbind(2)
    torch.testing.assert_close(
        restored(padded(network).prepare(), frames),
        expected.arrays["output"],
        rtol=0,
        atol=OUTPUT_TOLERANCE,
    )


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@torch.inference_mode()
def test_any_configuration_padded_equals_a_plain_transcription(config):
    network = network_of(config)
    clip = torch.rand(2, 3, config.num_seq, 13, 18, generator=torch.Generator().manual_seed(1))
    expected = PlainFMANet(network.state_dict(), config)(clip)
    assert_restored_alike(padded(network)(clip), expected)


@pytest.mark.parametrize("height, width", parity.SIZES)
@torch.inference_mode()
@pytest.mark.cases
def test_the_bundled_network_padded_restores_the_same(height, width):
    network, frames = build_network(load_checkpoint("fmanet-xs")), parity.scene(3, height, width)
    torch.testing.assert_close(
        restored(padded(network), frames),
        restored(network, frames),
        rtol=0,
        atol=OUTPUT_TOLERANCE,
    )


@torch.inference_mode()
def test_features_far_from_zero_are_normalised_over_the_real_channels():
    """A mean that is large beside the deviation shows every channel that is taken for one."""
    network = network_of(TINY)
    for name, parameter in network.named_parameters():
        if name.endswith("conv_Fw.weight"):
            parameter.add_(0.05)
    frames = torch.rand(3, 1, 3, 8, 9, generator=torch.Generator().manual_seed(2))
    assert_restored_alike(restored(padded(network), frames), restored(network, frames))


@pytest.mark.parametrize("config", [golden(case).config for case in CASES], ids=CASES)
def test_every_width_of_a_padded_network_is_a_multiple_of_8(config):
    with torch.device("meta"):
        network = padded(FMANet(config))
    filters = ("degradation_learning_network.d_conv.2", "restoration_network.d_conv.0")
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if weight is None or name in filters:
            continue  # k_d^2 filters have a width of their own, and are never made
        outputs, inputs = (*weight.shape, 8)[:2]
        assert outputs % 8 == 0, name
        assert inputs % 8 == 0 or "dwconv" in name, name


def test_the_plain_network_and_its_weights_stay_as_they_are():
    network = network_of(TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    padded(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
