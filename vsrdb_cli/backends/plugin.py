"""The network's own operators as TensorRT plugins: their Triton kernels, on TensorRT's stream.

Written against IPluginV3, the same in TensorRT 10.13 to 11. The engine holds a plugin's name, not
its code: whoever loads it registers the plugins first, as the TensorRT runner does. Where a kernel
does not compile, PyTorch's operators take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DOMAIN, VERSION = "vsrdb", "1"


@dataclass(frozen=True)
class Operator:
    """One of the network's operators."""

    name: str
    """Name of its node."""
    fields: tuple[str, ...]
    """Names of its numbers."""
    inputs: int
    """Number of inputs; the second, a flow, is float32, the others have the output's dtype."""
    shape: Callable[..., Sequence[Any]]
    """Computes the output's sides from `Sides`, the first input's sides, and the numbers."""
    compute: Callable[..., Tensor]
    """Takes the inputs, the numbers and `out`; returns the result, `out` or another tensor."""

    def fill(self, tensors: Sequence[Tensor], numbers: Sequence[int]) -> None:
        """Fill the last of the tensors from the others."""
        *inputs, out = tensors
        found = self.compute(*inputs, *numbers, out=out)
        if found is not out:
            out.copy_(found)


class Sides:
    """Multiplies and divides sides whose values TensorRT does not know yet."""

    def __init__(self, trt: Any, builder: Any) -> None:
        self._operations, self._builder = trt.DimensionOperation, builder

    def times(self, side: Any, number: int) -> Any:
        """Return `side` times `number`."""
        return self._builder.operation(self._operations.PROD, side, self._builder.constant(number))

    def over(self, side: Any, number: int) -> Any:
        """Return `side` divided by `number`, rounded down."""
        return self._builder.operation(
            self._operations.FLOOR_DIV, side, self._builder.constant(number)
        )


def _fgdf_shape(sides: Sides, frames: Any, scale: int, _ksize: int) -> Sequence[Any]:
    """Turn (B, T, C, H, W) into (B, C, s H, s W)."""
    return [frames[0], frames[2], sides.times(frames[3], scale), sides.times(frames[4], scale)]


def _fgdf(*operands: Any, out: Tensor) -> Tensor:
    from vsrdb_cli.network.fgdf import triton_kernel

    return triton_kernel(*operands, out=out)


def _flow_warp_shape(
    sides: Sides, feature: Any, _groups: int, _size: int, length: int
) -> Sequence[Any]:
    """Turn (B*T, C, H, W) into (B, T*C, H, W)."""
    windows, channels = sides.over(feature[0], length), sides.times(feature[1], length)
    return [windows, channels, feature[2], feature[3]]


def _flow_warp(
    feature: Tensor, flow_mask: Tensor, groups: int, size: int, length: int, *, out: Tensor
) -> Tensor:
    from vsrdb_cli.network.fused import warp_kernel

    return warp_kernel(feature, flow_mask, (groups, size), length, out=out)


FGDF = Operator("FGDF", ("scale", "ksize"), 3, _fgdf_shape, _fgdf)
FLOW_WARP = Operator("FlowWarp", ("groups", "size", "length"), 2, _flow_warp_shape, _flow_warp)
OPERATORS = (FGDF, FLOW_WARP)


def obstacle(device: str = "cuda") -> str | None:
    """Run the plugins' kernels on a GPU; return why one cannot be used, in a line, or None."""
    from vsrdb_cli.network.fgdf import triton_kernel
    from vsrdb_cli.network.fused import warp_kernel

    for dtype in (torch.float16, torch.float32):
        frames, kernel = (torch.rand(1, 3, n, 8, 8, device=device, dtype=dtype) for n in (3, 144))
        flow_mask = torch.rand(1, 3, 3, 8, 8, device=device)
        picture = frames.new_empty(1, 3, 32, 32)
        FGDF.fill([frames, flow_mask, kernel, picture], [4, 3])
        warped = frames.new_empty(1, 9, 8, 8)
        FLOW_WARP.fill([frames[0], flow_mask[0], warped], [1, 3, 3])
    said = (triton_kernel.troubles, warp_kernel.troubles)
    return next((line for troubles in said for line in troubles.values()), None)


class _Memory:
    """TensorRT's device memory as torch takes it, through the CUDA array interface."""

    def __init__(self, address: int, shape: Sequence[int], half: bool) -> None:
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": tuple(shape),
            "typestr": "<f2" if half else "<f4",
            "version": 3,
        }


