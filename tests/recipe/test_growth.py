from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recipe.growth import grow
from recipe.initial import initialise
from recipe.train import load_start
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_training import TINY

from vsrdb_cli.checkpoints.checkpoint import save_checkpoint
from vsrdb_cli.errors import CheckpointError
from vsrdb_cli.network.fmanet import FMANet

SMALL = replace(TINY, num_RDB=2, num_dense_layer=2)
LARGER = [
    pytest.param({"num_RDB": 5}, id="more blocks"),
    pytest.param({"growth_rate": 6}, id="wider layers"),
    pytest.param({"num_RDB": 3, "growth_rate": 8}, id="both"),
    pytest.param({}, id="as it was"),
]


def trained() -> FMANet:
    torch.manual_seed(3)
    network = FMANet(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def checkpoint(folder: Path) -> Path:
    file, state = folder / "small.safetensors", trained().state_dict()
    save_checkpoint(file, state, SMALL, licence="MIT", origin="test", recipe="test")
    return file


def clip() -> torch.Tensor:
    return torch.rand(1, 3, 3, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("more", LARGER)
def test_a_grown_network_restores_what_the_small_one_does(more):
    small, grown = trained(), FMANet(replace(SMALL, **more), training_heads=True)
    grow(grown, small)
    with torch.inference_mode():
        assert torch.allclose(grown(clip()), small(clip()), atol=1e-5)


@pytest.mark.slow
def test_a_run_starts_from_the_checkpoint_of_a_smaller_network(tmp_path):
    grown = FMANet(replace(SMALL, num_RDB=3), training_heads=True)
    load_start(grown, checkpoint(tmp_path))
    with torch.inference_mode():
        assert torch.allclose(grown(clip()), trained()(clip()), atol=1e-5)


def test_what_is_new_learns_from_the_second_step_on():
    config = replace(SMALL, num_RDB=4, growth_rate=6)
    grown = FMANet(config, training_heads=True)
    grow(grown, trained())
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        grown(clip()).square().mean().backward()
        optimizer.step()
    extractors = [
        net.feature_extractor[2]
        for net in (grown.degradation_learning_network, grown.restoration_network)
    ]
    names = {module: name for name, module in grown.named_modules()}
    for extractor in extractors:
        for index, block in enumerate(extractor.RDBs):
            for layer in block.layer:
                new = slice(None) if index >= SMALL.num_RDB else slice(SMALL.growth_rate, None)
                slope = layer.conv.weight.grad[new].abs().amax(dim=(1, 2, 3, 4))
                assert (slope > 0).all(), names[layer.conv]


def test_training_heads_the_small_one_lacks_stay():
    grown = FMANet(replace(SMALL, num_RDB=3), training_heads=True)
    initialise(grown)
    heads = {n: t.clone() for n, t in grown.state_dict().items() if ".a_conv." in n}
    grow(grown, trained())
    assert heads
    assert all(torch.equal(grown.state_dict()[name], kept) for name, kept in heads.items())


@pytest.mark.parametrize(
    "other", [{"num_RDB": 1}, {"growth_rate": 3}, {"dim": 24}, {"bias": False}]
)
def test_what_is_no_larger_form_is_refused(other):
    with pytest.raises(ValueError, match="does not grow into"):
        grow(FMANet(replace(SMALL, **other)), trained())


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    file = checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"small\.safetensors holds another network"):
        load_start(FMANet(TINY, training_heads=True), file)


def test_weights_of_another_network_than_they_say_are_refused(tmp_path):
    file = checkpoint(tmp_path)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    stranger = {"restoration_network.stranger": torch.zeros(1)}
    save_file(load_file(file) | stranger, file, metadata)
    with pytest.raises(CheckpointError, match="stranger"):
        load_start(FMANet(replace(SMALL, num_RDB=3), training_heads=True), file)
