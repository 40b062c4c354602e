"""Every form of `vsrdb::fgdf` computes what the reference computes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.ops import flow_guided_dynamic_filter

ARCHITECTURES = (80, 86, 89, 90, 100, 120)


def operands(batch: int, length: int, height: int, width: int, ksize: int) -> tuple[Tensor, ...]:
    """Frames, flow-mask and kernels; flows reach beyond the picture."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, length)
    frames = torch.rand(*shape, 3, height, width, generator=generator)
    flow_mask = torch.randn(*shape, 3, height, width, generator=generator) * 2
    kernel = torch.randn(*shape, 16 * ksize**2, height, width, generator=generator) * 0.1
    return frames, flow_mask, kernel


def reference(frames: Tensor, flow_mask: Tensor, kernel: Tensor, ksize: int) -> Tensor:
    clips = (tensor.transpose(1, 2) for tensor in (frames, flow_mask, kernel))
    return flow_guided_dynamic_filter(*clips, 4, ksize)


def test_the_formula_of_the_paper_written_out_for_one_pixel():
    frames, flow_mask, kernel = operands(1, 3, 5, 6, 3)
    flow_mask[:, :, 0:2] = 0  # so that X' is the masked frame itself
    picture = fgdf(frames, flow_mask, kernel, 4, 3)
    y, x, s1, s2 = 2, 3, 1, 2
    weights = kernel[0, :, :, y, x].reshape(3, 4, 4, 9)[:, s1, s2]
    weights = weights - weights.mean() + 1 / 27
    masked = frames * torch.sigmoid(flow_mask[:, :, 2:3])
    patch = masked[0, :, :, y - 1 : y + 2, x - 1 : x + 2].reshape(3, 3, 9)
    expected = torch.einsum("tk,tck->c", weights, patch)
    torch.testing.assert_close(picture[0, :, 4 * y + s1, 4 * x + s2], expected)


def test_the_operator_keeps_the_promises_torch_asks_of_one():
    checks = torch.library.opcheck(fgdf, (*operands(1, 3, 5, 7, 3), 4, 3))
    assert set(checks.values()) == {"SUCCESS"}


def test_half_tensors_give_a_half_picture_with_float32_sums():
    frames, flow_mask, kernel = operands(1, 3, 9, 11, 5)
    half = fgdf(frames.half(), flow_mask, kernel.half(), 4, 5)
    rounded = reference(frames.half().float(), flow_mask, kernel.half().float(), 5)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), rounded, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 17, 9, 5), (2, 5, 8, 6, 3)])
def test_the_function_in_the_onnx_file_equals_the_reference(shape):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    from vsrdb_cli.export import fgdf_node

    ksize = shape[-1]
    tensors = dict(zip(("frames", "flow_mask", "kernel"), operands(*shape), strict=True))
    node = helper.make_node(
        fgdf_node.NAME, list(tensors), ["picture"], domain="vsrdb", scale=4, ksize=ksize
    )
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.shape))
        for name, tensor in tensors.items()
    ]
    out = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [None] * 4)
    model = helper.make_model(
        helper.make_graph([node], "one", values, [out]),
        functions=[fgdf_node.body()],
        opset_imports=[helper.make_opsetid("", fgdf_node.OPSET), helper.make_opsetid("vsrdb", 1)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
    expected = reference(*tensors.values(), ksize).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


INTERPRETED = """
import sys; sys.path.insert(0, {folder!r})
import torch
from test_fgdf import operands, reference
from vsrdb_cli.network import fgdf_triton
frames, flow_mask, kernel = operands(1, 2, 2, 4, 3)
flow_mask[0, 0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
last = kernel[0].contiguous(memory_format=torch.channels_last)[None]
for layout in (kernel, last):
    out = torch.full((1, 3, 8, 16), float("nan"))
    fgdf_triton.launch(frames, flow_mask, layout, 4, 3, out)
    print((out - reference(frames, flow_mask, kernel, 3)).abs().max().item())
"""


def test_the_triton_kernel_in_the_interpreter_equals_the_reference():
    pytest.importorskip("triton")
    code = INTERPRETED.format(folder=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 2 and max(errors) <= 1e-5, errors


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_triton_kernel_compiles_without_a_gpu(architecture):
    pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from vsrdb_cli.network.fgdf_triton import WARPS, fgdf_kernel

    constants = {"SCALE": 4, "KSIZE": 5, "PIXELS": 32, "kernel_c": 1, "frames_x": 1, "flow_x": 1}
    types = {"frames": "*fp16", "kernel": "*fp16", "out": "*fp16", "flow_mask": "*fp32"}
    names = fgdf_kernel.arg_names
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in names
    }
    source = ASTSource(
        fgdf_kernel,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
    )
    built = compile(
        source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": WARPS}
    )
    assert re.search(rf"\.target sm_{architecture}a?\b", built.asm["ptx"])
    # Loops, not unrolled taps: an earlier form took 40 s to compile and 400 kB.
    assert len(built.asm["cubin"]) < 150_000
