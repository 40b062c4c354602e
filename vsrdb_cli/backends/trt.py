"""The TensorRT and TensorRT-RTX runner: engines built by `vsrdb export`, on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.backends.engine_files import Engine, engine_path, sidecar_path
from vsrdb_cli.backends.exported_files import GRAPHS, ExportFiles, StaleExportError, read_proven
from vsrdb_cli.backends.graphs import CENTRE, ENCODED, FEATURES, PICTURE, RESTORED
from vsrdb_cli.backends.plugin import register_plugins
from vsrdb_cli.backends.proof import Proof
from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.backends.tensorrt_library import import_library, require_gpu
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.memory import feature_bytes


@dataclass(frozen=True)
class TrtFeatures:
    """The features of one frame, on the GPU."""

    picture: Tensor
    centre: Tensor
    features: Tensor


class TrtRunner:
    """A runner for an engine, which takes pictures of the sizes it was built for.

    Args:
        engine: a sidecar already found to fit this place.
        files: what it was built of; it lies beside them.
        config: of the checkpoint.
        device: "cuda" or "cuda:N".

    Raises:
        StaleExportError: the engine has changed since, or TensorRT does not take it.
        BackendError: there is no GPU, or not enough memory on it.
    """

    def __init__(
        self, engine: Engine, files: ExportFiles, config: FMANetConfig, device: str
    ) -> None:
        require_gpu(engine.place.flavour)
        self._device = torch.device(device)
        self._engine, self._files, self._config = engine, files, config
        trt = import_library(engine.place.flavour)
        if engine.place.flavour == "tensorrt":
            register_plugins(trt)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(self._device):
            self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
            self._graphs = {name: self._deserialised(name) for name in GRAPHS}
            self._contexts = {
                name: context_of(graph, f"{engine.place.flavour} {name}")
                for name, graph in self._graphs.items()
            }
        dtypes = {trt.float32: torch.float32, trt.float16: torch.float16}
        self._dtypes = {
            output: dtypes[graph.get_tensor_dtype(output)]
            for graph in self._graphs.values()
            for output in _outputs(trt, graph)
        }
        self.info = RunnerInfo(
            engine.weights, engine.sha256, engine.place.flavour, str(device), engine.precision
        )

    @property
    def length(self) -> int:
        return self._config.num_seq

    @property
    def scale(self) -> int:
        return self._config.scale

    def takes(self, height: int, width: int) -> bool:
        """Return whether the engine was built for pictures of this size."""
        return self._engine.sizes.cover(height, width)

    def encode(self, picture: Tensor) -> TrtFeatures:
        self._require_size(*picture.shape[2:])
        held = picture.to(self._device, torch.float32).contiguous()
        outputs = self._run("encoder", {PICTURE: held})
        return TrtFeatures(held, *(outputs[name] for name in ENCODED))

    def restore(self, window: Sequence[TrtFeatures]) -> Tensor:
        return self.restore_on_device(window).cpu()

    def restore_on_device(self, window: Sequence[TrtFeatures]) -> Tensor:
        inputs = {CENTRE: window[len(window) // 2].centre}
        for t, frame in enumerate(window):
            inputs[f"{PICTURE}_{t}"] = frame.picture
            inputs[f"{FEATURES}_{t}"] = frame.features
        return self._run("restorer", inputs)[RESTORED]

    def memory(self, height: int, width: int) -> Memory:
        # A context is allocated once, for the largest picture of the profile.
        held = feature_bytes(self._config, 4 if self._engine.precision == "float32" else 2)
        contexts = sum(graph.device_memory_size_v2 for graph in self._graphs.values())
        output = 2 * 4 * 3 * self.scale**2
        return Memory(
            weights=contexts, features=height * width * held, work=height * width * output
        )

    def _run(self, name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        context = self._contexts[name]
        for key, tensor in inputs.items():
            context.set_input_shape(key, tuple(tensor.shape))
            context.set_tensor_address(key, tensor.data_ptr())
        # A stream of its own: on the default one TensorRT waits for the device at every call. What
        # goes in is made before it begins and, since the caller's stream waits, not freed before
        # it ends; likewise what comes out.
        callers = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(callers)
        with torch.cuda.stream(self._stream):
            outputs = {}
            for key in ENCODED if name == "encoder" else [RESTORED]:
                shape = tuple(context.get_tensor_shape(key))
                outputs[key] = torch.empty(shape, dtype=self._dtypes[key], device=self._device)
                context.set_tensor_address(key, outputs[key].data_ptr())
            done = context.execute_async_v3(self._stream.cuda_stream)
        callers.wait_stream(self._stream)
        if not done:
            raise BackendError(
                f"{self._engine.place.flavour} failed to run the {name}",
                hint="see the lines above for the reason; or use --backend torch",
            )
        return outputs

    @property
    def proof(self) -> Proof:
        """The proof to require, on small pictures: the difference does not grow with them."""
        place, low, high = (
            self._engine.place,
            self._engine.sizes.smallest,
            self._engine.sizes.largest,
        )
        sizes = {(min(low[0] + n, high[0]), min(low[1] + 2 * n, high[1])) for n in (0, 5, 13)}
        return Proof(
            f"the {place.flavour} engine",
            self._engine.engine_sha256,
            str(place),
            self._words,
            sorted(sizes),
        )

    @property
    def _words(self) -> tuple[str, ...]:
        return self._files.words(self._engine.place.flavour, *self._engine.sizes.options)

    def _deserialised(self, name: str) -> Any:
        place, sizes = self._engine.place, self._engine.sizes
        path = engine_path(sidecar_path(self._files, place, sizes), name)
        data = read_proven(path, self._engine.engine_sha256[name], self._words)
        graph = self._runtime.deserialize_cuda_engine(data)
        if graph is None:
            raise StaleExportError(f"{place.flavour} cannot load {path}", self._words)
        return graph

    def _require_size(self, height: int, width: int) -> None:
        sizes = self._engine.sizes
        if not self.takes(height, width):
            raise BackendError(
                f"this engine handles pictures of {sizes} pixels, not {width}x{height}",
                hint=f"work in tiles (--tile {min(sizes.largest)}), or build one for this size: "
                + self._files.command(self._engine.place.flavour, "--size", f"{width}x{height}"),
            )


def context_of(graph: Any, what: str) -> Any:
    """Create the context that an engine runs in.

    Raises:
        BackendError: there is no room for one; TensorRT then returns None.
    """
    context = graph.create_execution_context()
    if context is None:
        raise BackendError(
            f"there is not enough GPU memory for the {what}",
            hint="close other programs that use the GPU, or use --backend torch",
        )
    return context


def _outputs(trt: Any, graph: Any) -> list[str]:
    names = [graph.get_tensor_name(index) for index in range(graph.num_io_tensors)]
    return [name for name in names if graph.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
