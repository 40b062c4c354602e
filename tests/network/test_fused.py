"""What a GPU does in one kernel equals the operators everything else does it with."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from drawn_networks import network_of, restored
from fused_operands import BUNDLED, PAPER, errors
from golden_numbers import golden
from operators import counted, joined
from torch.utils._pytree import tree_leaves, tree_map_only
from triton_kernels import SHARED_BYTES, interpreted, launches_compiled

from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network import fused, ops
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded

INTERPRETED = """
import json
import torch
from fused_operands import {widths}, errors
from triton_kernels import multiply_bfloat16
multiply_bfloat16()
from vsrdb_cli.network import fused
fused.SPAN = 128
from vsrdb_cli.network import fused_triton
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
    "dtype, tolerance", [("float32", 1e-5), ("float16", 1e-3), ("bfloat16", 1.5e-2)]
)
def test_the_kernels_in_the_interpreter_equal_the_operators(widths, sizes, dtype, tolerance):
    code = INTERPRETED.format(widths=widths, sizes=sizes, dtype=dtype)
    for found in json.loads(interpreted(code)):
        assert len(found) == 20
        assert max(found.values()) < tolerance, found


WHOLE = """
import json
import torch
from drawn_networks import network_of
from golden_numbers import golden
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.network import fused
from vsrdb_cli.network.padding import padded

fused.SPAN = 64  # the interpreter computes whole spans, however few pixels there are
frames = torch.rand(3, 1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
tiny = network_of(golden("tiny_32x48").config)
bundled = build_network(load_checkpoint("fmanet-xs"))
off = []
with torch.inference_mode():
    fused_steps = fused.in_one_kernel
    # A kernel's first result is compared with the reference's; the second run trusts it.
    for network, multiplies, runs in ((tiny, True, 2), (tiny, False, 1), (bundled, True, 1)):
        fused.in_one_kernel = fused_steps
        expected = network.restore([network.encode(one) for one in frames])
        fused.in_one_kernel = lambda operand: True
        fused.multiplies = lambda operand: multiplies
        wide = padded(network).prepare()
        for _ in range(runs):
            restored = wide.restore([wide.encode(one) for one in frames])
        off.append((restored - expected).abs().max().item())
print(json.dumps({
    "off": max(off),
    "works": [sorted(set(kernel.works.values())) for kernel in fused.KERNELS],
}))
"""


@pytest.mark.slow
def test_a_window_restored_the_way_of_a_gpu_is_the_one_restored_on_a_cpu():
    said = json.loads(interpreted(WHOLE))
    assert said["works"] == [[True]] * 8
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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("architecture", [75, 80, 90, 120])
@pytest.mark.parametrize("widths", [PAPER, BUNDLED], ids=["paper", "fmanet-xs"])
def test_the_kernels_compile_without_a_gpu(monkeypatch, widths, architecture, dtype):
    pytest.importorskip("triton")
    from vsrdb_cli.network import fused_triton

    multiplies = architecture >= 80 and dtype != "float32"  # see `fused.multiplies`
    if not multiplies:
        for name in ("pointwise", "gated"):
            monkeypatch.setattr(fused_triton, name, lambda *operands: None)
    with launches_compiled(architecture) as kernels:
        errors(fused_triton, getattr(torch, dtype), height=5, width=7, widths=widths)
    assert len(kernels) == (15 if multiplies else 9)
    for kernel in kernels:
        assert re.search(rf"\.target sm_{architecture}a?\b", kernel.asm["ptx"])
        assert kernel.metadata.shared <= SHARED_BYTES[architecture]
        assert len(kernel.asm["cubin"]) < 500_000


