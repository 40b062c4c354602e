"""The torch runner, where a GPU's ways can be shown without one."""

import dataclasses

import pytest
import torch
from operators import Operators
from torch.utils._python_dispatch import TorchDispatchMode

from vsrdb_cli.backends import parity
from vsrdb_cli.backends.precision import in_precision
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint, save_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

SMALL = FMANetConfig(
    dim=6, ds_kernel_size=4, us_kernel_size=3, num_RDB=1, growth_rate=4, num_dense_layer=1,
    num_flow=2, num_FRMA=1, num_transformer_block=1, num_heads=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, FMANet(SMALL).state_dict(), SMALL, licence="none", origin="a seed")
    return load_checkpoint(str(path))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The folder of answers, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vsrdb"


def chosen(checkpoint):
    """The precision that "auto" comes to on a CPU that computes in bfloat16."""
    network = build_network(checkpoint)
    found = in_precision(network, checkpoint.sha256, "auto", low_precision=lambda _: "bfloat16")
    return found[1]


def test_a_lower_precision_that_agrees_is_chosen(checkpoint, cache):
    assert chosen(checkpoint) == "bfloat16"


def test_the_question_is_asked_once_for_these_weights(checkpoint, cache):
    other = dataclasses.replace(checkpoint, sha256="another")
    computed = []
    for weights in (checkpoint, checkpoint, other):
        with Operators() as operators:
            assert chosen(weights) == "bfloat16"
        computed.append(operators.launched["fgdf"])
    assert computed[0] > 0
    assert computed == [computed[0], 0, computed[0]]


@pytest.mark.parametrize("spoilt", ["no JSON", "[]", "[" * 100_000, "a folder"])
def test_an_unusable_cache_is_ignored(checkpoint, cache, spoilt):
    file = cache / "precision.json"
    file.mkdir(parents=True) if spoilt == "a folder" else file.parent.mkdir()
    if spoilt != "a folder":
        file.write_text(spoilt)
    assert chosen(checkpoint) == "bfloat16"


class WrongInBfloat16(TorchDispatchMode):
    """Adds a number to what `vsrdb::fgdf` returns in bfloat16."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        wrong = function is torch.ops.vsrdb.fgdf.default and result.dtype == torch.bfloat16
        return result + self.wrong if wrong else result


@pytest.mark.parametrize("wrong", [torch.nan, 0.01])
def test_a_lower_precision_is_judged_by_the_kernels_that_will_run(checkpoint, cache, wrong):
    with WrongInBfloat16(wrong):
        assert chosen(checkpoint) == "float32"


def test_a_picture_left_on_the_device_is_the_one_restored(checkpoint):
    runner = TorchRunner(checkpoint, "cpu", "float32")
    window = [runner.encode(frame) for frame in parity.scene(3, 12, 16)]
    assert torch.equal(runner.restore_on_device(window), runner.restore(window))
