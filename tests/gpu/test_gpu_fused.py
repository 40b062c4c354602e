"""The fused steps on a GPU are what the operators give, at every size and precision."""

import warnings

import pytest
import torch
from fused_operands import BUNDLED, PAPER, SMALL, errors

from vsrdb_cli.backends import load_runner
from vsrdb_cli.network import fused

pytestmark = pytest.mark.gpu

KERNELS = fused._warp, fused._depthwise_kernel, fused._sum_kernel, fused._products, fused._mixing


@pytest.mark.parametrize("widths", [SMALL, PAPER, BUNDLED])
@pytest.mark.parametrize("height, width", [(180, 320), (67, 131), (1, 5), (5, 1)])
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 1e-5), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)]
)
def test_the_kernels_equal_the_operators(cuda, widths, height, width, dtype, tolerance):
    from vsrdb_cli.network import fused_triton

    found = errors(fused_triton, dtype, device=cuda, height=height, width=width, widths=widths)
    assert max(found.values()) < tolerance, found


def test_a_restored_window_went_through_all_of_them(cuda):
    for kernel in KERNELS:
        kernel.works.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # that one is wrong or does not compile
        runner = load_runner("fmanet-xs", device=cuda, precision="float16")
        window = [runner.encode(torch.rand(1, 3, 48, 64)) for _ in range(3)]
        runner.restore(window)
    for kernel in KERNELS:
        assert list(kernel.works.values()) == [True]
