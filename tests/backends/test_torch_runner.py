"""The torch runner, where a GPU's ways can be shown without one."""

import dataclasses

import pytest
import torch

from vsrdb_cli.backends import parity, precision, remembered
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.network import fgdf
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
def low(monkeypatch, tmp_path):
    """A CPU that computes in bfloat16, and a cache of its own."""
    monkeypatch.setattr(precision, "native_low_precision", lambda _: "bfloat16")
    monkeypatch.setattr(remembered, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_a_lower_precision_that_agrees_is_chosen(checkpoint, low):
    assert TorchRunner(checkpoint, "cpu", "auto").info.precision == "bfloat16"


def test_the_question_is_asked_once_for_these_weights(checkpoint, low, monkeypatch):
    asked = []
    monkeypatch.setattr(parity, "psnr", lambda error: asked.append(error) or 60.0)
    for _ in range(2):
        assert TorchRunner(checkpoint, "cpu", "auto").info.precision == "bfloat16"
    assert len(asked) == 1
    TorchRunner(dataclasses.replace(checkpoint, sha256="another"), "cpu", "auto")
    assert len(asked) == 2


@pytest.mark.parametrize("spoilt", ["no JSON", "[]", "[" * 100_000, "a folder"])
def test_a_memory_that_cannot_be_used_is_as_none(checkpoint, low, spoilt):
    file = low / "precision.json"
    file.mkdir(parents=True) if spoilt == "a folder" else file.parent.mkdir()
    if spoilt != "a folder":
        file.write_text(spoilt)
    assert TorchRunner(checkpoint, "cpu", "auto").info.precision == "bfloat16"


@pytest.mark.parametrize("wrong", [torch.nan, 0.01])
def test_a_lower_precision_is_judged_by_the_kernels_that_will_run(
    checkpoint, low, monkeypatch, wrong
):
    real = fgdf._reference

    def broken(frames, flow_mask, kernel, scale, ksize):
        picture = real(frames, flow_mask, kernel, scale, ksize)
        return picture + wrong if kernel.dtype == torch.bfloat16 else picture

    monkeypatch.setattr(fgdf, "_reference", broken)
    assert TorchRunner(checkpoint, "cpu", "auto").info.precision == "float32"


def test_a_picture_left_on_the_device_is_the_one_restored(checkpoint):
    runner = TorchRunner(checkpoint, "cpu", "float32")
    window = [runner.encode(frame) for frame in parity.scene(3, 12, 16)]
    assert torch.equal(runner.restore_on_device(window), runner.restore(window))
