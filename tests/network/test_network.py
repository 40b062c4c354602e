"""FMA-Net computes what the paper's authors' network computes, in two steps as in one."""

from __future__ import annotations

import pytest
import torch
from drawn_networks import (
    CONFIGURATIONS,
    OUTPUT_TOLERANCE,
    WARPED_TOLERANCE,
    assert_restored_alike,
    network_of,
    restored,
)
from golden_numbers import CASES, arrays, golden
from plain_fmanet import PlainFMANet

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network import strips
from vsrdb_cli.network.attention import TransposedAttention
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.ops import (
    backward_warp,
    filter_upsampling,
    flow_guided_downsampling,
    flow_guided_dynamic_filter,
)

TINY = golden("tiny_32x48").config


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
@pytest.mark.slow
def test_output_and_warped_frames_equal_the_golden_numbers(case):
    expected = golden(case)
    network = FMANet(expected.config, training_heads=True).eval()
    network.load_state_dict(expected.state(), strict=True)
    got = network.restore_clip(expected.arrays["input"])
    torch.testing.assert_close(got.output, expected.arrays["output"], rtol=0, atol=OUTPUT_TOLERANCE)
    torch.testing.assert_close(
        got.warped_x, expected.arrays["warped_x"], rtol=0, atol=WARPED_TOLERANCE
    )


@torch.inference_mode()
def test_everything_between_equals_the_golden_numbers():
    expected = golden("tiny_32x48")
    network = FMANet(expected.config, training_heads=True).eval()
    network.load_state_dict(expected.state(), strict=True)
    clip = expected.arrays["input"]
    got = network.restore_clip(clip)
    frames = network.encode(clip[0].transpose(0, 1))
    between = {
        "feature_d": frames.degradation[-1].transpose(0, 1)[None],
        "kernel_d": got.kernel_d,
        "flow_mask_d": got.flow_mask_d.transpose(0, 1)[None],
        "image_flow_mask_y": got.image_flow_mask_y,
        "sharp_d": got.sharp_d,
        "sharp_r": got.sharp_r,
    }
    for name, tensor in between.items():
        torch.testing.assert_close(
            tensor, expected.arrays[name], rtol=0, atol=OUTPUT_TOLERANCE, msg=name
        )


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@torch.inference_mode()
def test_any_configuration_equals_a_plain_transcription(config):
    network = network_of(config)
    clip = torch.rand(2, 3, config.num_seq, 13, 18, generator=torch.Generator().manual_seed(1))
    expected = PlainFMANet(network.state_dict(), config)(clip)
    assert_restored_alike(network(clip), expected)


@torch.inference_mode()
def test_encode_once_and_restore_equal_the_whole_forward():
    network = network_of(TINY)
    clip = golden("tiny_32x48").arrays["input"]
    found = restored(network, clip.unbind(2))
    torch.testing.assert_close(found, network(clip), rtol=0, atol=1e-6)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (6, 1), (2, 3), (13, 18)])
@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@torch.inference_mode()
@pytest.mark.cases
def test_a_prepared_network_restores_the_same_at_the_borders_too(config, height, width):
    network = network_of(config)
    clip = torch.rand(2, 3, config.num_seq, height, width)
    expected = restored(network, clip.unbind(2))
    network.prepare()
    for _ in range(2):
        assert_restored_alike(restored(network, clip.unbind(2)), expected)


@torch.inference_mode()
def test_a_network_is_prepared_where_there_is_no_float64_too(monkeypatch):
    network, frames = network_of(TINY), torch.rand(3, 1, 3, 8, 9)
    expected = restored(network, frames)
    double, fetched = torch.Tensor.double, set()

    def fetch(tensor):
        copy = tensor.clone()
        fetched.add(id(copy))
        kept.append(copy)
        return copy

    def refuse(tensor):
        if id(tensor) not in fetched:
            raise TypeError("Cannot convert a MPS Tensor to float64")
        return double(tensor)

    kept = []
    monkeypatch.setattr(torch.Tensor, "cpu", fetch)
    monkeypatch.setattr(torch.Tensor, "double", refuse)
    network.prepare()
    found = restored(network, frames)
    torch.testing.assert_close(found, expected, rtol=0, atol=OUTPUT_TOLERANCE)


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
@pytest.mark.slow
def test_a_prepared_network_equals_the_golden_numbers(case):
    expected = golden(case)
    network = FMANet(expected.config)
    network.load_state_dict(expected.state(), strict=False)
    found = restored(network.prepare(), expected.arrays["input"].unbind(2))
    torch.testing.assert_close(found, expected.arrays["output"], rtol=0, atol=OUTPUT_TOLERANCE)


