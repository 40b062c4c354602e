"""What can be known of the TensorRT half without a GPU: plugin, parser, build, sidecars."""

import dataclasses
import json
import os
import warnings
from types import SimpleNamespace

import pytest
import torch
from made_up_gpus import made_up

from vsrdb_cli.backends import engine_files as engines
from vsrdb_cli.backends import fitting_engine, load_runner
from vsrdb_cli.backends.devices import ACCELERATORS
from vsrdb_cli.backends.engine_files import (
    Engine,
    Place,
    Sizes,
    find_engine,
    load_engine,
    make_sizes,
)
from vsrdb_cli.backends.exported_files import ExportFiles, StaleExportError, file_sha256
from vsrdb_cli.backends.plugin import FGDF, FLOW_WARP, Sides, obstacle, register_plugins
from vsrdb_cli.backends.trt import context_of
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.network import ops
from vsrdb_cli.network.fgdf import fgdf

PLACE = Place("tensorrt", "11.4.0", "NVIDIA H200", "9.0")
SIZES = Sizes((16, 16), (18, 32), (36, 64))


@pytest.mark.parametrize(
    "name, numbers",
    [("FGDF", {"scale": 4, "ksize": 5}), ("FlowWarp", {"groups": 4, "size": 2, "length": 3})],
)
def test_a_plugin_registers_and_is_made_from_its_fields(name, numbers):
    trt = pytest.importorskip("tensorrt_lean")
    import numpy as np

    register_plugins(trt)
    register_plugins(trt)  # a second time is no error
    creator = trt.get_plugin_registry().get_creator(name, "1", "vsrdb")
    assert [field.name for field in creator.field_names] == list(numbers)
    fields = [
        trt.PluginField(field, np.array([value], dtype=np.int32), trt.PluginFieldType.INT32)
        for field, value in numbers.items()
    ]
    plugin = creator.create_plugin(
        "node", trt.PluginFieldCollection(fields), trt.TensorRTPhase.BUILD
    )
    for made in (plugin, plugin.clone(), plugin.attach_to_context(None)):
        fields = made.get_fields_to_serialize()
        taken = [np.full(1, 777, dtype=np.int32) for _ in range(100)]  # of memory freed too early
        saved = {field.name: int(field.data[0]) for field in fields}
        assert saved == numbers and len(taken) == 100
    assert plugin.get_capability_interface(None) is plugin
    half, float32 = trt.DataType.HALF, trt.DataType.FLOAT
    assert plugin.get_output_data_types([half, float32, half]) == [half]


class MadeUpBuilder:
    """Computes with sides that are known."""

    def constant(self, number):
        return number

    def operation(self, kind, side, number):
        return side * number if kind == "PROD" else side // number


