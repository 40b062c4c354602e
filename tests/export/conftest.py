"""A small network, drawn from a seed, and what is exported of it: once for all tests here."""

import pickle
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from vsrdb_cli.backends.exported_files import ExportFiles
from vsrdb_cli.backends.parity import Agreement
from vsrdb_cli.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vsrdb_cli.export.to_onnx import export_onnx
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

SMALL = FMANetConfig(
    dim=6,
    ds_kernel_size=4,
    us_kernel_size=3,
    num_RDB=1,
    growth_rate=4,
    num_dense_layer=1,
    num_flow=2,
    num_FRMA=1,
    num_transformer_block=1,
    num_heads=2,
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exporting takes half a minute."""
    for item in items:
        if "exported" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    state = FMANet(SMALL).state_dict()
    save_checkpoint(path, state, SMALL, licence="none", origin="drawn from a seed")
    return load_checkpoint(path)


class Exports(dict[str, tuple[ExportFiles, list[Agreement]]]):
    """Precision -> files and measured agreement; exported when first asked for, by any process."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        super().__init__()
        self.checkpoint, self.folder = checkpoint, folder

    def __missing__(self, precision: str) -> tuple[ExportFiles, list[Agreement]]:
        made = self.checkpoint
        measured = self.folder / f"{precision}.agreements"
        with FileLock(self.folder / f"{precision}.lock"):
            if not measured.exists():
                found = export_onnx(made, self.folder, precision, on_step=lambda _: None)
                measured.write_bytes(pickle.dumps(found))
        files = ExportFiles(self.folder, made.name, made.sha256, precision)
        self[precision] = files, pickle.loads(measured.read_bytes())
        return self[precision]


@pytest.fixture(scope="session")
def exported(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Exports:
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "exports"
    shared.mkdir(exist_ok=True)
    return Exports(checkpoint, shared)