def trained(network):
    network.train()
    for parameter in network.parameters():
        parameter.mul_(0.9)
    return network.eval()


def loaded(network):
    network.load_state_dict({name: 0.9 * tensor for name, tensor in network.state_dict().items()})
    return network


@pytest.mark.parametrize("changed", [trained, loaded])
@torch.no_grad()
def test_a_prepared_network_restores_with_the_weights_it_has_now(changed):
    network, frames = network_of(TINY).prepare(), torch.rand(3, 1, 3, 8, 9)
    restored(network, frames)
    network = changed(network)
    other = FMANet(TINY).eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(restored(network, frames), restored(other, frames))


@torch.inference_mode()
def test_two_clips_in_a_batch_do_not_mix():
    network = network_of(TINY)
    clips = torch.rand(2, 3, 3, 12, 16, generator=torch.Generator().manual_seed(2))
    single = torch.cat([network(clip[None]) for clip in clips])
    torch.testing.assert_close(network(clips), single, rtol=0, atol=1e-5)
    found = restored(network, clips.unbind(2))
    torch.testing.assert_close(found, single, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.slow
def test_a_picture_in_strips_equals_the_whole(monkeypatch):
    network = network_of(TINY)
    clip = torch.rand(2, 3, 3, 21, 16, generator=torch.Generator().manual_seed(3))
    window = [network.encode(clip[:, :, t]) for t in range(3)]
    ways = [lambda: network(clip), lambda: network.restore(window)]
    wholes = [way() for way in ways]
    for rows in (1, 2, 5, 10, 20, 21):
        monkeypatch.setattr(strips, "PIXELS", 16 * rows)
        for way, whole in zip(ways, wholes, strict=True):
            torch.testing.assert_close(way(), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 5)])
@torch.inference_mode()
def test_pictures_of_any_size_are_restored(height, width):
    output = network_of(TINY)(torch.rand(1, 3, 3, height, width))
    assert output.shape == (1, 3, 4 * height, 4 * width)
    assert output.isfinite().all()


@torch.inference_mode()
def test_bfloat16_convolutions_stay_close_to_float32():
    network = network_of(TINY)
    clip = golden("tiny_32x48").arrays["input"]
    expected = network(clip)
    network.to(torch.bfloat16)
    mean_square = (network(clip) - expected).square().mean()
    # Drawn weights have large flows; the bundled model agrees better (see tests of its runner).
    assert network(clip).dtype == torch.float32
    assert 0 < mean_square < 10 ** (-40 / 10)


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def test_filtering_inside_autocast_is_done_in_float32():
    generator = torch.Generator().manual_seed(5)
    warped = torch.rand(1, 3, 3, 6, 7, generator=generator)
    kernel = torch.randn(1, 400, 3, 6, 7, generator=generator)
    expected = filter_upsampling(warped, kernel, 4, 5)
    with autocast():
        assert torch.equal(filter_upsampling(warped, kernel, 4, 5), expected)


def test_downsampling_inside_autocast_keeps_flows_in_float32():
    case = arrays("fgdf_down")
    flow_mask = case["flow_mask"].bfloat16()
    expected = flow_guided_downsampling(case["hr"], flow_mask.float(), case["kernel"], scale=4)
    with autocast():
        found = flow_guided_downsampling(case["hr"], flow_mask, case["kernel"], scale=4)
    for tensor, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, wanted)