@pytest.mark.parametrize(
    "operator, numbers, inputs",
    [
        (FGDF, (4, 3), [(2, 3, 3, 5, 6), (2, 3, 3, 5, 6), (2, 3, 144, 5, 6)]),
        (FLOW_WARP, (4, 2, 3), [(6, 9, 5, 6), (6, 13, 5, 6)]),
    ],
)
def test_a_plugin_without_a_compiler_has_the_operators_shape_and_numbers(operator, numbers, inputs):
    trt = SimpleNamespace(DimensionOperation=SimpleNamespace(PROD="PROD", FLOOR_DIV="FLOOR_DIV"))
    shape = operator.shape(Sides(trt, MadeUpBuilder()), inputs[0], *numbers)
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.rand(one, generator=generator) for one in inputs]
    if operator is FGDF:
        wanted = fgdf(*tensors, *numbers)
    else:
        wanted = ops.side_by_side(ops.multi_flow_warp(*tensors, numbers[:2]), numbers[2])
    assert tuple(shape) == wanted.shape
    out = torch.full(shape, torch.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no kernel runs here
        operator.fill([*tensors, out], numbers)
    torch.testing.assert_close(out, wanted)


def test_without_a_gpu_the_plugins_kernels_are_refused_in_a_line():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trouble = obstacle("cpu")
    assert trouble and "\n" not in trouble


@pytest.fixture
def rtx_engine(exported, checkpoint):
    pytest.importorskip("tensorrt_rtx")
    from vsrdb_cli.backends.tensorrt_library import find_place
    from vsrdb_cli.export.to_tensorrt import build_engine

    files, _ = exported["float16"]
    place = find_place("tensorrt-rtx")
    return (
        files,
        place,
        build_engine(files, checkpoint.config, place, SIZES, plugins=False, on_step=lambda _: None),
    )


@pytest.mark.slow
def test_nvidias_parser_and_builder_make_engines_of_the_same_files(rtx_engine):
    files, place, engine = rtx_engine
    assert find_engine(files, place) == engine
    for graph in ("encoder", "restorer"):
        path = engines.sidecar_path(files, place, engine.sizes)
        assert engines.engine_path(path, graph).stat().st_size > 10_000


def test_the_parser_reads_every_grid_sample_linear_aligned_and_zero_filled(exported):
    trt = pytest.importorskip("tensorrt_rtx")
    from vsrdb_cli.export.to_tensorrt import parse_network

    files, _ = exported["float32"]
    job = {"graph": str(files.graph("restorer")), "plugins": False}
    _, network = parse_network(trt, trt.Logger(trt.Logger.ERROR), job)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    samples = [layer for layer in layers if layer.type == trt.LayerType.GRID_SAMPLE]
    # One by the network's flows in each net, one for f^X, one in the filter's function.
    assert len(samples) >= 4


def test_a_parser_that_takes_the_function_for_the_plugin_is_caught(exported):
    trt = pytest.importorskip("tensorrt_rtx")
    from vsrdb_cli.export import to_tensorrt

    files, _ = exported["float32"]
    job = {"graph": str(files.graph("restorer")), "plugins": True}
    with pytest.raises(ValueError, match="0 plugin layers after parsing, expected 5"):
        to_tensorrt.parse_network(trt, trt.Logger(trt.Logger.ERROR), job, lambda _: None)


def test_a_build_that_fails_in_its_process_is_one_error_and_leaves_nothing(
    exported, checkpoint, tmp_path
):
    pytest.importorskip("tensorrt_rtx")
    from vsrdb_cli.backends.tensorrt_library import find_place
    from vsrdb_cli.export.to_tensorrt import build_engine

    files = dataclasses.replace(exported["float32"][0], folder=tmp_path)
    for path in files.graphs:
        path.write_bytes(b"no graph")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BackendError, match=r"tensorrt-rtx failed to build .*encoder\.onnx"):
        build_engine(
            files,
            checkpoint.config,
            find_place("tensorrt-rtx"),
            SIZES,
            plugins=False,
            on_step=lambda _: None,
        )
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def sidecar(checkpoint, tmp_path):
    """An engine of two made-up files, and where its sidecar lies."""
    files = ExportFiles.of(checkpoint, tmp_path, "float16")
    path = engines.sidecar_path(files, PLACE, SIZES)
    hashes = {}
    for graph in ("encoder", "restorer"):
        engines.engine_path(path, graph).write_bytes(graph.encode())
        hashes[graph] = file_sha256(engines.engine_path(path, graph))
    made = Engine(PLACE, files.weights, files.sha256, "float16", SIZES, hashes)
    made.save(files)
    return files, made, path


def test_an_engine_is_found_where_it_fits(sidecar):
    files, made, path = sidecar
    assert find_engine(files, PLACE) == made == load_engine(path, files, PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"version": "11.5.0"},
        {"gpu": "NVIDIA GeForce RTX 4090"},
        {"capability": "8.9"},
    ],
)
def test_a_foreign_engine_is_refused_with_the_command_that_rebuilds_it(sidecar, elsewhere):
    files, _, _ = sidecar
    with pytest.raises(BackendError, match=r"was built for tensorrt 11\.4\.0 on NVIDIA H200") as no:
        find_engine(files, dataclasses.replace(PLACE, **elsewhere))
    assert "--format tensorrt --fp16 --min 16x16 --size 32x18 --max 64x36" in no.value.hint


