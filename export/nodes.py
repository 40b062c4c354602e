"""Write the network's own operators in ONNX: as nodes, with functions for runtimes without them.

TensorRT's parser takes a node if its plugin is registered (`vsrdb_cli.backends.plugin`) and the
function if not; ONNX Runtime always takes the function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from vsrdb_cli.backends.plugin import DOMAIN, FGDF, FLOW_WARP, VERSION
from vsrdb_cli.network import fgdf, fused  # noqa: F401 - they register the operators with torch

OPSET = 18

# Of planes `x` (N, C, H, W) and `f` (N, 3, H, W), in float32, each sampled where the flow points
# (grid_sample with aligned corners), times its mask.
_WARP = """
  one = Constant <value_float: float = 1.0> ()
  two = Constant <value_float: float = 2.0> ()
  i0 = Constant <value_int: int = 0> ()
  i1 = Constant <value_int: int = 1> ()
  single = Constant <value_ints: ints = [1]> ()
  dx, dy, logit = Split <axis: int = 1, num_outputs: int = 3> (f)
  width_i = Squeeze (width)
  height_i = Squeeze (height)
  column_i = Range (i0, width_i, i1)
  row_i = Range (i0, height_i, i1)
  column = Cast <to: int = 1> (column_i)
  row_flat = Cast <to: int = 1> (row_i)
  row = Unsqueeze (row_flat, single)
  width_f = Cast <to: int = 1> (width)
  height_f = Cast <to: int = 1> (height)
  width_1 = Sub (width_f, one)
  height_1 = Sub (height_f, one)
  step_x = Div (two, width_1)
  step_y = Div (two, height_1)
  at_x = Add (column, dx)
  at_y = Add (row, dy)
  scaled_x = Mul (at_x, step_x)
  scaled_y = Mul (at_y, step_y)
  grid_x = Sub (scaled_x, one)
  grid_y = Sub (scaled_y, one)
  grid_cf = Concat <axis: int = 1> (grid_x, grid_y)
  grid = Transpose <perm: ints = [0, 2, 3, 1]> (grid_cf)
  unmasked = GridSample
    <align_corners: int = 1, mode: string = "bilinear", padding_mode: string = "zeros"> (x, grid)
  mask = Sigmoid (logit)
  warped = Mul (unmasked, mask)
"""

# Each group of channels follows its own flow; the frames of a window come out side by side.
_FLOW_WARP = f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
{FLOW_WARP.name} <length, plugin_namespace, plugin_version> (feature, flow_mask) => (laid)
{{
  rest = Constant <value_ints: ints = [-1]> ()
  three = Constant <value_ints: ints = [3]> ()
  l = Constant <value_int: int = @length> ()
  l1 = Reshape (l, rest)
  frames = Shape <start: int = 0, end: int = 1> (feature)
  channels = Shape <start: int = 1, end: int = 2> (feature)
  size = Shape <start: int = 2> (feature)
  height = Shape <start: int = 2, end: int = 3> (feature)
  width = Shape <start: int = 3, end: int = 4> (feature)
  flows = Shape <start: int = 1, end: int = 2> (flow_mask)
  groups = Div (flows, three)
  of_group = Div (channels, groups)
  planes_shape = Concat <axis: int = 0> (rest, of_group, size)
  triples_shape = Concat <axis: int = 0> (rest, three, size)
  x32 = Cast <to: int = 1> (feature)
  x = Reshape (x32, planes_shape)
  f32 = Cast <to: int = 1> (flow_mask)
  f = Reshape (f32, triples_shape)
{_WARP}
  windows = Div (frames, l1)
  of_window = Mul (channels, l1)
  laid_shape = Concat <axis: int = 0> (windows, of_window, size)
  laid32 = Reshape (warped, laid_shape)
  laid = CastLike (laid32, feature)
}}
"""

