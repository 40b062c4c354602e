"""Exported graphs compute what torch computes, say what they are, or are not kept."""

import json
import os
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vsrdb_cli.backends import load_runner, parity, rebuild
from vsrdb_cli.backends.exported_files import StaleExportError
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.errors import BackendError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from vsrdb_cli.backends.ort import OrtRunner  # noqa: E402
from vsrdb_cli.export.to_onnx import export_onnx  # noqa: E402


@pytest.mark.parametrize(
    "precision, tolerance",
    [("float32", 1e-5), pytest.param("float16", 2e-3, marks=pytest.mark.slow)],
)
def test_onnx_runtime_agrees_with_torch_at_three_odd_sizes(exported, precision, tolerance):
    _, agreements = exported[precision]
    assert len(agreements) == 3
    assert max(agreement.max_error for agreement in agreements) <= tolerance
    assert all(agreement.height % 2 or agreement.width % 2 for agreement in agreements)


@pytest.mark.parametrize("height, width", [(2, 2), (2, 33), (40, 3), (64, 96)])
def test_one_pair_of_files_takes_every_size_from_two_pixels_up(exported, checkpoint, height, width):
    runner = OrtRunner(exported["float32"][0], "cpu")
    torch_runner = TorchRunner(checkpoint, "cpu", "float32")
    (agreement,) = parity.compare(torch_runner, runner, [(height, width)])
    assert agreement.max_error <= 1e-5


def test_a_frame_gives_the_same_in_each_of_its_windows(exported, checkpoint):
    runner = OrtRunner(exported["float32"][0], "cpu")
    torch_runner = TorchRunner(checkpoint, "cpu", "float32")
    frames = parity.scene(4, 20, 26)
    held = [runner.encode(frame) for frame in frames]
    ours = [runner.restore(held[start : start + 3]) for start in (0, 1)]
    theirs = [torch_runner.encode(frame) for frame in frames]
    for start, picture in enumerate(ours):
        expected = torch_runner.restore(theirs[start : start + 3])
        assert picture.shape == (1, 3, 80, 104)
        torch.testing.assert_close(picture, expected, rtol=0, atol=1e-5)
    assert not torch.equal(*ours)


def test_restored_pictures_are_the_same_within_one_code(exported, checkpoint):
    pictures = []
    for runner in (
        OrtRunner(exported["float32"][0], "cpu"),
        TorchRunner(checkpoint, "cpu", "float32"),
    ):
        restored = parity.restored(runner, 30, 44)
        pictures.append((restored.clamp(0, 1) * 255).round().to(torch.int16))
    assert (pictures[0] - pictures[1]).abs().max() <= 1


@pytest.mark.parametrize("graph", ["encoder", "restorer"])
def test_the_file_says_what_it_is(exported, checkpoint, graph):
    files, _ = exported["float32"]
    model = onnx.load(files.graph(graph))
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["sha256"] == checkpoint.sha256
    assert json.loads(said["config"]) == checkpoint.config.to_dict()
    assert (said["scale"], said["channel_order"]) == ("4", "rgb")
    assert (said["precision"], said["graph"]) == ("float32", graph)
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == 18