def test_a_damaged_engine_and_one_of_another_revision_are_refused(sidecar):
    files, made, path = sidecar
    dataclasses.replace(made, revision=0).save(files)
    with pytest.raises(StaleExportError, match="another version of vsrdb"):
        find_engine(files, PLACE)
    made.save(files)
    engines.engine_path(path, "encoder").write_bytes(b"cut off")
    with pytest.raises(StaleExportError, match="is damaged"):
        find_engine(files, PLACE)


@pytest.mark.parametrize(
    "text", ["", "[" * 60_000, "[]", "{}", "\xff", '{"revision": 2}', "x" * 70_000]
)
def test_a_damaged_sidecar_is_one_line_with_the_command_that_rebuilds(sidecar, text):
    files, _, path = sidecar
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StaleExportError) as stale:
        find_engine(files, PLACE)
    assert "--format tensorrt --fp16 --min 16x16 --size 32x18 --max 64x36" in stale.value.hint


@pytest.mark.parametrize(
    "forged",
    [
        {"weights": "../evil/x"},
        {"sizes": {"smallest": (2, 2), "best": (2, 2), "largest": (2, 2)}},
        {"engine_sha256": {"encoder": "0" * 64, "restorer": "0" * 64, "../evil/x": "0" * 64}},
        {"engine_sha256": None},
        {"agreement": {"32x18": 0.0}},
        {"precision": "float32"},
        {"sha256": "0" * 64},
    ],
)
def test_a_sidecar_that_contradicts_its_name_is_not_used(sidecar, forged):
    files, _, path = sidecar
    path.write_text(json.dumps(json.loads(path.read_text()) | forged))
    with pytest.raises(StaleExportError):
        find_engine(files, PLACE)


@pytest.mark.posix
def test_an_engine_that_is_a_named_pipe_is_not_waited_for(sidecar):
    files, _, path = sidecar
    engines.engine_path(path, "encoder").unlink()
    os.mkfifo(engines.engine_path(path, "encoder"))
    with pytest.raises(StaleExportError, match="is damaged"):
        find_engine(files, PLACE)


def test_sizes_default_to_what_was_asked_and_out_of_order_is_said():
    assert make_sizes((180, 320), None, None) == Sizes((32, 32), (180, 320), (180, 320))
    with pytest.raises(OptionError, match="--min 64x64, --size 32x32"):
        make_sizes((32, 32), (64, 64), None)


@pytest.mark.parametrize("gpus", [made_up(), made_up("cuda", names=("RX 7900 XTX",), hip="6.4")])
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_without_an_nvidia_gpu_engines_are_refused_before_tensorrt_loads(
    checkpoint, backend, gpus, monkeypatch
):
    monkeypatch.setattr(ACCELERATORS, "library", gpus)
    monkeypatch.setattr(
        "vsrdb_cli.backends.tensorrt_library.import_library",
        lambda _: pytest.fail("its objects crash without a GPU"),
    )
    with pytest.raises(BackendError, match=f"{backend} needs an NVIDIA GPU"):
        load_runner(str(checkpoint.path), backend=backend)


def test_an_engine_of_weights_whose_name_has_brackets_is_found(sidecar):
    files, made, _ = sidecar
    named = dataclasses.replace(files, weights="fine [v2]")
    path = engines.sidecar_path(named, PLACE, SIZES)
    hashes = {}
    for graph in ("encoder", "restorer"):
        engines.engine_path(path, graph).write_bytes(graph.encode())
        hashes[graph] = file_sha256(engines.engine_path(path, graph))
    engine = dataclasses.replace(made, weights="fine [v2]", engine_sha256=hashes)
    engine.save(named)
    assert find_engine(named, PLACE) == engine


