"""The runner for GPUs that WebGPU reaches: exported graphs on ONNX Runtime's WebGPU plugin.

The plugin computes something else than it should of some graphs, without an error. So graphs are
compared with torch before their first use with a GPU, its driver and a version of the plugin.
"""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from vsrdb_cli.backends.exported_files import ExportFiles, default_folder
from vsrdb_cli.backends.ort import OrtRunner, first_line, session_options
from vsrdb_cli.backends.proof import remembered_agreement, require_agreement
from vsrdb_cli.backends.rebuild import load_or_rebuild
from vsrdb_cli.backends.webgpu import FATAL, WEBGPU_KIND, Adapter, driver, hush, missing, no_adapter
from vsrdb_cli.errors import BackendError

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

# The picture to compare: (height, width), neither a round number.
COMPARED = (17, 23)

_ERROR = 3  # of the severities of ONNX Runtime's messages
_LOST = re.compile(r"device\W+(is |was )?lost|lost device", re.IGNORECASE)

_SQUARE = """
<ir_version: 9, opset_import: ["": 18]>
square (float16[n] x) => (float16[n] y) { y = Mul (x, x) }
"""

# The GPU of this process, by its name, while a runner uses it.
_in_use: weakref.WeakValueDictionary[str, WebGpuRunner] = weakref.WeakValueDictionary()


def load_webgpu(
    checkpoint: Checkpoint, adapter: Adapter, precision: str, on_notice: Callable[[str], None]
) -> WebGpuRunner:
    """Load a checkpoint for a GPU, after exporting and comparing it if that was not done before.

    Args:
        precision: "auto" is float16 where the GPU computes in it and agrees with torch, or else
            float32.
        on_notice: called with one line for graphs that were exported.

    Raises:
        BackendError: the GPU cannot be used, does not compute in that precision, or computes
            something else than torch.
    """
    if precision == "bfloat16":
        raise BackendError(
            f"'{adapter.name}' does not compute in bfloat16",
            hint="use --precision auto, float32 or float16",
        )
    if precision == "float32" or not computes_float16(adapter):
        if precision == "float16":
            raise BackendError(
                f"'{adapter.name}' ({adapter.hardware}) does not compute in float16",
                hint="use --precision auto or float32",
            )
        return _load(checkpoint, adapter, "float32", on_notice)
    try:
        return _load(checkpoint, adapter, "float16", on_notice)
    except BackendError:
        if precision == "float16":
            raise
    return _load(checkpoint, adapter, "float32", on_notice)


def _load(
    checkpoint: Checkpoint, adapter: Adapter, precision: str, on_notice: Callable[[str], None]
) -> WebGpuRunner:
    files = ExportFiles.of(checkpoint, default_folder(), precision)
    runner = load_or_rebuild(partial(WebGpuRunner, files, adapter), files, on_notice)
    known = driver()
    facts = (adapter.hardware, adapter.versions, str(known), runner.proof.where, checkpoint.sha256)
    remembered = remembered_agreement(*facts, precision, *runner.proof.files) if known else None
    try:
        require_agreement(runner, checkpoint, remembered, sizes=[COMPARED], refusals=True)
    except MemoryError as error:
        raise _failed(adapter, error) from error
    return runner


class WebGpuRunner(OrtRunner):
    """A runner for the two exported graphs of a checkpoint, on a GPU by WebGPU.

    Args:
        files: the graphs, written by `vsrdb export`.

    Raises:
        StaleExportError: the files are damaged, or of another version or checkpoint.
        BackendError: the GPU cannot be used, or computes none of the graphs' nodes.
    """

    def __init__(self, files: ExportFiles, adapter: Adapter) -> None:
        others = [name for name in _in_use if name != adapter.name]
        if others:
            raise BackendError(
                f"this process computes on '{others[0]}' already, and WebGPU has one GPU a process",
                hint=f"--devices {others[0]},{adapter.name} begins a process for each",
            )
        self._adapter = adapter
        super().__init__(files, WEBGPU_KIND.name)
        nodes = count_nodes(self._encoder) + count_nodes(self._restorer)
        on_cpu = nodes.total() - nodes[adapter.device.ep_name]
        if on_cpu == nodes.total():
            raise BackendError(
                f"'{adapter.name}' ({adapter.hardware}) computes none of the {on_cpu} nodes of the"
                " network's graphs",
                hint="use --device cpu, and report this",
            )
        self.info = replace(
            self.info,
            device=adapter.name,
            hardware=adapter.hardware,
            nodes=f"{nodes.total() - on_cpu} on the GPU, {on_cpu} on the CPU",
        )
        _in_use[adapter.name] = self

    def _session(self, model: bytes) -> Any:
        return open_session(model, self._adapter)

    def _run(
        self, session: Any, inputs: dict[str, Any], outputs: list[str], *, to_cpu: bool = False
    ) -> list[Any]:
        with _device_errors() as errors:
            results = super()._run(session, inputs, outputs, to_cpu=to_cpu)
        if errors:
            raise self._failure(RuntimeError(errors[0]))
        return results

    def _failure(self, error: Exception) -> Exception:
        """Return what to raise for an error of a run.

        It is taken for too little memory, of which the plugin says different things: pictures that
        were compared did not fail.
        """
        if _LOST.search(str(error)):
            return _failed(self._adapter, error)
        return MemoryError(str(error))


@contextmanager
def _device_errors() -> Iterator[list[str]]:
    """Collect the errors that the plugin only logs, and after which it may compute nonsense.

    Meanwhile no other message of ONNX Runtime's errors is printed.
    """
    import onnxruntime

    errors: list[str] = []

    def on_message(*said: Any) -> None:  # severity, category, logger, place, message
        if "WebGPU device" in said[-1]:
            errors.append(said[-1])

    onnxruntime.set_default_logger_callback(on_message, _ERROR)
    try:
        yield errors
    finally:
        onnxruntime.set_default_logger_callback(None)
        hush(onnxruntime)


def _failed(adapter: Adapter, error: Exception) -> BackendError:
    return BackendError(
        f"'{adapter.name}' ({adapter.hardware}) failed: {first_line(error)}",
        hint="update the GPU's driver, or use --device cpu",
    )


def open_session(model: bytes, adapter: Adapter) -> Any:
    """Create a session for a GPU.

    Raises:
        BackendError: the driver offers no such GPU.
    """
    import onnxruntime

    options = session_options()
    options.log_severity_level = FATAL  # what goes wrong is raised
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_provider_for_devices([adapter.device], {"powerPreference": adapter.power})
    try:
        return onnxruntime.InferenceSession(model, options)
    except Exception as error:
        if "Failed to get a WebGPU" in str(error):
            raise no_adapter() from error
        raise


def count_nodes(session: Any) -> Counter[str]:
    """Count the nodes of a session's graph by the execution provider that computes them."""
    nodes: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    return nodes


def computes_float16(adapter: Adapter) -> bool:
    """Return whether a GPU computes in float16, by trying.

    Raises:
        BackendError: the GPU cannot be used.
    """
    import numpy as np

    try:
        import onnx.parser
    except ImportError as error:
        raise missing("onnx") from error
    model = onnx.parser.parse_model(_SQUARE)
    session = open_session(model.SerializeToString(), adapter)
    try:
        (found,) = session.run(None, {"x": np.full(4, 1.5, np.float16)})
    except Exception:
        return False
    return bool((found == np.float16(2.25)).all())
