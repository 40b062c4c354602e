"""The fused steps on a GPU are what the operators give, at every size and precision."""

import warnings

import pytest
import torch
from fused_operands import BUNDLED, LAST, PAPER, SMALL, errors

from vsrdb_cli.backends import load_runner
from vsrdb_cli.network import fused, ops

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("widths", [SMALL, PAPER, BUNDLED])
@pytest.mark.parametrize("height, width", [(180, 320), (67, 131), (1, 5), (5, 1)])
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 1e-5), (torch.float16, 1e-3), (torch.bfloat16, 1.5e-2)]
)
def test_the_kernels_equal_the_operators(cuda, widths, height, width, dtype, tolerance):
    from vsrdb_cli.network import fused_triton

    found = errors(fused_triton, dtype, device=cuda, height=height, width=width, widths=widths)
    assert max(found.values()) < tolerance, found


def drawn(device, channels, height, width, frames=1):
    """More than 2^31 numbers in float16, channels last."""
    shape = (frames, height, width, channels)
    assert frames * height * width * channels > 2**31
    return torch.empty(shape, dtype=torch.float16, device=device).normal_().permute(0, 3, 1, 2)


def test_beyond_2_to_the_31_numbers_a_warp_is_right_to_the_last_row(cuda):
    from vsrdb_cli.network import fused_triton

    height, width, rows = 2900, 2800, 64
    feature, groups = drawn(cuda, 96, height, width, frames=3), (9, 10)
    flow_mask = torch.empty(3, 32, height, width, device=cuda).normal_()
    out = feature.new_empty((1, 288, height, width)).contiguous(memory_format=LAST)
    fused_triton.multi_flow_warp(feature, flow_mask, groups, 3, out)
    bottom = [one[:, :, -rows:] for one in (feature, flow_mask)]
    expected = ops.side_by_side(ops.multi_flow_warp(bottom[0].float(), bottom[1], groups), 3)
    # The upper half of these rows looks beyond the strip that the reference was given.
    found, wanted = out[:, :, -rows // 2 :].float(), expected[:, :, -rows // 2 :]
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=2e-3)


def test_a_gated_convolution_of_over_2_to_the_31_numbers_is_right(cuda):
    from vsrdb_cli.network import fused_triton

    hidden = drawn(cuda, 480, 2200, 2100)
    taps = torch.empty(480, 1, 3, 3, dtype=torch.float16, device=cuda).normal_() / 3
    weight = torch.empty(96, 240, 1, 1, dtype=torch.float16, device=cuda).normal_() / 15
    out = hidden.new_empty((1, 96, 2200, 2100)).contiguous(memory_format=LAST)
    fused_triton.gated(hidden, taps, None, weight, None, None, [], 0.0, None, out)
    operands = hidden[:, :, -5:].float(), taps.float(), None, weight.float(), None
    wanted = fused.gated_reference(*operands, None, [], 0.0, None)[:, :, -4:]
    torch.testing.assert_close(out[:, :, -4:].float(), wanted, rtol=2e-3, atol=2e-3)


def test_a_convolution_1x1_of_over_2_to_the_31_numbers_is_right(cuda):
    from vsrdb_cli.network import fused_triton

    parts = [drawn(cuda, channels, 4800, 4700) for channels in (96, 96)]
    weight = torch.empty(24, 192, 1, 1, dtype=torch.float16, device=cuda).normal_() / 14
    out = parts[0].new_empty((1, 24, 4800, 4700)).contiguous(memory_format=LAST)
    fused_triton.pointwise(parts, weight, None, None, [], 0.0, None, out)
    rows = [part[:, :, -4:].float() for part in parts]
    wanted = ops.pointwise(rows, weight.float(), None, None)
    torch.testing.assert_close(out[:, :, -4:].float(), wanted, rtol=2e-3, atol=2e-3)


def test_beyond_2_to_the_31_numbers_a_sum_is_right_to_the_last_row(cuda):
    from vsrdb_cli.network import fused_triton

    part = drawn(cuda, 96, 4800, 4700)
    out = torch.empty_like(part)
    fused_triton.sum_up([part, part], None, True, out)
    wanted = ops.sum_up([part[:, :, -4:].float()] * 2, None, True)
    torch.testing.assert_close(out[:, :, -4:].float(), wanted, rtol=2e-3, atol=2e-3)


def test_beyond_2_to_the_31_numbers_products_are_of_all_pixels(cuda):
    from vsrdb_cli.network import fused_triton

    k_v = drawn(cuda, 180, 3700, 3600)
    q = k_v[:, :90].contiguous(memory_format=LAST)  # so that the products are far from 0
    # Each tap in the middle, so that strips need no rows around them.
    taps = torch.zeros(180, 1, 3, 3, dtype=torch.float16, device=cuda)
    taps[:, :, 1, 1] = 1
    values, parts = fused.values_and_parts(q, 6)
    fused_triton.attention_products(q, k_v, taps[:90], taps, None, None, 6, values, parts)
    strips = zip(q.split(500, dim=2), k_v[:, :90].split(500, dim=2), strict=True)
    wanted = sum(ops.channel_products(*strip, 6).double() for strip in strips)
    found = parts.sum(dim=1, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.max()))
    assert torch.equal(values, k_v[:, 90:])


def test_a_restored_window_went_through_all_of_them(cuda):
    for kernel in fused.KERNELS:
        kernel.works.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # that one is wrong or does not compile
        runner = load_runner("fmanet-xs", device=cuda, precision="float16")
        window = [runner.encode(torch.rand(1, 3, 48, 64)) for _ in range(3)]
        runner.restore(window)
    for kernel in fused.KERNELS:
        # The gate has a kernel of its own where Triton does not multiply.
        if kernel is not fused.gate_kernel:
            assert set(kernel.works.values()) == {True}
