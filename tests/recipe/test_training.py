import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recipe.initial import bicubic_kernel, initialise
from recipe.losses import LossWeights, NetDFlows, flow_loss, net_d_flows, total_loss
from recipe.muon import is_matrix
from recipe.photos import Photos
from recipe.pool import Batch, Pool, ShardWriter
from recipe.render import render_window
from recipe.settings import Phase, Settings
from recipe.train import Job, Training, load_start, work
from recipe.validation import bicubic, psnr
from tiny_training import SETTINGS, TINY

from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network.fmanet import FMANet

WEIGHTS = Path(__file__).parents[2] / "weights"


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
    return Job(settings, run, pool)


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
    assert all(float(loss) < 1e-5 for loss in losses.values())
    # Frames taken in the wrong order are noticed.
    swapped = Batch(batch.clip, batch.sharp_hr, batch.flow.flip(2))
    assert total_loss(perfect, swapped, weights)["flow_y"] > 0.01


def test_motion_is_learned_by_what_makes_flows_alone(batch):
    network = started_network()
    flow_loss(net_d_flows(network, batch.clip), batch)["total"].backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None}
    assert not any(name.startswith("restoration_network") for name in moved)
    for part in ("feature_extractor", "FRMA_blocks.1.conv_f", "f_conv"):
        assert any(name.startswith(f"degradation_learning_network.{part}") for name in moved)
    assert not any(".d_conv" in name or ".multi_attn_block" in name for name in moved)


def test_flows_alone_are_those_of_the_whole_network(batch):
    network = started_network()
    with torch.inference_mode():
        whole, alone = network.restore_clip(batch.clip), net_d_flows(network, batch.clip)
    torch.testing.assert_close(alone.image, whole.image_flow_mask_y[:, :2].transpose(1, 2))
    last = whole.flow_mask_d.unflatten(1, (-1, 3)).unflatten(0, (-1, 3))[:, :, :, :2]
    torch.testing.assert_close(alone.blocks[-1], last)


def test_motion_loss_is_zero_for_the_true_flow_and_counts_pixels(batch):
    truth = torch.zeros(6, 3, 2, 24, 24)
    truth[:, [0, 2]] = batch.flow.transpose(1, 2)
    exact = NetDFlows([truth[:, :, None].expand(-1, -1, 4, -1, -1, -1)] * 2, truth)
    assert flow_loss(exact, batch)["total"] < 1e-5
    off = torch.tensor([3.0, 4.0])[:, None, None]
    losses = flow_loss(NetDFlows([flow + off for flow in exact.blocks], truth + off), batch)
    torch.testing.assert_close(losses["flow_y"], torch.tensor(5.0))
    torch.testing.assert_close(losses["flow_blocks"], torch.tensor(10.0))
    torch.testing.assert_close(losses["total"], torch.tensor(10.0))