@pytest.mark.parametrize("graph", ["encoder", "restorer"])
def test_every_convolution_reads_a_multiple_of_8_channels(exported, graph):
    """WebGPU computes something else of 9, 18, 27 or 63; tensor cores take longer."""
    model = onnx.shape_inference.infer_shapes(onnx.load(exported["float32"][0].graph(graph)))
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in model.graph.value_info:  # of weights that are parts of others
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    weights = {
        node.input[1]: shapes[node.input[1]]
        for node in model.graph.node
        if node.op_type == "Conv" and all(a.name != "group" or a.i == 1 for a in node.attribute)
    }
    assert len(weights) > 5
    assert {name: shape for name, shape in weights.items() if shape[1] % 8} == {}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_filter_and_warps_are_nodes_with_a_plugins_name_and_a_body(exported, precision):
    files, _ = exported[precision]
    model = onnx.load(files.graph("restorer"))
    found = []
    for node in model.graph.node:
        if node.domain == "vsrdb":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert attributes.pop("plugin_namespace") == b"vsrdb"
            assert attributes.pop("plugin_version") == b"1"
            found.append((node.op_type, attributes))
    # Net^D's block aligns the frames, Net^R's moves them by the flow so far and aligns them; f^X.
    of_features, of_pictures = {"groups": 2, "size": 3}, {"groups": 1, "size": 3}
    warps = [("FlowWarp", of_features | {"length": length}) for length in (3, 1, 3)]
    warps.append(("FlowWarp", of_pictures | {"length": 1}))
    assert found == [*warps, ("FGDF", {"scale": 4, "ksize": 3})]
    assert [(f.domain, f.name) for f in model.functions] == [
        ("vsrdb", "FGDF"), ("vsrdb", "FlowWarp"),
    ]  # fmt: skip
    assert not [node for node in model.graph.node if node.op_type == "GridSample"]


@pytest.mark.slow
def test_half_precision_keeps_float32_islands(exported):
    from onnx import TensorProto, shape_inference

    files, _ = exported["float16"]
    model = shape_inference.infer_shapes(onnx.load(files.graph("restorer")))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    float32 = TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type in ("Softmax", "ReduceL2"):
            assert types[node.output[0]] == float32, node.name
    pictures = [i for i in model.graph.input if i.name.startswith("picture")]
    for value in (*pictures, *model.graph.output):
        assert value.type.tensor_type.elem_type == float32
    convolved = [types[n.output[0]] for n in model.graph.node if n.op_type == "Conv"]
    assert convolved and set(convolved) == {TensorProto.FLOAT16}


def test_nothing_is_kept_of_graphs_that_compute_something_else(exported, checkpoint, tmp_path):
    files, _ = exported["float32"]

    def broken(name, *_):
        return _broken(onnx.load(files.graph(name)))

    with pytest.raises(BackendError, match="less than the 100 dB required in float32"):
        export_onnx(checkpoint, tmp_path / "new", "float32", on_step=lambda _: None, tracing=broken)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BackendError):
        export_onnx(checkpoint, tmp_path, "float32", on_step=lambda _: None, tracing=broken)
    assert list(tmp_path.iterdir()) == []


def _broken(model):
    """The same graph with the slope of its LeakyReLUs a little off."""
    del model.functions[:]
    for node in model.graph.node:
        if node.op_type == "LeakyRelu":
            node.attribute[0].f = 0.21
    return model


@pytest.fixture
def cached(exported, checkpoint, tmp_path, monkeypatch):
    """A copy of the exported files where they are looked for; making them again copies anew."""
    source, _ = exported["float32"]
    made = []

    def copy():
        for path in (*source.graphs, source.sidecar):
            (tmp_path / path.name).unlink(missing_ok=True)
            shutil.copy(path, tmp_path)

    def make(stale, _, *, missing):
        made.append(stale.command)
        copy()

    copy()
    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path))
    monkeypatch.setattr(rebuild, "rebuild", make)
    return SimpleNamespace(files=replace(source, folder=tmp_path), made=made)


def load(checkpoint, notices):
    return load_runner(
        str(checkpoint.path),
        backend="onnxruntime",
        device="cpu",
        precision="float32",
        on_notice=notices.append,
    )


