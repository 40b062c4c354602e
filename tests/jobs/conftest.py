import pytest
import torch

from vsrdb_cli.checkpoints.checkpoint import save_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet


def save_tiny(path, num_seq):
    """A whole FMA-Net of random weights, as small as one can be, on disk."""
    torch.manual_seed(num_seq)
    config = FMANetConfig(
        num_seq=num_seq, dim=2 * num_seq, ds_kernel_size=4, us_kernel_size=3, num_RDB=1,
        growth_rate=2, num_dense_layer=1, num_flow=2, num_FRMA=1, num_transformer_block=1,
        num_heads=2,
    )  # fmt: skip
    save_checkpoint(path, FMANet(config).state_dict(), config, licence="none", origin="test")
    return str(path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The path of a tiny FMA-Net that looks at 3 frames."""
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors", 3)


@pytest.fixture(scope="session")
def tiny_of_5(tmp_path_factory):
    """The same, looking at 5 frames."""
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors", 5)


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are quickest with one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
