"""What a GPU does in one kernel equals the operators everything else does it with."""

import json
import re

import pytest
import torch
from operators import counted
from torch.utils._pytree import tree_map_only
from triton_kernels import ARCHITECTURES, DTYPES, compiled, interpreted

from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network import ops
from vsrdb_cli.network.blocks import ResidualDenseBlock
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded

INTERPRETED = """
import json
import torch
from fused_operands import {widths}, errors
from vsrdb_cli.network import fused_triton
fused_triton.SPAN = 128
print(json.dumps([
    errors(fused_triton, torch.{dtype}, height=height, width=width, widths={widths})
    for height, width in {sizes}
]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "widths, sizes",
    [("SMALL", [(5, 37), (4, 1), (1, 5)]), ("PAPER", [(3, 19)]), ("BUNDLED", [(3, 19)])],
)
@pytest.mark.parametrize(
    "dtype, tolerance", [("float32", 1e-5), ("float16", 1e-3), ("bfloat16", 8e-3)]
)
def test_the_kernels_in_the_interpreter_equal_the_operators(widths, sizes, dtype, tolerance):
    code = INTERPRETED.format(widths=widths, sizes=sizes, dtype=dtype)
    for found in json.loads(interpreted(code)):
        assert len(found) == 9
        if dtype == "bfloat16":
            del found["products"]  # the interpreter has no dot of it
        assert max(found.values()) < tolerance, found


WHOLE = """
import json
import torch
from drawn_networks import network_of
from golden_numbers import golden
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network import fused
from vsrdb_cli.network.padding import padded

frames = torch.rand(3, 1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
networks = [network_of(golden("tiny_32x48").config), build_network(load_checkpoint("fmanet-xs"))]
with torch.inference_mode():
    expected = [network.restore([network.encode(one) for one in frames]) for network in networks]
    fused.in_one_kernel = lambda operand: True
    found = []
    for network in networks:
        wide = padded(network).prepare()
        for _ in range(2):  # a kernel's first result is compared with the reference's
            restored = wide.restore([wide.encode(one) for one in frames])
        found.append(restored)
print(json.dumps({
    "off": max((one - other).abs().max().item() for one, other in zip(found, expected)),
    "works": [sorted(set(kernel.works.values())) for kernel in fused.KERNELS],
}))
"""


@pytest.mark.slow
def test_a_window_restored_the_way_of_a_gpu_is_the_one_restored_on_a_cpu():
    said = json.loads(interpreted(WHOLE))
    assert said["works"] == [[True]] * 5
    assert said["off"] < 1e-5


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
fused_triton.multi_flow_warp(frames, flow_mask, (1, 3), 1, warped)
fgdf_triton.launch(frames[None], flow_mask[None], kernel, 4, 1, filtered)
reference = ops.multi_flow_warp(frames, flow_mask, (1, 3)), ops.flow_guided_dynamic_filter(
    frames[:, :, None], flow_mask[:, :, None], kernel.transpose(1, 2), 4, 1)
print(json.dumps([(~found.isfinite()).nonzero().tolist() == (~wanted.isfinite()).nonzero().tolist()
    and torch.allclose(found, wanted, atol=1e-6, equal_nan=True)
    for found, wanted in zip((warped, filtered), reference)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["1e30", "torch.nan", "torch.inf"])
def test_flows_out_of_the_picture_read_0_and_undefined_flows_give_nan(flow):
    assert json.loads(interpreted(NOT_FINITE.format(flow=flow))) == [True, True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "kernel, types, constants",
    [
        (
            "warp_kernel",
            {"feature": "*{}", "flow_mask": "*fp32", "out": "*{}"},
            {"GROUPS": 9, "OF_GROUP": 10, "WIDTH": 96, "CHANNELS": 16, "PIXELS": 32, "out_c": 1},
        ),
        (
            "depthwise_kernel",
            dict.fromkeys(("x", "weight", "bias", "out"), "*{}"),
            {"BIASED": True, "GATED": True, "CHANNELS": 64, "PIXELS": 16},
        ),
        (
            "sum_kernel",
            dict.fromkeys(("a", "b", "c", "d", "bias", "out", "copy"), "*{}"),
            {"COUNT": 4, "BIASED": True, "LEAKY": True, "COPIED": True, "NUMBERS": 1024}
            | {"CHANNELS": 24},
        ),
        (
            "products_kernel",
            {"q": "*{}", "k": "*{}", "out": "*fp32"},
            {"OF_HEAD": 16, "CHANNELS": 16, "BLOCK": 64, "SPAN": 512},
        ),
        (
            "mixing_kernel",
            {"out": "*{}"}
            | dict.fromkeys(("products", "temperature", "absent", "projection"), "*fp32"),
            {"OF_HEAD": 6, "CHANNELS": 16, "OUTPUTS": 32},
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


@pytest.mark.parametrize(
    "network, operators, gigabytes", [("paper", 970, 31), ("fmanet-xs", 360, 4.5)]
)
def test_what_a_gpu_launches_and_moves_for_a_restored_frame_stays_within(
    network, operators, gigabytes
):
    config = FMANetConfig() if network == "paper" else load_checkpoint(network).config
    with torch.device("meta"), torch.no_grad():
        wide = padded(FMANet(config)).half().prepare()
        picture = torch.empty(1, 3, 180, 320)
        window = [wide.encode(picture)] * 3
        wide.restore(window)  # what is made of weights alone is made once
        found = counted(lambda: (wide.encode(picture), wide.restore(window)))
    assert found.count <= operators
    assert found.gigabytes <= gigabytes


def test_results_on_a_gpu_have_the_shape_and_layout_of_the_operators():
    feature, flow_mask = torch.rand(6, 16, 5, 8), torch.rand(6, 16, 5, 8)
    hidden, q = torch.rand(2, 14, 5, 8), torch.rand(2, 12, 5, 8)
    taps, bias, half = torch.rand(14, 1, 3, 3), torch.rand(14), torch.float16
    products, projection = torch.rand(2, 3, 6, 4), torch.rand(3, 4, 10)
    operators = torch.ops.vsrdb
    pairs = [
        (
            operators.multi_flow_warp,
            (feature, flow_mask, (4, 3), 3),
            lambda *operands: ops.side_by_side(ops.multi_flow_warp(*operands[:3]), 3),
        ),
        (operators.depthwise, (hidden, taps, None, False), ops.depthwise),
        (operators.depthwise, (hidden, taps, bias, True), ops.depthwise),
        (operators.sum_up, ([hidden, hidden], bias, True, None), ops.sum_up),
        (operators.channel_products, (q, q, 2), ops.channel_products),
        (
            operators.channel_mixing,
            (products, torch.rand(3, 1, 1), torch.rand(4), projection, half),
            lambda *operands: ops.channel_mixing(*operands[:4]).to(half),
        ),
    ]
    for operator, operands, reference in pairs:
        expected = reference(*operands)
        found = operator(*tree_map_only(torch.Tensor, lambda one: one.to("meta"), operands))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if expected.ndim == 4 and operator is not operators.channel_products:
            assert found.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_block_in_place_is_the_block(bias):
    torch.manual_seed(0)
    block = ResidualDenseBlock(FMANetConfig(dim=6, growth_rate=4, num_dense_layer=5, num_flow=2,
                                            num_heads=2, bias=bias))  # fmt: skip
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(block.in_place(x), block(x))
