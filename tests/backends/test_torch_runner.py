"""The torch runner, where a GPU's ways can be shown without one."""

import pytest
import torch

from vsrdb_cli.backends import parity, pytorch, remembered
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.network import fgdf
from vsrdb_cli.network.fmanet import FMANet, FMANetConfig

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


def test_float32_is_not_rounded_to_tf32(checkpoint):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    TorchRunner(checkpoint, "cpu", "float32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def low(monkeypatch, tmp_path):
    monkeypatch.setattr(remembered, "user_cache_path", lambda *names, **how: tmp_path)
    monkeypatch.setattr(pytorch, "_native_low_precision", lambda _: "bfloat16")


def test_a_lower_precision_that_agrees_is_chosen(checkpoint, low):
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
