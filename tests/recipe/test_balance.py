import copy
from pathlib import Path

import pytest
import torch
from recipe.balance import LARGEST, balance

from vsrdb_cli.backends import parity
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

BUNDLED = Path(__file__).parents[2] / "weights" / "fmanet-xs.safetensors"
PICTURES = parity.scene(3, 32, 40)


@torch.inference_mode()
def restored(network, pictures=PICTURES):
    dtype = network.dtype
    return network.restore([network.encode(picture.to(dtype)) for picture in pictures]).float()


@pytest.fixture(scope="module")
def overgrown():
    """A network whose degradation features have grown beyond float16."""
    torch.manual_seed(0)
    config = FMANetConfig(dim=12, num_RDB=1, growth_rate=4, num_FRMA=2, num_flow=2, num_heads=2)
    network = FMANet(config).eval()
    with torch.no_grad():
        for name, parameter in network.restoration_network.named_parameters():
            if name.startswith("d_conv.2") or "rdb_KD" in name:
                parameter.mul_(300)
    return network


@pytest.mark.slow
def test_outputs_stay_to_the_bit_and_float16_computes_them(overgrown):
    network = copy.deepcopy(overgrown)
    assert not restored(copy.deepcopy(network).half()).isfinite().all()
    balance(network, PICTURES)
    torch.testing.assert_close(restored(network), restored(overgrown), rtol=0, atol=0)
    assert restored(copy.deepcopy(network).half()).isfinite().all()


def test_the_features_are_as_large_as_said(overgrown):
    network, sizes = copy.deepcopy(overgrown), []
    balance(network, PICTURES)
    for block in network.restoration_network.FRMA_blocks:
        block.rdb_KD.register_forward_hook(lambda _, read, out: sizes.extend([*read, out]))
        for attention in block.multi_attn_block:
            attention.da_attn.q.register_forward_hook(lambda _, read, out: sizes.append(out))
    restored(network)
    assert len(sizes) >= 6
    assert max(float(tensor.abs().max()) for tensor in sizes) <= LARGEST


def test_what_is_balanced_is_left_alone(overgrown):
    network = copy.deepcopy(overgrown)
    balance(network, PICTURES)
    before = copy.deepcopy(network.state_dict())
    balance(network, PICTURES)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_bundled_network_agrees_with_float32_in_float16():
    network = build_network(load_checkpoint(BUNDLED))
    error = restored(copy.deepcopy(network).half()) - restored(network)
    assert parity.psnr(error) >= parity.AGREEMENT_DB