@pytest.fixture
def one_gpu(monkeypatch):
    """A machine that says it has a GPU, with TensorRT not to be touched."""
    monkeypatch.setattr(ACCELERATORS, "library", made_up("cuda", names=("NVIDIA L4",)))
    monkeypatch.setattr(
        "vsrdb_cli.backends.tensorrt_library.import_library",
        lambda _: pytest.fail("there is no such device"),
    )


@pytest.mark.parametrize(
    "device, says", [("cpu", "runs on an NVIDIA GPU, not on 'cpu'"), ("cuda:9", "no 'cuda:9'")]
)
def test_a_device_that_engines_do_not_run_on_is_one_line(checkpoint, one_gpu, device, says):
    with pytest.raises(BackendError, match=says):
        load_runner(str(checkpoint.path), backend="tensorrt", device=device)
    assert fitting_engine(checkpoint, device=device, precision="auto", size=(32, 32)) is None


def test_too_little_memory_means_no_engine_and_a_dead_gpu_an_error(checkpoint, one_gpu):
    def found(error):
        def load(*_):
            raise error

        return fitting_engine(checkpoint, device="cuda", precision="auto", size=(32, 32), load=load)

    assert found(torch.OutOfMemoryError("CUDA out of memory")) is None
    with pytest.raises(RuntimeError, match="illegal memory access"):
        found(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_an_engine_without_room_on_the_gpu_is_one_line():
    graph = SimpleNamespace(create_execution_context=lambda: None)
    with pytest.raises(BackendError, match="not enough GPU memory for the tensorrt encoder"):
        context_of(graph, "tensorrt encoder")


@pytest.fixture
def exporting(sidecar):
    """Exports an engine that is built, hindered and measured as told; what was built and said."""
    from vsrdb_cli.export.to_tensorrt import export_engine

    files, made, _ = sidecar

    class Exporting:
        kept = property(lambda self: sorted(files.folder.iterdir()))

        def __init__(self):
            self.built, self.said = [], []

        def __call__(self, *, plugins=True, trouble=None, fails=(), place=PLACE):
            """`fails`: with which choices of plugins the engine does not agree."""

            def build(*_, plugins, **__):
                self.built.append(plugins)
                return made

            def measure(*_, **__):
                if self.built[-1] in fails:
                    raise BackendError("the engine agrees with torch to 30 dB")
                return ["agreement"]

            return export_engine(
                SimpleNamespace(config=None),
                files,
                place,
                SIZES,
                plugins=plugins,
                on_step=self.said.append,
                build=build,
                measure=measure,
                hindered=lambda: trouble,
            )

    return Exporting()


def test_an_engine_has_plugins_unless_it_is_to_have_none(exporting):
    assert exporting() == ["agreement"]
    exporting(plugins=False)
    exporting(place=dataclasses.replace(PLACE, flavour="tensorrt-rtx"))  # which takes none
    assert exporting.built == [True, False, False] and exporting.said == []


def test_without_usable_plugins_the_engine_is_built_with_one_notice(exporting):
    exporting(trouble="its kernel cannot be compiled; install gcc")
    assert exporting.built == [False]
    (line,) = exporting.said
    assert line.endswith("without plugins: its kernel cannot be compiled; install gcc")


def test_an_engine_with_plugins_that_does_not_agree_is_built_again_without(exporting):
    assert exporting(fails=[True]) == ["agreement"]
    assert exporting.built == [True, False]
    (line,) = exporting.said
    assert line.endswith("without plugins: the engine agrees with torch to 30 dB")


def test_an_engine_that_differs_from_torch_either_way_is_not_kept(exporting):
    assert exporting.kept
    with pytest.raises(BackendError, match="agrees with torch to 30 dB"):
        exporting(fails=[True, False])
    assert exporting.built == [True, False]
    assert exporting.kept == []