def register_plugins(trt: Any) -> None:
    """Register the plugins with `trt`, once in a process."""
    registry = trt.get_plugin_registry()
    for operator in OPERATORS:
        if registry.get_creator(operator.name, VERSION, DOMAIN) is None:
            registry.register_creator(make_plugin(trt, operator), DOMAIN)


def make_plugin(trt: Any, operator: Operator) -> Any:
    """Create a plugin's creator for a TensorRT module, such as the lean runtime."""
    plugin = _plugin_class(trt, operator)

    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version = operator.name, VERSION
            self.plugin_namespace = DOMAIN
            self.fields = _Fields(trt, dict.fromkeys(operator.fields))
            self.field_names = self.fields.collection

        def create_plugin(self, _name: str, fields: Any, _phase: Any) -> Any:
            values = {field.name: int(field.data[0]) for field in fields}
            return plugin([values[field] for field in operator.fields])

    return Creator()


def _plugin_class(trt: Any, operator: Operator) -> Callable[[Sequence[int]], Any]:
    """Create the class of an operator's plugins; an object is created of the operator's numbers."""
    bases = (
        trt.IPluginV3,
        trt.IPluginV3OneCore,
        trt.IPluginV3OneBuild,
        trt.IPluginV3OneRuntime,
    )

    class Plugin(_Stateless, *bases):  # type: ignore[misc]
        def __init__(self, numbers: Sequence[int]) -> None:
            for base in bases:
                base.__init__(self)
            self.plugin_name, self.plugin_version = operator.name, VERSION
            self.plugin_namespace = DOMAIN
            self.num_outputs = 1
            self.timing_cache_id = ""
            self.numbers = tuple(numbers)
            self.fields = _Fields(trt, dict(zip(operator.fields, self.numbers, strict=True)))

        def clone(self) -> Any:
            return Plugin(self.numbers)

        def attach_to_context(self, _context: Any) -> Any:
            return self.clone()

        def get_fields_to_serialize(self) -> Any:
            return self.fields.collection

        def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
            return [input_types[0]]

        def get_output_shapes(self, inputs: Any, _shape_inputs: Any, builder: Any) -> list[Any]:
            sides = operator.shape(Sides(trt, builder), inputs[0], *self.numbers)
            output = trt.DimsExprs(len(sides))
            for axis, side in enumerate(sides):
                output[axis] = side
            return [output]

        def supports_format_combination(self, pos: int, tensors: Any, num_inputs: int) -> bool:
            assert num_inputs == operator.inputs
            tensor = tensors[pos].desc
            if tensor.format != trt.TensorFormat.LINEAR:
                return False
            if pos == 0:
                return tensor.type in (trt.DataType.FLOAT, trt.DataType.HALF)
            wanted = trt.DataType.FLOAT if pos == 1 else tensors[0].desc.type
            return bool(tensor.type == wanted)

        def enqueue(
            self,
            input_desc: Any,
            output_desc: Any,
            inputs: Sequence[int],
            outputs: Sequence[int],
            _workspace: int,
            stream: int,
        ) -> None:
            tensors = [
                torch.as_tensor(
                    _Memory(address, desc.dims, desc.type == trt.DataType.HALF), device="cuda"
                )
                for desc, address in zip(
                    [*input_desc, *output_desc], [*inputs, *outputs], strict=True
                )
            ]
            with torch.cuda.stream(torch.cuda.ExternalStream(stream)):  # type: ignore[no-untyped-call]
                operator.fill(tensors, self.numbers)

    return Plugin


class _Stateless:
    """Answers for a plugin that keeps nothing between calls and has one way to compute."""

    def get_capability_interface(self, _kind: Any) -> Any:
        return self

    def configure_plugin(self, _inputs: Any, _outputs: Any) -> None:
        pass

    def on_shape_change(self, _inputs: Any, _outputs: Any) -> None:
        pass

    def get_valid_tactics(self) -> list[int]:
        return []

    def set_tactic(self, _tactic: int) -> None:
        pass

    def get_workspace_size(self, _inputs: Any, _outputs: Any) -> int:
        return 0


class _Fields:
    """A plugin's fields, whole numbers, and the arrays they point into: TensorRT keeps no copy."""

    def __init__(self, trt: Any, values: Mapping[str, int | None]) -> None:
        import numpy as np

        self._arrays = [
            np.array([] if value is None else [value], dtype=np.int32) for value in values.values()
        ]
        self.collection = trt.PluginFieldCollection(
            [
                trt.PluginField(name, array, trt.PluginFieldType.INT32)
                for name, array in zip(values, self._arrays, strict=True)
            ]
        )