def _zeroed(files, path):
    """Weights of zero in a graph that is whole otherwise."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            tensor.raw_data = bytes(len(tensor.raw_data))
    onnx.save(model, path)


def _cut(files, path):
    path.write_bytes(path.read_bytes()[:5000])


def _flipped(files, path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _piped(files, path):
    files.sidecar.unlink()
    os.mkfifo(files.sidecar)


def _swapped(files, path):
    path.write_bytes(files.graph("encoder").read_bytes())


DAMAGE = {
    "weights of zero": _zeroed,
    "cut off": _cut,
    "one bit": _flipped,
    "empty": lambda files, path: path.write_bytes(b""),
    "no graph": lambda files, path: path.write_bytes(b"\xff" * 2000),
    "the other graph": _swapped,
    "no sidecar": lambda files, path: files.sidecar.unlink(),
    "a named pipe": _piped,
    "a sidecar in no encoding": lambda files, path: files.sidecar.write_bytes(b"\xff\xfe"),
    "a sidecar that is deep": lambda files, path: files.sidecar.write_text("[" * 60_000),
    "a sidecar that is long": lambda files, path: files.sidecar.write_text(" " * 70_000),
}


@pytest.mark.parametrize("damage", [
    pytest.param(name, marks=pytest.mark.posix if name == "a named pipe" else ())
    for name in DAMAGE
])  # fmt: skip
def test_what_is_damaged_is_rebuilt_with_a_notice_and_never_used(checkpoint, cached, damage):
    DAMAGE[damage](cached.files, cached.files.graph("restorer"))
    notices = []
    runner = load(checkpoint, notices)
    assert len(cached.made) == len(notices) == 1 and notices[0].endswith("rebuilt")
    (agreement,) = parity.compare(TorchRunner(checkpoint, "cpu", "float32"), runner, [(17, 23)])
    assert agreement.max_error <= 1e-5


@pytest.mark.parametrize("forgery", ["weights of zero", "no graph", "the other graph", "cut off"])
def test_files_with_a_forged_sidecar_are_compared_with_torch_before_use(
    checkpoint, cached, forgery
):
    load(checkpoint, [])  # what was found out of other files is not of these
    DAMAGE[forgery](cached.files, cached.files.graph("restorer"))
    cached.files.save_sidecar()
    notices = []
    load(checkpoint, notices)
    assert len(cached.made) == len(notices) == 1


def test_files_of_another_checkpoint_are_refused(checkpoint, cached, monkeypatch):
    other = replace(cached.files, sha256="0" * 64)
    for mine, theirs in zip(cached.files.graphs, other.graphs, strict=True):
        theirs.write_bytes(mine.read_bytes())
    other.save_sidecar()
    with pytest.raises(StaleExportError, match="was made from") as caught:
        OrtRunner(other, "cpu")
    assert "vsrdb export" in caught.value.hint


def test_whole_files_are_used_as_they_are_and_compared_once(checkpoint, cached, monkeypatch):
    notices = []
    load(checkpoint, notices)
    monkeypatch.setattr(parity, "compare", lambda *_: pytest.fail("that is known"))
    load(checkpoint, notices)
    assert cached.made == notices == []


def test_what_cannot_be_rebuilt_is_one_line_with_the_command(checkpoint, cached, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("VSRDB_EXPORTS", str(cached.files.folder))
    monkeypatch.setenv("PATH", "")
    _cut(cached.files, cached.files.graph("encoder"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BackendError, match="could not be rebuilt: status 1") as caught:
        load(checkpoint, [])
    assert "vsrdb export" in caught.value.hint


def test_the_command_of_the_hint_rebuilds_files(checkpoint, cached, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("VSRDB_EXPORTS", str(cached.files.folder))
    _flipped(cached.files, cached.files.graph("encoder"))
    notices = []
    load(checkpoint, notices)
    (notice,) = notices
    assert "is damaged" in notice and notice.endswith("rebuilt")


@pytest.mark.slow
def test_half_features_are_held_in_half_the_memory(exported):
    held = {}
    for precision in ("float32", "float16"):
        files, _ = exported[precision]
        features = OrtRunner(files, "cpu").encode(parity.scene(1, 8, 8)[0]).features.numpy()
        held[precision] = features.nbytes
        assert np.isfinite(features).all()
    assert held["float16"] * 2 == held["float32"]
