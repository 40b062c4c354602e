import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recipe.initial import bicubic_kernel, initialise
from recipe.losses import LossWeights, degrade_clip, total_loss
from recipe.photos import Photos
from recipe.pool import Batch, Pool, ShardWriter
from recipe.render import render_window
from recipe.settings import Patches, Settings
from recipe.train import Job, Training
from recipe.validation import bicubic, psnr

from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network.fmanet import FMANet, FMANetConfig

WEIGHTS = Path(__file__).parents[2] / "weights"
TINY = FMANetConfig(
    dim=12,
    num_RDB=1,
    growth_rate=4,
    num_dense_layer=1,
    num_FRMA=2,
    num_flow=2,
    num_transformer_block=1,
    num_heads=2,
    ds_kernel_size=6,
    us_kernel_size=5,
    bias=True,
)
SETTINGS = Settings(
    name="tiny",
    revision="test",
    licence="MIT",
    origin="a test",
    network=TINY,
    losses=LossWeights(),
    patches=(Patches(0, 16, 2), Patches(0.5, 20, 1)),
    rate=1e-3,
    steps=6,
    stage_1=0.3,
    warmup_steps=2,
)


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory, photo_folder):
    folder = tmp_path_factory.mktemp("pool")
    rng, photos = np.random.default_rng(1), Photos(photo_folder)
    writer = ShardWriter(folder / "0000", 6, 24, 4)
    for _ in range(6):
        writer.add(render_window(rng, photos, 24))
    writer.close()
    return folder


@pytest.fixture(scope="module")
def batch(pool_folder):
    return Pool(pool_folder).fixed(6)


def started_network(seed: int = 0) -> FMANet:
    torch.manual_seed(seed)
    network = FMANet(TINY, training_heads=True)
    initialise(network)
    return network


def job(run: Path, pool: Path, settings: Settings = SETTINGS) -> Job:
    run.mkdir(exist_ok=True)
    return Job(settings, run, pool, None, (), "cpu", 1, False)


def test_the_bicubic_kernel_interpolates_as_bicubic_does():
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    patches = F.unfold(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5).view(3, 25, 144)
    subpixels = bicubic_kernel(4, 5).view(16, 25) @ patches
    found = F.pixel_shuffle(subpixels.view(1, 48, 12, 12), 4)
    wanted = F.interpolate(image, scale_factor=4, mode="bicubic", antialias=True)
    inner = (..., slice(12, -12), slice(12, -12))
    torch.testing.assert_close(found[inner], wanted[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_step_0_restores_about_what_bicubic_does_of_the_centre_frame(batch, seed):
    def distance(network: FMANet) -> float:
        with torch.inference_mode():
            return psnr(network(batch.clip), bicubic(batch.clip))

    torch.manual_seed(seed)
    assert distance(started_network(seed)) > 27
    assert distance(FMANet(TINY, training_heads=True)) < 20


def test_the_start_hands_flow_on_unchanged():
    network = started_network()
    net_r = network.restoration_network
    flow = torch.tensor([1.5, -0.5, 4.0, 1.5, -0.5, 4.0]).view(1, 6, 1, 1).expand(1, 6, 9, 9)
    inner = (..., slice(3, -3), slice(3, -3))
    with torch.no_grad():
        handed = net_r.f_conv1(flow)[inner]
        mean = net_r.f_conv2(flow)[inner]
    torch.testing.assert_close(handed, flow[inner], rtol=0, atol=0.5)
    torch.testing.assert_close(mean, flow[:, :3][inner], rtol=0, atol=0.5)


def test_the_start_refuses_a_network_without_the_parts_it_sets():
    with pytest.raises(ValueError, match="training heads"):
        initialise(FMANet(TINY))


def test_every_term_falls_to_zero_for_perfect_results(batch):
    found = started_network().restore_clip(batch.clip)
    sharp = torch.stack(
        [
            F.interpolate(
                batch.sharp_hr[:, :, t], scale_factor=0.25, mode="bicubic", antialias=True
            )
            for t in range(3)
        ],
        dim=2,
    )
    flow_mask = torch.zeros_like(found.image_flow_mask_x)
    flow_mask[:, :2, [0, 2]] = batch.flow
    perfect = dataclasses.replace(
        found,
        output=batch.sharp_hr[:, :, 1],
        sharp_d=sharp,
        sharp_r=sharp,
        image_flow_mask_x=flow_mask,
        image_flow_mask_y=flow_mask,
    )
    weights = LossWeights(degradation=0, warp=0)
    losses = total_loss(perfect, batch, weights)
    assert set(losses) == {"restored", "anchor_d", "anchor_r", "flow_y", "flow_x", "total"}
    assert all(float(loss) < 1e-6 for loss in losses.values())
    # Frames taken in the wrong order are noticed.
    swapped = Batch(batch.clip, batch.sharp_hr, batch.flow.flip(2))
    assert total_loss(perfect, swapped, weights)["flow_y"] > 0.01


def test_stage_1_trains_net_d_alone(batch):
    network = started_network()
    total_loss(degrade_clip(network, batch.clip), batch, LossWeights())["total"].backward()
    assert all(p.grad is None for p in network.restoration_network.parameters())
    moved = [p.grad for p in network.degradation_learning_network.d_conv.parameters()]
    assert all(grad.abs().sum() > 0 for grad in moved)


def test_stage_1_computes_what_the_whole_network_computes(batch):
    network = started_network()
    with torch.inference_mode():
        whole, alone = network.restore_clip(batch.clip), degrade_clip(network, batch.clip)
    for name in ("kernel_d", "image_flow_mask_y", "sharp_d"):
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name))


