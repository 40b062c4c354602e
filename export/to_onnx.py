"""A checkpoint as two ONNX graphs, kept only if ONNX Runtime computes what torch does with them."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsrdb_cli.backends import graphs, parity, plugin
from vsrdb_cli.backends.exported_files import ExportFiles
from vsrdb_cli.checkpoints.checkpoint import Checkpoint, build_network
from vsrdb_cli.errors import BackendError, OutputError
from vsrdb_cli.export import nodes, steps
from vsrdb_cli.network.padding import padded, padded_dim

# The parsers of TensorRT before 10.15 or so, and ONNX Runtime's GridSample, know opset 18 well;
# from 20 on "bilinear" is spelled "linear", which several TensorRT versions take for nearest.
OPSET = nodes.OPSET

OnStep = Callable[[str], None]


def export_onnx(
    checkpoint: Checkpoint,
    folder: Path,
    precision: graphs.Precision,
    *,
    on_step: OnStep,
    tracing: Callable[..., Any] | None = None,
) -> list[parity.Agreement]:
    """Write encoder and restorer as ONNX files, tested against torch.

    Args:
        checkpoint: proven weights.
        folder: where the files go; made if missing. Files of the same names are replaced.
        precision: of features and most arithmetic; norms, softmax, flows and the pictures going in
            and out are float32 in any case.
        on_step: called before each long step with what is being done.
        tracing: as `trace`.

    Returns:
        How far ONNX Runtime on the CPU is from torch in float32, at each of `parity.SIZES`.

    Raises:
        BackendError: a package is missing, or the graphs compute something else; nothing is left.
        OutputError: `folder` cannot be written to.
    """
    require_packages()
    from vsrdb_cli.backends.ort import OrtRunner

    info = graphs.GraphInfo(checkpoint.name, checkpoint.sha256, checkpoint.config, precision)
    files = ExportFiles.of(checkpoint, folder, precision)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the place they end in, so that renaming moves no bytes.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as work:
            made = ExportFiles.of(checkpoint, Path(work), precision)
            network = padded(build_network(checkpoint)).to(getattr(torch, precision))
            for name in ("encoder", "restorer"):
                on_step(f"tracing the {name}")
                _write((tracing or trace)(name, network, checkpoint), name, info, made.graph(name))
            on_step("comparing with torch")
            made.save_sidecar()
            runner = OrtRunner(made, "cpu")
            agreements = runner.proof.measure(runner, checkpoint)
            for source, target in zip(made.graphs, files.graphs, strict=True):
                source.replace(target)
            made.sidecar.replace(files.sidecar)  # last: it vouches for the others
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from error
    finally:
        if is_new and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()  # nothing came of it
    return agreements


def require_packages() -> None:
    """Raise BackendError, naming the extra to install, unless exporting is possible."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise BackendError(
                f"export needs the package '{package}', which is not installed",
                hint="pip install 'vsrdb[export]'",
            )


def trace(name: str, network: Any, checkpoint: Checkpoint) -> Any:
    """Trace one of the two graphs: an onnx.ModelProto with the FGDF function attached."""
    config = checkpoint.config
    # Any size will do to trace with; unequal, so that height and width are not taken for one, and
    # every input a tensor of its own, so that no two frames are.
    size = (24, 20)

    def picture() -> Tensor:
        return torch.zeros(1, config.in_channels, *size)

    def features(levels: int) -> Tensor:
        return torch.zeros(1, levels * padded_dim(config), *size, dtype=network.dtype)

    if name == "encoder":
        return _onnx(steps.EncodeStep(network), (picture(),), [graphs.PICTURE], graphs.ENCODED)
    frames = [(picture(), features(2 * config.num_FRMA)) for _ in range(config.num_seq)]
    inputs = (features(2), *(tensor for frame in frames for tensor in frame))
    names = graphs.restorer_inputs(config.num_seq)
    return _onnx(steps.RestoreStep(network), inputs, names, [graphs.RESTORED])


def _onnx(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]
) -> Any:
    # One pixel has no aligned corners; from 2 on every size takes the same path.
    size = {
        2: torch.export.Dim("height", min=2, max=2**15),
        3: torch.export.Dim("width", min=2, max=2**15),
    }
    shapes = (size,) if len(inputs) == 1 else (size, (size,) * (len(inputs) - 1))
    with torch.no_grad(), _quiet(), _uncollected():
        program = torch.onnx.export(
            torch.export.export(module, inputs, dynamic_shapes=shapes),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=outputs,
            custom_translation_table=nodes.translations(),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _write(model: Any, name: str, info: graphs.GraphInfo, path: Path) -> None:
    """Complete, check and save a traced graph."""
    import onnx
    from onnx import helper

    own = {node.op_type for node in model.graph.node if node.domain == plugin.DOMAIN}
    if own:
        # Only now, so that the exporter's optimiser cannot dissolve the nodes into them.
        model.functions.extend(nodes.body(kind) for kind in sorted(own))
        if all(opset.domain != plugin.DOMAIN for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid(plugin.DOMAIN, int(plugin.VERSION)))
    del model.metadata_props[:]
    helper.set_model_props(model, {**info.to_metadata(), "graph": name})
    for node in model.graph.node:  # where in the source a node came from: half of the file
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, os.fspath(path))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold back the garbage collector, which looks for cycles in millions of new objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's notes on optional packages and its own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