def test_attention_weights_are_computed_in_float32_inside_autocast():
    config = FMANetConfig(dim=4, num_flow=2, num_heads=1, num_seq=1)
    attention = TransposedAttention(config)
    for parameter in attention.parameters():
        torch.nn.init.zeros_(parameter)
    for conv in (attention.q, attention.project_out):
        conv.weight.data[:] = torch.eye(4)[..., None, None]
    attention.kv_conv.weight.data[:4] = torch.eye(4)[..., None, None]
    attention.kv_conv.weight.data[4:] = (torch.eye(4) - torch.eye(4).roll(1, 0))[..., None, None]
    for conv in (attention.q_dwconv, attention.kv_dwconv):
        conv.weight.data[:, :, 1, 1] = 1
    # Whole numbers, which bfloat16 holds; queries and keys so alike, and the temperature so high,
    # that similarities of 8 bits would choose other channels.
    attention.temperature.data[:] = 2000
    generator = torch.Generator().manual_seed(6)
    x, query = torch.randint(100, 128, (2, 1, 4, 16, 20), generator=generator).float()
    expected = attention(x, torch.nn.Identity(), query)
    with autocast():
        found = attention(x, torch.nn.Identity(), query)
    torch.testing.assert_close(found, expected, rtol=0, atol=1)


def test_training_heads_exist_only_where_asked_for():
    plain = set(FMANet(TINY).state_dict())
    heads = set(FMANet(TINY, training_heads=True).state_dict()) - plain
    assert {name.split(".")[1] for name in heads} == {"f_conv", "a_conv"}
    assert set(golden("tiny_32x48").shapes) == plain | heads


def test_downsampling_by_flow_guided_filtering_equals_the_golden_numbers():
    case = arrays("fgdf_down")
    picture, warped, ones = flow_guided_downsampling(
        case["hr"], case["flow_mask"], case["kernel"], scale=4
    )
    for tensor, name in ((picture, "output"), (warped, "warped_hr")):
        torch.testing.assert_close(tensor, case[name], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        ones.expand_as(case["warped_ones"]), case["warped_ones"], rtol=0, atol=1e-5
    )


def test_a_warp_reads_where_the_flow_points_and_zero_outside():
    source = torch.arange(20.0).reshape(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0], flow[:, 1] = 1, 2
    expected = torch.zeros(4, 5)
    expected[:2, :4] = source[0, 0, 2:, 1:]
    torch.testing.assert_close(backward_warp(source, flow)[0, 0], expected)
    half = backward_warp(source, torch.full_like(flow, 0.5))[0, 0]
    torch.testing.assert_close(half[0, 0], source[0, 0, :2, :2].mean())


def test_filtering_follows_its_formula_pixel_by_pixel():
    generator = torch.Generator().manual_seed(4)
    scale, taps = 2, 3
    frames = torch.rand(1, 3, 2, 4, 5, generator=generator)
    kernel = torch.randn(1, scale**2 * taps**2, 2, 4, 5, generator=generator)
    still = torch.zeros(1, 3, 2, 4, 5)
    still[:, 2] = 1.5
    got = flow_guided_dynamic_filter(frames, still, kernel, scale, taps)
    masked = frames * torch.sigmoid(torch.tensor(1.5))
    for y, x, s1, s2 in [(0, 0, 0, 0), (3, 4, 1, 1), (1, 2, 1, 0), (2, 0, 0, 1)]:
        weights = kernel.reshape(2, 2, 3, 3, 2, 4, 5)[s1, s2, :, :, :, y, x]
        weights = weights - weights.mean() + 1 / weights.numel()
        total = torch.zeros(3)
        for t in range(2):
            for k1 in range(3):
                for k2 in range(3):
                    row, column = min(max(y + k1 - 1, 0), 3), min(max(x + k2 - 1, 0), 4)
                    total += weights[k1, k2, t] * masked[0, :, t, row, column]
        torch.testing.assert_close(got[0, :, 2 * y + s1, 2 * x + s2], total)


@pytest.mark.parametrize(
    "wrong", [{"num_seq": 4}, {"dim": 91}, {"scale": 2}, {"us_kernel_size": 4},
              {"ds_kernel_size": 7}, {"num_FRMA": 0}, {"LayerNorm_type": "None"}],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        FMANetConfig.from_dict(wrong)


def test_clips_and_windows_of_the_wrong_length_are_refused():
    network = FMANet(TINY)
    with pytest.raises(ShapeError, match="T = 3"):
        network(torch.rand(1, 3, 2, 8, 8))
    with pytest.raises(ShapeError, match="window of 2"):
        network.restore([network.encode(torch.rand(1, 3, 8, 8))] * 2)