def test_a_resumed_run_equals_the_unbroken_one(tmp_path, pool_folder):
    Training(job(tmp_path / "whole", pool_folder)).run([])
    Training(job(tmp_path / "broken", pool_folder)).run([], stop_at_step=4)
    Training(job(tmp_path / "broken", pool_folder)).run([])
    whole, resumed = (
        torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken")
    )
    assert whole["step"] == resumed["step"] == 6
    for part in ("network", "ema"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(resumed[part][name], tensor, rtol=0, atol=0)
    # The test can fail: another seed gives other weights.
    other = dataclasses.replace(SETTINGS, seed=1)
    Training(job(tmp_path / "other", pool_folder, other)).run([])
    state = torch.load(tmp_path / "other" / "state.pt", weights_only=True)
    name = "restoration_network.res_conv1.weight"
    assert not torch.equal(state["network"][name], whole["network"][name])


def test_the_rate_warms_up_falls_like_a_cosine_and_ends_low(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    assert training.rate(0) == pytest.approx(SETTINGS.rate / 2)
    training.step = 100
    assert training.rate(0.5) == pytest.approx(SETTINGS.rate * 0.505)
    assert training.rate(1.0) == pytest.approx(SETTINGS.rate * 0.01)


def test_training_learns(tmp_path, pool_folder, batch):
    settings = dataclasses.replace(SETTINGS, steps=20, stage_1=0.0, patches=(Patches(0, 16, 4),))
    training = Training(job(tmp_path, pool_folder, settings))

    def loss() -> float:
        with torch.no_grad():
            found = training.network.restore_clip(batch.clip)
            return float(total_loss(found, batch, settings.losses)["total"])

    before = loss()
    training.run([])
    assert loss() < 0.9 * before


def test_settings_of_the_bundled_model_are_valid():
    settings = Settings.read(WEIGHTS / "recipe" / "fmanet-xs.toml")
    assert settings.patches_at(0.0) == settings.patches[0]
    assert settings.patches_at(1.0) == settings.patches[-1]
    initialise(FMANet(settings.network, training_heads=True))


def test_psnr_of_a_known_error_is_the_known_number():
    sharp = torch.full((1, 3, 32, 32), 0.5)
    sharp = (sharp * 255).round() / 255
    assert psnr(sharp + 10 / 255, sharp) == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)


@pytest.mark.slow
def test_two_workers_train_finish_and_the_checkpoint_loads(tmp_path, pool_folder):
    recipe = tmp_path / "tiny.toml"
    lines = [f'{key} = "x"' for key in ("name", "revision", "licence", "origin")]
    lines += ["steps = 2", "rate = 1e-3", "[network]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in TINY.to_dict().items()]
    lines += ["[losses]", "[[patches]]", "start = 0", "size = 16", "batch = 1"]
    recipe.write_text("\n".join(lines))
    run, file = tmp_path / "run", tmp_path / "tiny.safetensors"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(WEIGHTS), str(WEIGHTS.parent)])}

    def recipe_step(*words: object) -> None:
        command = [sys.executable, "-m", *map(str, words)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)

    train = ("recipe.train", recipe, "--pool", pool_folder, "--run", run, "--workers", 2)
    recipe_step(*train, "--validation", pool_folder)
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [0, 2]
    assert len(entries[-1]["psnr"]["rendered"]) == 2
    recipe_step("recipe.finish", run, recipe, "-o", file)
    checkpoint = load_checkpoint(file)
    assert checkpoint.config == TINY
    ema = torch.load(run / "state.pt", weights_only=True)["ema"]
    name = "restoration_network.res_conv1.weight"
    torch.testing.assert_close(checkpoint.state[name], ema[name].half().float(), rtol=0, atol=0)
    build_network(checkpoint)
