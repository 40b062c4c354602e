"""The ONNX Runtime runner: an exported checkpoint on the CPU or, with its CUDA build, a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vsrdb_cli.backends import graphs
from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.backends.exported_files import StaleExportError
from vsrdb_cli.backends.proof import Proof
from vsrdb_cli.backends.runner import Memory, RunnerInfo
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.memory import feature_bytes, kernel_count
from vsrdb_cli.network.padding import padded_dim

if TYPE_CHECKING:
    from vsrdb_cli.backends.exported_files import ExportFiles
    from vsrdb_cli.network.config import FMANetConfig

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# Its exceptions have nothing in common but their module; others are of devices and memory.
_REFUSALS = {
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoModel",
    "NotImplemented",
}


@dataclass(frozen=True)
class OrtFeatures:
    """The features of one frame, as OrtValues on the session's device."""

    picture: Any
    centre: Any
    features: Any


class OrtRunner:
    """A runner for the two exported graphs of a checkpoint, on ONNX Runtime.

    Args:
        files: the graphs, written by `vsrdb export`.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        StaleExportError: the files are damaged, or of another version or checkpoint.
        BackendError: ONNX Runtime has no such device.
    """

    def __init__(self, files: ExportFiles, device: str) -> None:
        import onnxruntime

        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)

        self._files = files
        models = files.read_graphs()
        sessions = {}
        for name, model in models.items():
            try:
                session = sessions[name] = self._session(model)
                said = session.get_modelmeta().custom_metadata_map
                graph = graphs.GraphInfo.from_metadata(said)
                _require_names(session, *graphs.names_of(name, graph.config.num_seq))
            except Exception as error:
                if not isinstance(error, ValueError) and not _is_refusal(error):
                    raise
                raise StaleExportError(
                    f"{files.graph(name)} is not a graph that vsrdb wrote: {first_line(error)}",
                    files.words("onnx"),
                ) from error
            if (graph.sha256, graph.precision) != (files.sha256, files.precision):
                raise StaleExportError(
                    f"{files.graph(name)} was made from {graph.weights} ({graph.sha256[:12]}) in"
                    f" {graph.precision}, not from {files.weights} ({files.sha256[:12]}) in"
                    f" {files.precision}",
                    files.words("onnx"),
                )
        self._encoder, self._restorer = sessions["encoder"], sessions["restorer"]
        self._config = graph.config
        self._bytes = sum(map(len, models.values()))
        self.proof = Proof(
            "what ONNX Runtime computes",
            {name: hashlib.sha256(model).hexdigest() for name, model in models.items()},
            f"onnxruntime {onnxruntime.__version__} {self._kind}",
            files.words("onnx"),
        )
        where = self._kind if self._kind == "cpu" else f"{self._kind}:{self._index}"
        self.info = RunnerInfo(files.weights, files.sha256, "onnxruntime", where, files.precision)

    @property
    def length(self) -> int:
        return self._config.num_seq

    @property
    def scale(self) -> int:
        return self._config.scale

    def takes(self, height: int, width: int) -> bool:  # noqa: ARG002
        return True

    def encode(self, picture: Tensor) -> OrtFeatures:
        import onnxruntime

        held = onnxruntime.OrtValue.ortvalue_from_numpy(
            picture.contiguous().numpy(), self._kind, self._index
        )
        centre, features = self._run(self._encoder, {graphs.PICTURE: held}, graphs.ENCODED)
        return OrtFeatures(held, centre, features)

    def restore(self, window: Sequence[OrtFeatures]) -> Tensor:
        inputs = {graphs.CENTRE: window[len(window) // 2].centre}
        for t, frame in enumerate(window):
            inputs[f"{graphs.PICTURE}_{t}"] = frame.picture
            inputs[f"{graphs.FEATURES}_{t}"] = frame.features
        (restored,) = self._run(self._restorer, inputs, [graphs.RESTORED], to_cpu=True)
        return torch.from_numpy(restored.numpy())

    def restore_on_device(self, window: Sequence[OrtFeatures]) -> Tensor:
        return self.restore(window)

    def memory(self, height: int, width: int) -> Memory:
        size = 4 if self.info.precision == "float32" else 2
        return estimate_memory(self._config, size, self._bytes, height, width)

    def _run(
        self, session: Any, inputs: dict[str, Any], outputs: list[str], *, to_cpu: bool = False
    ) -> list[Any]:
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name, *(("cpu",) if to_cpu else (self._kind, self._index)))
        try:
            session.run_with_iobinding(binding)
        except Exception as error:
            if failure := self._failure(error):
                raise failure from error
            raise
        return list(binding.get_outputs())

    def _failure(self, error: Exception) -> Exception | None:
        """Return what to raise for an error of a run; None for the error itself."""
        if "allocate memory" in str(error) or "bad allocation" in str(error):
            return MemoryError(str(error))
        if _is_refusal(error):
            return StaleExportError(
                f"the two graphs of {self._files.stem} do not match: {first_line(error)}",
                self._files.words("onnx"),
            )
        return None

    def _session(self, model: bytes) -> Any:
        import onnxruntime

        provider, settings = provider_of(self._kind, self._index)
        session = onnxruntime.InferenceSession(
            model, session_options(), providers=[(provider, settings)]
        )
        # What is available may still fail to start, and then quietly becomes the CPU.
        if session.get_providers()[0] != provider:
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} cannot use the GPU here:"
                f" it runs on {session.get_providers()[0]}",
                hint="its CUDA and cuDNN must match; or use --device cpu, or --backend torch",
            )
        return session


