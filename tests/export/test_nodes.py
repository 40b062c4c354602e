"""The functions that stand for the network's own operators in ONNX compute what these do."""

import numpy as np
import pytest
import torch
from fgdf_operands import operands, reference

from vsrdb_cli.network import ops

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper  # noqa: E402

from vsrdb_cli.export import nodes  # noqa: E402


def computed(name, tensors, numbers):
    """By ONNX Runtime, of a graph that is one node."""
    kinds = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16}
    node = helper.make_node(name, list(tensors), ["result"], domain="vsrdb", **numbers)
    values = [
        helper.make_tensor_value_info(key, kinds[tensor.dtype], list(tensor.shape))
        for key, tensor in tensors.items()
    ]
    kind = kinds[next(iter(tensors.values())).dtype]
    result = helper.make_tensor_value_info("result", kind, [None] * 4)
    model = helper.make_model(
        helper.make_graph([node], "one", values, [result]),
        functions=[nodes.body(name)],
        opset_imports=[helper.make_opsetid("", nodes.OPSET), helper.make_opsetid("vsrdb", 1)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {key: tensor.numpy() for key, tensor in tensors.items()})
    return found


@pytest.mark.parametrize("shape", [(1, 3, 17, 9, 5), (2, 5, 8, 6, 3)])
def test_the_filters_function_equals_the_reference(shape):
    ksize = shape[-1]
    tensors = dict(zip(("frames", "flow_mask", "kernel"), operands(*shape), strict=True))
    found = computed("FGDF", tensors, {"scale": 4, "ksize": ksize})
    expected = reference(*tensors.values(), ksize).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float16, 1e-3)])
@pytest.mark.parametrize("height, width", [(17, 9), (2, 2)])
def test_the_warps_function_equals_the_reference(length, dtype, tolerance, height, width):
    generator = torch.Generator().manual_seed(0)
    feature = torch.rand(6, 8, height, width, generator=generator).to(dtype)
    flow_mask = 2 * torch.randn(6, 12, height, width, generator=generator)
    found = computed("FlowWarp", {"feature": feature, "flow_mask": flow_mask}, {"length": length})
    expected = ops.side_by_side(ops.multi_flow_warp(feature.float(), flow_mask), length)
    assert found.dtype == feature.numpy().dtype
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=tolerance)
