"""`vsrdb::fgdf` in ONNX: a node of its own and, for runtimes without that, a function as its body.

TensorRT's parser takes the node if the plugin `vsrdb/FGDF/1` is registered and the function if
not; ONNX Runtime always takes the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vsrdb_cli.backends.plugin import DOMAIN, NAME, VERSION

OPSET = 18

# Warp and mask (grid_sample with aligned corners), pad, unfold (a convolution with one-hot
# weights), then sum K X' over frames and taps, a colour at a time so that only one product as
# large as the kernels is alive; last (1 - sum K) / N * sum X', as in the reference.
_BODY = f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
{NAME} <scale, ksize, plugin_namespace, plugin_version> (frames, flow_mask, kernel) => (picture)
{{
  one = Constant <value_float: float = 1.0> ()
  two = Constant <value_float: float = 2.0> ()
  i0 = Constant <value_int: int = 0> ()
  i1 = Constant <value_int: int = 1> ()
  single = Constant <value_ints: ints = [1]> ()
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


def body() -> Any:
    """The function that stands for the node, an onnx.FunctionProto of standard operators."""
    import onnx.parser

    return onnx.parser.parse_function(_BODY)


def translation() -> Callable[..., Any]:
    """How torch's exporter writes `vsrdb::fgdf`: as one node, with what names the plugin."""
    import onnx
    import onnxscript

    parameter = onnx.defs.OpSchema.FormalParameter
    schema = onnx.defs.OpSchema(
        NAME,
        DOMAIN,
        int(VERSION),
        inputs=[parameter("frames", "T"), parameter("flow_mask", "F"), parameter("kernel", "T")],
        outputs=[parameter("picture", "T")],
        type_constraints=[
            ("T", ["tensor(float)", "tensor(float16)"], "precision"),
            ("F", ["tensor(float)"], "flow is float32"),
        ],
        attributes=[
            onnx.defs.OpSchema.Attribute("scale", onnx.defs.OpSchema.AttrType.INT),
            onnx.defs.OpSchema.Attribute("ksize", onnx.defs.OpSchema.AttrType.INT),
            onnx.defs.OpSchema.Attribute("plugin_namespace", onnx.defs.OpSchema.AttrType.STRING),
            onnx.defs.OpSchema.Attribute("plugin_version", onnx.defs.OpSchema.AttrType.STRING),
        ],
    )
    node = onnxscript.values.Op(
        onnxscript.values.Opset(DOMAIN, int(VERSION)), NAME, op_schema=schema
    )

    def fgdf(frames: Any, flow_mask: Any, kernel: Any, scale: int, ksize: int) -> Any:
        return node(
            frames,
            flow_mask,
            kernel,
            scale=scale,
            ksize=ksize,
            plugin_namespace=DOMAIN,
            plugin_version=VERSION,
        )

    return fgdf
