"""Training on a GPU takes the CPU's steps, and goes on where it was stopped."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe.pool import ShardWriter, Window
from recipe.settings import Phase
from recipe.train import Job, Training
from tiny_training import SETTINGS

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Six windows of smooth pictures and flows."""
    folder = tmp_path_factory.mktemp("pool")
    generator = torch.Generator().manual_seed(0)
    writer = ShardWriter(folder / "0000", 6, 24, 4)
    for _ in range(6):
        coarse = torch.rand(3, 3, 8, 8, generator=generator)
        hr, lr = (
            torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
            .mul(255).byte().permute(0, 2, 3, 1).numpy()
            for side in (96, 24)
        )  # fmt: skip
        flow = torch.randn(2, 1, 1, 2, generator=generator).expand(2, 24, 24, 2)
        writer.add(Window(lr, hr, flow.half().numpy()))
    writer.close()
    return folder


def training(folder: Path, pool: Path, device: str, **options) -> Training:
    folder.mkdir(exist_ok=True)
    return Training(Job(SETTINGS, folder, pool, device=device, **options))


def weights(run: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in run.network.parameters()])


@pytest.mark.parametrize("learns", ["motion", "everything"])
def test_a_steps_losses_and_gradients_are_the_cpus(device, pool, tmp_path, learns):
    def step(name):
        run = training(tmp_path / name, pool, name)
        batch = run.pool.sample(np.random.default_rng(0), 2, 20)
        assert batch.clip.device.type == name
        losses = run.objective(batch, learns)
        losses["total"].backward()
        gradients = [p.grad.flatten() for p in run.network.parameters() if p.grad is not None]
        return {key: value.item() for key, value in losses.items()}, torch.cat(gradients).cpu()

    (losses, gradient), (wanted, expected) = step(device), step("cpu")
    # A GPU's convolutions are bfloat16, whose step is 4e-3.
    assert losses == pytest.approx(wanted, rel=5e-3, abs=1e-6)
    assert float((gradient - expected).norm() / expected.norm()) < 3e-2


def test_a_stopped_run_goes_on_exactly_where_it_was(device, pool, tmp_path):
    broken = training(tmp_path / "run", pool, device)
    broken.run([], stop=lambda: broken.step == 4)
    resumed = training(tmp_path / "run", pool, device)
    assert (resumed.step, resumed.windows) == (broken.step, broken.windows) == (4, 6)
    for part in ("network", "ema"):
        saved, loaded = (getattr(run, part).state_dict() for run in (broken, resumed))
        for name, tensor in saved.items():
            assert loaded[name].device.type == torch.device(device).type or name == "n_averaged"
            torch.testing.assert_close(loaded[name].cpu(), tensor.cpu(), rtol=0, atol=0)
    resumed.run([])
    assert (resumed.step, resumed.progress) == (6, 1)


def test_a_resumed_run_ends_near_the_unbroken_one(device, pool, tmp_path):
    """Near, not equal: a GPU adds up the gradients of warping in any order."""
    whole = training(tmp_path / "whole", pool, device)
    start = weights(whole)
    whole.run([])
    broken = training(tmp_path / "broken", pool, device)
    broken.run([], stop=lambda: broken.step == 3)
    resumed = training(tmp_path / "broken", pool, device)
    resumed.run([])
    off = (weights(resumed) - weights(whole)).norm()
    assert float(off / (weights(whole) - start).norm()) < 0.2


def test_steps_replayed_from_a_graph_are_the_plain_ones(cuda, pool, tmp_path):
    """Seven, of which the last four are replayed, at rates that change."""

    def end(name, **options):
        run = training(tmp_path / name, pool, cuda, **options)
        run.settings = dataclasses.replace(run.settings, phases=(Phase(0, 20, 1),), windows=9)
        start = weights(run)
        run.run([], stop=lambda: run.step == 7)
        assert run.step == 7
        return start, weights(run)

    start, plain = end("plain")
    _, graphed = end("graph", graph=True)
    off, way = (graphed - plain).norm(), (plain - start).norm()
    assert float(off / way) < 0.1
    resumed = training(tmp_path / "graph", pool, "cpu")
    assert resumed.step == 7
    assert torch.equal(weights(resumed), graphed)
    resumed.train_step()