def test_the_term_in_decibels_is_the_psnr_of_each_window_by_itself(batch):
    found = started_network().restore_clip(batch.clip)
    errors = torch.tensor([0.01, 0.03, 0.1, 0.1, 0.1, 0.3])[:, None, None, None]
    found = dataclasses.replace(found, output=batch.sharp_hr[:, :, 1] + errors)
    losses = total_loss(found, batch, LossWeights(restored=0, psnr=0.5, anchor=0, flow=0, warp=0))
    expected = (20 * torch.log10(errors)).mean()
    torch.testing.assert_close(losses["psnr"], expected, rtol=0, atol=0.2)
    others = losses["total"] - 0.5 * losses["psnr"] - 0.1 * losses["degradation"]
    torch.testing.assert_close(others, torch.tensor(0.0), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_resumed_run_equals_the_unbroken_one(tmp_path, pool_folder, optimizer):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    Training(job(tmp_path / "whole", pool_folder, settings)).run([])
    broken = Training(job(tmp_path / "broken", pool_folder, settings))
    broken.run([], stop=lambda: broken.step == 4)
    assert broken.windows == 6
    Training(job(tmp_path / "broken", pool_folder, settings)).run([])
    whole, resumed = (
        torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken")
    )
    assert whole["step"] == resumed["step"] == 6
    for part in ("network", "ema"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(resumed[part][name], tensor, rtol=0, atol=0)
    # The test can fail: another seed gives other weights.
    other = dataclasses.replace(settings, seed=1)
    Training(job(tmp_path / "other", pool_folder, other)).run([])
    state = torch.load(tmp_path / "other" / "state.pt", weights_only=True)
    name = "restoration_network.res_conv1.weight"
    assert not torch.equal(state["network"][name], whole["network"][name])


def test_a_run_out_of_time_saves_what_it_has(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    training.run([], stop=lambda: training.step == 1)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["step"], state["windows"]) == (1, 2)


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_what_the_run_has(tmp_path, pool_folder, monkeypatch, number):
    monkeypatch.setattr("recipe.train.keep_freed_memory", lambda: None)
    monkeypatch.setattr(Training, "log", lambda *_: os.kill(os.getpid(), number))
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        work(0, job(tmp_path, pool_folder))
    finally:
        for n, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(n, handler)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 0


def test_a_gradient_that_is_not_finite_ends_the_run_and_is_never_saved(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    with torch.no_grad():
        training.network.degradation_learning_network.feature_extractor[0].weight.fill_(np.nan)
    with pytest.raises(FloatingPointError, match="step 1"):
        training.run([], stop=lambda: training.step == 1)
    assert not (tmp_path / "state.pt").exists()


def test_the_average_follows_the_weights_slowly(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    before = copy.deepcopy(training.network.state_dict())
    training.run([], stop=lambda: training.step == 2)
    name = "degradation_learning_network.f_conv.2.weight"
    now, average = training.network.state_dict()[name], training.ema.module.state_dict()[name]
    assert 0 < (average - now).norm() < (before[name] - now).norm()


def test_a_run_starts_from_another_runs_state_with_its_heads(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    training.run([], stop=lambda: training.step == 2)
    network = started_network(seed=3)
    load_start(network, training.state_file)
    for name, tensor in training.ema.module.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_rate_warms_up_falls_like_a_cosine_and_ends_low(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder))
    assert training.rate() == pytest.approx(SETTINGS.rate / 2)
    training.step = 100
    for windows, part in ((4, 0.505), (8, 0.01)):
        training.windows = windows
        assert training.rate() == pytest.approx(SETTINGS.rate * part)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_training_learns(tmp_path, pool_folder, batch, optimizer):
    settings = dataclasses.replace(
        SETTINGS, windows=80, phases=(Phase(0, 16, 4),), optimizer=optimizer
    )
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
    assert settings.phase_at(0.0) == settings.phases[0]
    assert settings.phase_at(1.0) == settings.phases[-1]
    initialise(FMANet(settings.network, training_heads=True))


def test_depthwise_convolutions_and_vectors_are_left_to_adam(tmp_path, pool_folder):
    training = Training(job(tmp_path, pool_folder, dataclasses.replace(SETTINGS, optimizer="muon")))
    adam, muon = training.optimizers
    own = [{id(p) for group in one.param_groups for p in group["params"]} for one in (adam, muon)]
    for name, weight in training.network.named_parameters():
        depthwise = name.endswith("dwconv.weight")
        vector = weight.dim() == 1 or name.endswith("temperature")
        assert (id(weight) in own[0]) == (depthwise or vector) != (id(weight) in own[1]), name
        assert is_matrix(weight) == (id(weight) in own[1])


def test_psnr_of_a_known_error_is_the_known_number():
    sharp = torch.full((1, 3, 32, 32), 0.5)
    sharp = (sharp * 255).round() / 255
    assert psnr(sharp + 10 / 255, sharp) == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)


@pytest.mark.slow
def test_two_workers_train_finish_and_the_checkpoint_loads(tmp_path, pool_folder):
    recipe = tmp_path / "tiny.toml"
    lines = [f'{key} = "x"' for key in ("name", "revision", "licence", "origin")]
    lines += ["windows = 4", "rate = 1e-3", "rendered_windows = 6", "[network]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in TINY.to_dict().items()]
    lines += ["[losses]", "[[phases]]", "start = 0", "size = 16", "batch = 1"]
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