# Warp and mask (grid_sample with aligned corners), pad, unfold (a convolution with one-hot
# weights), then sum K X' over frames and taps, a colour at a time so that only one product as
# large as the kernels is alive; last (1 - sum K) / N * sum X', as in the reference.
_FGDF = f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
{FGDF.name} <scale, ksize, plugin_namespace, plugin_version>
(frames, flow_mask, kernel) => (picture)
{{
  rest = Constant <value_ints: ints = [-1]> ()
  colours = Constant <value_ints: ints = [3]> ()
  corner = Constant <value_ints: ints = [0, 0]> ()
  s = Constant <value_int: int = @scale> ()
  k = Constant <value_int: int = @ksize> ()

  windows = Shape <start: int = 0, end: int = 2> (frames)
  length = Shape <start: int = 1, end: int = 2> (frames)
  size = Shape <start: int = 3> (frames)
  height = Shape <start: int = 3, end: int = 4> (frames)
  width = Shape <start: int = 4, end: int = 5> (frames)
  k1 = Reshape (k, rest)
  taps = Mul (k1, k1)
  s1 = Reshape (s, rest)
  subpixels = Mul (s1, s1)

  picture_shape = Concat <axis: int = 0> (rest, colours, size)
  x32 = Cast <to: int = 1> (frames)
  x = Reshape (x32, picture_shape)
  f32 = Cast <to: int = 1> (flow_mask)
  f = Reshape (f32, picture_shape)
{_WARP}

  plane_shape = Concat <axis: int = 0> (rest, single, size)
  planes = Reshape (warped, plane_shape)
  i2 = Constant <value_int: int = 2> ()
  half_i = Div (k, i2)
  half = Reshape (half_i, rest)
  pads = Concat <axis: int = 0> (corner, half, half, corner, half, half)
  padded = Pad <mode: string = "edge"> (planes, pads)
  square = Concat <axis: int = 0> (taps, taps)
  blank = ConstantOfShape (square)
  identity = EyeLike <dtype: int = 1> (blank)
  one_hot_shape = Concat <axis: int = 0> (taps, single, k1, k1)
  one_hot = Reshape (identity, one_hot_shape)
  unfolded = Conv (padded, one_hot)
  patches_shape = Concat <axis: int = 0> (windows, colours, taps, size)
  patches = Reshape (unfolded, patches_shape)
  red, green, blue = Split <axis: int = 2, num_outputs: int = 3> (patches)

  weights_shape = Concat <axis: int = 0> (windows, subpixels, taps, size)
  k32 = Cast <to: int = 1> (kernel)
  weights = Reshape (k32, weights_shape)
  over = Constant <value_ints: ints = [1, 3]> ()
  weight_sum = ReduceSum <keepdims: int = 0> (weights, over)
  missing = Sub (one, weight_sum)
  count_i = Mul (length, taps)
  count = Cast <to: int = 1> (count_i)
  share = Div (missing, count)

  red_product = Mul (weights, red)
  green_product = Mul (weights, green)
  blue_product = Mul (weights, blue)
  red_filtered = ReduceSum <keepdims: int = 0> (red_product, over)
  green_filtered = ReduceSum <keepdims: int = 0> (green_product, over)
  blue_filtered = ReduceSum <keepdims: int = 0> (blue_product, over)
  red_sum = ReduceSum <keepdims: int = 0> (red, over)
  green_sum = ReduceSum <keepdims: int = 0> (green, over)
  blue_sum = ReduceSum <keepdims: int = 0> (blue, over)
  red_rest = Mul (share, red_sum)
  green_rest = Mul (share, green_sum)
  blue_rest = Mul (share, blue_sum)
  red_whole = Add (red_filtered, red_rest)
  green_whole = Add (green_filtered, green_rest)
  blue_whole = Add (blue_filtered, blue_rest)
  whole = Concat <axis: int = 1> (red_whole, green_whole, blue_whole)
  shuffled = DepthToSpace <blocksize: int = @scale, mode: string = "CRD"> (whole)
  picture = CastLike (shuffled, kernel)
}}
"""


BODIES = {FGDF.name: _FGDF, FLOW_WARP.name: _FLOW_WARP}


def body(name: str) -> Any:
    """Return the function that stands for a node: an onnx.FunctionProto of standard operators."""
    import onnx.parser

    return onnx.parser.parse_function(BODIES[name])


def translations() -> dict[Any, Callable[..., Any]]:
    """Return how torch's exporter writes each operator: as one node that names its plugin."""
    flow_warp = _node(FLOW_WARP.name, ("feature", "flow_mask"), FLOW_WARP.fields)
    filtered = _node(FGDF.name, ("frames", "flow_mask", "kernel"), FGDF.fields)

    def write_flow_warp(feature: Any, flow_mask: Any, length: int) -> Any:
        return flow_warp(feature, flow_mask, length=length)

    def write_fgdf(frames: Any, flow_mask: Any, kernel: Any, scale: int, ksize: int) -> Any:
        return filtered(frames, flow_mask, kernel, scale=scale, ksize=ksize)

    return {
        torch.ops.vsrdb.multi_flow_warp.default: write_flow_warp,
        torch.ops.vsrdb.fgdf.default: write_fgdf,
    }


def _node(name: str, inputs: tuple[str, ...], numbers: tuple[str, ...]) -> Callable[..., Any]:
    """Return what writes a node that names its plugin; its input "flow_mask" is always float32."""
    import onnx
    import onnxscript

    parameter, attribute = onnx.defs.OpSchema.FormalParameter, onnx.defs.OpSchema.Attribute
    plugin = {"plugin_namespace": DOMAIN, "plugin_version": VERSION}
    kinds = onnx.defs.OpSchema.AttrType
    schema = onnx.defs.OpSchema(
        name,
        DOMAIN,
        int(VERSION),
        inputs=[parameter(one, "F" if one == "flow_mask" else "T") for one in inputs],
        outputs=[parameter("result", "T")],
        type_constraints=[
            ("T", ["tensor(float)", "tensor(float16)"], "precision"),
            ("F", ["tensor(float)"], "flow is float32"),
        ],
        attributes=[
            *(attribute(one, kinds.INT) for one in numbers),
            *(attribute(one, kinds.STRING) for one in plugin),
        ],
    )
    opset = onnxscript.values.Opset(DOMAIN, int(VERSION))
    node = onnxscript.values.Op(opset, name, op_schema=schema)
    return partial(node, **plugin)
