"""On a GPU every convolution reads channels last, and weights that were laid out once."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded

LAST = torch.channels_last


class Convolutions(TorchDispatchMode):
    """Keeps, of every convolution inside `with`, which of its operands lies another way.

    As cuDNN does, and the meta device does not, it leaves its output as it finds its input.
    """

    def __init__(self):
        super().__init__()
        self.seen, self.astray = 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if function is not torch.ops.aten.convolution.default:
            return output
        self.seen += 1
        for what, tensor in (("input", args[0]), ("weight", args[1])):
            if not tensor.is_contiguous(memory_format=LAST):
                self.astray.append((what, tuple(tensor.shape), tensor.stride()))
        return output.contiguous(memory_format=LAST if _is_last(args[0]) else torch.preserve_format)


def _is_last(tensor):
    return tensor.stride(1) == 1 or tensor.is_contiguous(memory_format=LAST)


CONFIGS = {"paper": FMANetConfig(), "fmanet-xs": load_checkpoint("fmanet-xs").config}


@pytest.mark.parametrize("widen", [padded, lambda network: network], ids=["padded", "plain"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_no_convolution_is_given_planes_or_lays_out_its_weights_anew(config, widen):
    with torch.device("meta"), torch.no_grad():
        network = widen(FMANet(config)).half().prepare()
        picture = torch.empty(1, 3, 36, 64)
        network.restore([network.encode(picture)] * 3)  # what is made of weights is made once
        with Convolutions() as convolutions:
            network.restore([network.encode(picture)] * 3)
    assert convolutions.seen > 100
    assert convolutions.astray == []
