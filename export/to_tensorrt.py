"""The exported ONNX graphs as TensorRT or TensorRT-RTX engines.

TensorRT builds on the GPU it builds for, with the plugins or, where they cannot be used, with the
functions that stand for them in the graph; TensorRT-RTX takes no plugins, and builds ahead of time
on any machine. Each graph is built in a process of its own: what these libraries cannot do often
ends the process they are in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vsrdb_cli.backends import engine_files as engines
from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.backends.engine_files import Engine, Place, Sizes
from vsrdb_cli.backends.exported_files import GRAPHS, ExportFiles, file_sha256
from vsrdb_cli.backends.graphs import CENTRE, FEATURES, PICTURE, restorer_inputs
from vsrdb_cli.backends.parity import Agreement
from vsrdb_cli.backends.plugin import DOMAIN, obstacle, register_plugins
from vsrdb_cli.backends.tensorrt_library import import_library
from vsrdb_cli.checkpoints.checkpoint import Checkpoint
from vsrdb_cli.errors import BackendError
from vsrdb_cli.export.to_onnx import OnStep
from vsrdb_cli.files import remove
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.padding import padded_dim

# What TensorRT-RTX builds for ahead of time: GeForce and RTX cards from Ampere on.
RTX_CAPABILITIES = ("SM86", "SM89", "SM120")


def export_engine(
    checkpoint: Checkpoint,
    files: ExportFiles,
    place: Place,
    sizes: Sizes,
    *,
    plugins: bool,
    on_step: OnStep,
    build: Callable[..., Engine] | None = None,
    measure: Callable[..., list[Agreement]] | None = None,
    hindered: Callable[[], str | None] = obstacle,
) -> list[Agreement]:
    """Build an engine, and keep it only if it agrees with torch.

    Args:
        plugins: use plugins. If they cannot be used, or the engine does not agree, `on_step` is
            called with the reason, and the engine is built without them.
        build: as `build_engine`.
        measure: as `measured`.
        hindered: as `plugin.obstacle`.

    Returns:
        Its agreements with torch in float32; empty without a GPU to run it on.

    Raises:
        BackendError: no engine could be built that agrees; nothing is left.
    """
    build, measure = build or build_engine, measure or measured
    plugins = plugins and place.flavour == "tensorrt"
    if plugins and (trouble := hindered()):
        on_step(f"building the engine of standard operators, without plugins: {trouble}")
        plugins = False
    while True:
        try:
            engine = build(files, checkpoint.config, place, sizes, plugins=plugins, on_step=on_step)
            return measure(engine, files, checkpoint, on_step=on_step)
        except BackendError as error:
            for path in engines.engine_paths(files, place, sizes):
                remove(path)
            if not plugins:
                raise
            on_step(f"rebuilding the engine of standard operators, without plugins: {error}")
            plugins = False


def measured(
    engine: Engine, files: ExportFiles, checkpoint: Checkpoint, *, on_step: OnStep
) -> list[Agreement]:
    """Measure an engine's agreement with torch; return nothing without a GPU to run it on.

    Raises:
        BackendError: it does not run, or does not agree.
    """
    if not ACCELERATORS.are_nvidia:
        return []
    from vsrdb_cli.backends.trt import TrtRunner

    on_step("comparing the engine with torch")
    runner = TrtRunner(engine, files, checkpoint.config, "cuda")
    return runner.proof.measure(runner, checkpoint)


def build_engine(
    files: ExportFiles,
    config: FMANetConfig,
    place: Place,
    sizes: Sizes,
    *,
    plugins: bool,
    on_step: OnStep,
) -> Engine:
    """Build both graphs for `place` and write engines and sidecar beside them.

    Args:
        plugins: use plugins for the network's own operators, instead of functions.

    Raises:
        BackendError: the library refused; nothing is left but what was there before.
    """
    sidecar = engines.sidecar_path(files, place, sizes)
    with tempfile.TemporaryDirectory(prefix=".engine-", dir=files.folder) as work:
        made = {name: Path(work) / f"{name}.engine" for name in GRAPHS}
        for name in GRAPHS:
            on_step(f"building the {name} with {place.flavour} {place.version}")
            _build_apart(
                {
                    "flavour": place.flavour,
                    "graph": str(files.graph(name)),
                    "target": str(made[name]),
                    "profile": profile(name, config, sizes),
                    "plugins": plugins,
                    "tf32": files.precision != "float32",
                }
            )
        hashes = {name: file_sha256(path) for name, path in made.items()}
        for name, path in made.items():
            path.replace(engines.engine_path(sidecar, name))
    engine = Engine(place, files.weights, files.sha256, files.precision, sizes, hashes)
    engine.save(files)
    return engine


def profile(name: str, config: FMANetConfig, sizes: Sizes) -> dict[str, list[list[int]]]:
    """Return the smallest, best and largest shape of each input of a graph, by name."""
    channels = {
        PICTURE: config.in_channels,
        CENTRE: 2 * padded_dim(config),
        FEATURES: 2 * config.num_FRMA * padded_dim(config),
    }
    inputs = [PICTURE] if name == "encoder" else restorer_inputs(config.num_seq)
    three = (sizes.smallest, sizes.best, sizes.largest)
    return {
        name: [[1, channels[name.partition("_")[0]], *size] for size in three] for name in inputs
    }


def _build_apart(job: Mapping[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vsrdb_cli.export.to_tensorrt", json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise BackendError(
            f"{job['flavour']} failed to build {Path(job['graph']).name}"
            f" (status {done.returncode}): {lines[-1] if lines else 'no output'}"
        )


def parse_network(
    trt: Any,
    logger: Any,
    job: Mapping[str, Any],
    register: Callable[[Any], None] = register_plugins,
) -> tuple[Any, Any]:
    """Parse a graph; return its builder and strongly typed network, checked layer by layer.

    Args:
        register: as `register_plugins`.

    Raises:
        ValueError: the parser refused it, took the plugin's node for something else, or reads
            GridSample differently: either would give wrong pictures without a word.
    """
    expected = own_nodes(job["graph"]) if job["plugins"] else 0
    if job["plugins"]:
        register(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(job["graph"]):
        raise ValueError("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
    plugins = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        plugins += layer.type == trt.LayerType.PLUGIN_V3
        if layer.type == trt.LayerType.GRID_SAMPLE:
            layer.__class__ = trt.IGridSampleLayer  # bindings give the base class
            found = (layer.interpolation_mode, layer.align_corners, layer.sample_mode)
            wanted = (trt.InterpolationMode.LINEAR, True, trt.SampleMode.FILL)
            if found != wanted:
                raise ValueError(f"{layer.name} samples as {found}, expected {wanted}")
    if plugins != expected:
        raise ValueError(f"{plugins} plugin layers after parsing, expected {expected}")
    return builder, network


def own_nodes(graph: str) -> int:
    """Count the nodes of an ONNX file that are the network's own operators."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    return sum(node.domain == DOMAIN for node in model.graph.node)


def _build(job: Mapping[str, Any]) -> None:
    """Build one engine, in this process."""
    trt = import_library(job["flavour"])
    logger = trt.Logger(trt.Logger.WARNING)
    builder, network = parse_network(trt, logger, job)
    config = builder.create_builder_config()
    shapes = builder.create_optimization_profile()
    for name, (smallest, best, largest) in job["profile"].items():
        shapes.set_shape(name, smallest, best, largest)
    config.add_optimization_profile(shapes)
    if job["flavour"] == "tensorrt-rtx":
        config.num_compute_capabilities = len(RTX_CAPABILITIES)
        for index, name in enumerate(RTX_CAPABILITIES):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    if not job["tf32"]:
        # 10 bits instead of 23: float32 in name only.
        config.clear_flag(trt.BuilderFlag.TF32)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise ValueError("TensorRT refused the network; see the lines above")
    Path(job["target"]).write_bytes(built)


if __name__ == "__main__":
    _build(json.loads(sys.argv[1]))