def session_options() -> Any:
    """Create the options of a session on any device."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Two sessions take turns, beside decoding and encoding: no thread may wait by spinning.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def provider_of(kind: str, index: int) -> tuple[str, dict[str, str]]:
    """Return the execution provider of a device, and its settings.

    Float32 means float32: by default the CUDA one rounds to TF32's 10 bits.
    """
    settings = {"device_id": str(index), "use_tf32": "0"} if kind == "cuda" else {}
    return PROVIDERS[kind], settings


def available(kind: str) -> bool:
    """Return whether ONNX Runtime offers "cpu" or "cuda", and torch finds the GPU."""
    try:
        import onnxruntime
    except ImportError:
        return False
    if kind == "cuda" and not ACCELERATORS.are_nvidia:
        return False
    return PROVIDERS[kind] in onnxruntime.get_available_providers()


def require_onnxruntime(device: str) -> None:
    """Raise BackendError, naming what to install, unless ONNX Runtime runs on `device`."""
    if not available("cpu"):
        raise BackendError(
            "--backend onnxruntime needs ONNX Runtime, which is not installed",
            hint="pip install 'vsrdb[export]', or 'vsrdb[gpu]' on a machine with a GPU",
        )
    kind, _, index = device.partition(":")
    if kind not in PROVIDERS or not (index or "0").isdecimal():
        raise BackendError(
            f"unknown device '{device}'", hint="use --device auto, cpu, cuda or cuda:0"
        )
    if not available(kind):
        raise BackendError(
            f"ONNX Runtime finds no GPU for '{device}'",
            hint="use --device cpu; with an NVIDIA GPU: pip uninstall onnxruntime"
            " && pip install 'vsrdb[gpu]'",
        )


def _require_names(session: Any, inputs: list[str], outputs: list[str]) -> None:
    found = [[value.name for value in values]
             for values in (session.get_inputs(), session.get_outputs())]  # fmt: skip
    if found != [inputs, outputs]:
        raise ValueError("its inputs and outputs are those of another graph")


def _is_refusal(error: Exception) -> bool:
    """Return whether an error of ONNX Runtime blames the graph."""
    kind = type(error)
    return kind.__module__.startswith("onnxruntime") and kind.__name__ in _REFUSALS


def first_line(error: Exception) -> str:
    """Return the first line of an error, at most 200 characters."""
    return str(error).strip().partition("\n")[0][:200]


def estimate_memory(
    config: FMANetConfig, size: int, weights: int, height: int, width: int
) -> Memory:
    """Estimate the bytes of the tensors alive at the widest step, for `size` bytes a number.

    ONNX Runtime keeps what it once allocated, and holds the restorer's kernels several times over:
    as convolved, in the filter's layout, and multiplied. Five times fits what was measured: 24.8 kB
    a pixel for fmanet-xs at 160x90, 27.5 kB estimated.
    """
    held = feature_bytes(config, size)
    upsampling = 2 * config.scale**2 * padded_dim(config) * size
    work = config.num_seq * held + max(5 * kernel_count(config) * 4, upsampling)
    pixels = height * width
    return Memory(weights=2 * weights, features=pixels * held, work=pixels * work)
