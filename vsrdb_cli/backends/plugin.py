"""The TensorRT plugin `vsrdb/FGDF/1`: the Triton kernel of `vsrdb::fgdf`, on TensorRT's stream.

Written against IPluginV3, the same in TensorRT 10.13 to 11. The engine holds the plugin's name, not
its code: whoever loads it registers the plugin first, as the TensorRT runner does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

DOMAIN, NAME, VERSION = "vsrdb", "FGDF", "1"
INPUTS = 3


class _Memory:
    """TensorRT's device memory as torch takes it, through the CUDA array interface."""

    def __init__(self, address: int, shape: Sequence[int], half: bool) -> None:
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": tuple(shape),
            "typestr": "<f2" if half else "<f4",
            "version": 3,
        }


def register_plugin(trt: Any) -> None:
    """Make the plugin known to `trt`'s registry, once a process."""
    registry = trt.get_plugin_registry()
    if registry.get_creator(NAME, VERSION, DOMAIN) is None:
        registry.register_creator(make_plugin(trt), DOMAIN)


def make_plugin(trt: Any) -> Any:
    """The plugin's creator, for the TensorRT module given (a test gives the lean runtime's)."""
    bases = (
        trt.IPluginV3,
        trt.IPluginV3OneCore,
        trt.IPluginV3OneBuild,
        trt.IPluginV3OneRuntime,
    )

    class Plugin(*bases):  # type: ignore[misc]
        def __init__(self, scale: int, ksize: int) -> None:
            for base in bases:
                base.__init__(self)
            self.plugin_name, self.plugin_version, self.plugin_namespace = NAME, VERSION, DOMAIN
            self.num_outputs = 1
            self.timing_cache_id = ""
            self.scale, self.ksize = scale, ksize
            self.fields = _Fields(trt, {"scale": scale, "ksize": ksize})

        def get_capability_interface(self, _kind: Any) -> Any:
            return self

        def clone(self) -> Any:
            return Plugin(self.scale, self.ksize)

        def get_fields_to_serialize(self) -> Any:
            return self.fields.collection

        def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
            return [input_types[2]]

        def get_output_shapes(self, inputs: Any, _shape_inputs: Any, builder: Any) -> list[Any]:
            frames = inputs[0]  # (B, T, 3, H, W)
            scale = builder.constant(self.scale)
            picture = trt.DimsExprs(4)
            picture[0], picture[1] = frames[0], frames[2]
            for axis in (2, 3):
                side = frames[axis + 1]
                picture[axis] = builder.operation(trt.DimensionOperation.PROD, side, scale)
            return [picture]

        def supports_format_combination(self, pos: int, tensors: Any, num_inputs: int) -> bool:
            assert num_inputs == INPUTS
            tensor = tensors[pos].desc
            if tensor.format != trt.TensorFormat.LINEAR:
                return False
            if pos == 0:
                return tensor.type in (trt.DataType.FLOAT, trt.DataType.HALF)
            # The flow is float32 always; kernels and picture are what the frames are.
            wanted = trt.DataType.FLOAT if pos == 1 else tensors[0].desc.type
            return bool(tensor.type == wanted)

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

        def attach_to_context(self, _context: Any) -> Any:
            return self.clone()

        def enqueue(
            self,
            input_desc: Any,
            output_desc: Any,
            inputs: Sequence[int],
            outputs: Sequence[int],
            _workspace: int,
            stream: int,
        ) -> None:
            from vsrdb_cli.network import fgdf_triton

            tensors = [
                torch.as_tensor(
                    _Memory(address, desc.dims, desc.type == trt.DataType.HALF), device="cuda"
                )
                for desc, address in zip(
                    [*input_desc, *output_desc], [*inputs, *outputs], strict=True
                )
            ]
            frames, flow_mask, kernel, out = tensors
            with torch.cuda.stream(torch.cuda.ExternalStream(stream)):  # type: ignore[no-untyped-call]
                fgdf_triton.launch(frames, flow_mask, kernel, self.scale, self.ksize, out)

    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = NAME, VERSION, DOMAIN
            self.fields = _Fields(trt, {"scale": None, "ksize": None})
            self.field_names = self.fields.collection

        def create_plugin(self, _name: str, fields: Any, _phase: Any) -> Any:
            values = {field.name: int(field.data[0]) for field in fields}
            return Plugin(values["scale"], values["ksize"])

    return Creator()


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