@pytest.mark.parametrize(
    "dtype, capability, expected",
    [
        (torch.float16, (7, 5), False),
        (torch.float16, (8, 0), True),
        (torch.bfloat16, (9, 0), True),
        (torch.float32, (9, 0), False),
    ],
)
def test_triton_multiplies_on_tensor_cores_only(monkeypatch, dtype, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    operand = SimpleNamespace(device=torch.device("cuda"), dtype=dtype)
    assert fused.multiplies(operand) is expected


@pytest.mark.parametrize(
    "network, operators, gigabytes", [("paper", 600, 18.6), ("fmanet-xs", 262, 3.7)]
)
@pytest.mark.cases
def test_what_a_gpu_launches_and_moves_for_a_restored_frame_stays_within(
    network, operators, gigabytes
):
    config = FMANetConfig() if network == "paper" else load_checkpoint(network).config
    with torch.device("meta"), torch.no_grad():
        wide = padded(FMANet(config)).half().prepare()
        picture = torch.empty(1, 3, 180, 320)
        window = joined([wide.encode(picture)] * 3)
        wide.restore_joined(window)  # what is made of weights alone is made once
        found = counted(lambda: (wide.encode(picture), wide.restore_joined(window)))
    assert found.count <= operators
    assert found.gigabytes <= gigabytes


def test_results_on_a_gpu_have_the_shape_and_layout_of_the_operators():
    feature, flow_mask = torch.rand(6, 16, 5, 8), torch.rand(6, 16, 5, 8)
    hidden, q = torch.rand(2, 14, 5, 8), torch.rand(2, 12, 5, 8)
    taps, bias, half = torch.rand(14, 1, 3, 3), torch.rand(14), torch.float16
    k_v, then, values = torch.rand(2, 24, 5, 8), torch.rand(2, 30, 5, 8), torch.rand(2, 12, 5, 8)
    following = [torch.rand(12), torch.rand(12), torch.rand(30, 12, 1, 1), None]
    products, projection = torch.rand(2, 3, 6, 4), torch.rand(3, 4, 10)
    operators = torch.ops.vsrdb
    pairs = [
        (operators.multi_flow_warp, (feature, flow_mask, (4, 3), 3), fused.warp_reference),
        (
            operators.flows_and_warped,
            (feature, flow_mask, (4, 3)),
            lambda *operands: fused.flows_reference(*operands, 1),
        ),
        (operators.sum_up, ([hidden, hidden], bias, True), ops.sum_up),
        (
            operators.pointwise,
            ([hidden, q], torch.rand(9, 26, 1, 1), None, None, [], 0.0),
            lambda *operands: [ops.pointwise(*operands[:4])],
        ),
        (
            operators.gated,
            (hidden, taps, bias, torch.rand(12, 7, 1, 1), None, q, following, 1e-5),
            lambda *operands: [fused.gated_reference(*operands, then), then],
        ),
        (
            operators.attention_products,
            (q, k_v, taps[:12], torch.rand(24, 1, 3, 3), None, None, 2),
            lambda *operands: (values, fused.products_reference(*operands, values)),
        ),
        (
            operators.channel_mixing,
            (products, torch.rand(3, 1, 1), torch.rand(4), projection, half),
            lambda *operands: ops.channel_mixing(*operands[:4]).to(half),
        ),
    ]
    for operator, operands, reference in pairs:
        expected = tree_leaves(reference(*operands))
        there = tree_map_only(torch.Tensor, lambda one: one.to("meta"), operands)
        for found, wanted in zip(tree_leaves(operator(*there)), expected, strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            if found.dim() == 4 and operator is not operators.channel_mixing:
                assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("multiplies", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.cases
def test_where_no_kernel_compiles_a_window_is_restored_the_way_of_a_gpu_too(
    monkeypatch, bias, multiplies
):
    monkeypatch.setattr(fused, "multiplies", lambda operand: multiplies)
    for kernel in fused.KERNELS:
        monkeypatch.setattr(kernel, "works", {})
        monkeypatch.setattr(kernel, "troubles", {})
    network = network_of(replace(golden("tiny_32x48").config, bias=bias))
    generator = torch.Generator().manual_seed(0)
    frames = [torch.rand(2, 3, 8, 12, generator=generator) for _ in range(3)]
    with torch.inference_mode(), pytest.warns(RuntimeWarning, match="is slower without its kernel"):
        expected = restored(network, frames)
        monkeypatch.setattr(fused, "in_one_kernel", lambda operand: True)
        wide = padded(network).prepare()
        found = restored(wide, frames)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
