"""What a GPU does in one kernel equals the operators everything else does it with."""

import json
import re

import pytest
import torch
from triton_kernels import ARCHITECTURES, DTYPES, compiled, interpreted

from vsrdb_cli.network import fused, ops
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

INTERPRETED = """
import json
import torch
from fused_operands import PAPER, XS, errors
from vsrdb_cli.network import fused_triton
fused_triton.SPAN = 128
print(json.dumps([
    errors(fused_triton, dtype, **shape)
    for shape in ({}, dict(height=3, width=7, **PAPER), dict(height=3, width=7, **XS))
    for dtype in (torch.float32, torch.float16)]))
"""


@pytest.mark.slow
def test_the_kernels_in_the_interpreter_equal_the_operators():
    found = json.loads(interpreted(INTERPRETED))
    for single, half in zip(found[::2], found[1::2], strict=True):
        assert len(single) == len(half) == 4
        assert max(single.values()) < 1e-5, single
        assert max(half.values()) < 1e-3, half


NOT_FINITE = """
import json
import torch
from vsrdb_cli.network import fgdf_triton, fused_triton, ops
frames = torch.rand(1, 3, 4, 5)
frames[..., 0, 0] = torch.inf  # what places outside must not read
flow_mask = torch.zeros(1, 3, 4, 5)
flow_mask[:, 0, 2, 3] = {flow}
kernel = torch.rand(1, 1, 16, 4, 5)
warped, filtered = torch.empty_like(frames), torch.empty(1, 3, 16, 20)
fused_triton.multi_flow_warp(frames, flow_mask, 1, warped)
fgdf_triton.launch(frames[None], flow_mask[None], kernel, 4, 1, filtered)
reference = ops.multi_flow_warp(frames, flow_mask), ops.flow_guided_dynamic_filter(
    frames[:, :, None], flow_mask[:, :, None], kernel.transpose(1, 2), 4, 1)
print(json.dumps([(~found.isfinite()).nonzero().tolist() == (~wanted.isfinite()).nonzero().tolist()
    and torch.allclose(found, wanted, atol=1e-6, equal_nan=True)
    for found, wanted in zip((warped, filtered), reference)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["1e30", "torch.nan", "torch.inf"])
def test_a_place_outside_reads_0_whatever_the_picture_holds_and_no_place_gives_no_number(flow):
    assert json.loads(interpreted(NOT_FINITE.format(flow=flow))) == [True, True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "kernel, types, constants",
    [
        (
            "warp_kernel",
            {"feature": "*{}", "flow_mask": "*fp32", "out": "*{}"},
            {"GROUPS": 9, "OF_GROUP": 10, "CHANNELS": 16, "PIXELS": 32, "out_c": 1},
        ),
        ("gate_kernel", {"hidden": "*{}", "out": "*{}"}, {"NUMBERS": 1024}),
        (
            "products_kernel",
            {"q": "*{}", "k": "*{}", "out": "*fp32"},
            {"OF_HEAD": 15, "CHANNELS": 16, "BLOCK": 64, "SPAN": 2048},
        ),
    ],
)
def test_the_kernels_compile_without_a_gpu(kernel, types, constants, architecture, dtype):
    pytest.importorskip("triton")
    from vsrdb_cli.network import fused_triton

    function = getattr(fused_triton, kernel)
    types = {name: kind.format(dtype) for name, kind in types.items()}
    built = compiled(function, types, constants, architecture, fused_triton.WARPS)
    assert re.search(rf"\.target sm_{architecture}a?\b", built["ptx"])
    assert len(built["cubin"]) < 150_000


def test_a_gpu_restores_a_window_in_at_most_900_operators_and_25_gb():
    from operators import counted

    with torch.device("meta"):
        network = FMANet(FMANetConfig()).half().prepare()
        window = [network.encode(torch.empty(1, 3, 180, 320)) for _ in range(3)]
        network.restore(window)  # what is made of weights alone is made once
        found = counted(lambda: network.restore(window))
    assert found.count <= 900
    assert found.gigabytes <= 25


def test_results_on_a_gpu_have_the_shape_and_layout_of_the_operators():
    feature, flow_mask = torch.rand(6, 12, 5, 8), torch.rand(6, 12, 5, 8)
    hidden, q = torch.rand(2, 14, 5, 8), torch.rand(2, 12, 5, 8)
    pairs = [
        (fused._multi_flow_warp, (feature, flow_mask, 3), fused._warp_reference),
        (fused._gelu_gate, (hidden,), ops.gelu_gate),
        (fused._channel_products, (q, q, 2), ops.channel_products),
    ]
    for operator, operands, reference in pairs:
        expected = reference(*operands)
        on_meta = [one.to("meta") if isinstance(one, torch.Tensor) else one for one in operands]
        found = operator(*on_meta)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.dim() == 4
        if operator is not fused._channel_products:
            assert found.is_contiguous(memory_format=torch.channels_last)
