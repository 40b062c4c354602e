"""On a GPU every convolution reads channels last, and weights that were laid out once."""

import pytest
import torch
from operators import counted

from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded

CONFIGS = {"paper": FMANetConfig(), "fmanet-xs": load_checkpoint("fmanet-xs").config}


@pytest.mark.parametrize("widen", [padded, lambda network: network], ids=["padded", "plain"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.cases
def test_no_convolution_is_given_planes_or_lays_out_its_weights_anew(config, widen):
    with torch.device("meta"), torch.no_grad():
        network = widen(FMANet(config)).half().prepare()
        picture = torch.empty(1, 3, 36, 64)
        network.restore([network.encode(picture)] * 3)  # what is made of weights is made once
        found = counted(lambda: network.restore([network.encode(picture)] * 3))
    assert found.launched["convolution"] > 70
    assert found.astray == []
