"""`vsrdb export` and the backends as a user meets them."""

import sys
import weakref

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from vsrdb_cli import backends
from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.cli import main
from vsrdb_cli.errors import BackendError
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video


def clip(path, width, height):
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        shape = (4, height, width, 3)
        for picture in np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def exports(exported, monkeypatch):
    """The folder of the exported files as the one `restore` looks in."""
    folder = exported["float32"][0].folder
    monkeypatch.setenv("VSRDB_EXPORTS", str(folder))
    return folder


@pytest.mark.slow
def test_export_writes_both_graphs_and_ends_with_files_sizes_and_agreement(checkpoint, tmp_path):
    done = CliRunner().invoke(
        main, ["export", "--weights", str(checkpoint.path), "-o", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in tmp_path.iterdir())
    stem = f"small-{checkpoint.sha256[:12]}-float32"
    assert names == [f"{stem}-{part}" for part in ("encoder.onnx", "graphs.json", "restorer.onnx")]
    (last,) = done.stdout.splitlines()
    assert all(f"{tmp_path / name} (" in last for name in names if name.endswith(".onnx"))
    assert "ONNX Runtime within " in last and "at 23x17, 48x31, 37x45" in last
    if not torch.cuda.is_available():
        command = f"vsrdb export --weights {checkpoint.path} --format tensorrt --min 32x32"
        sizes = "--size 320x180 --max 320x180"
        assert f"then run: {command} {sizes} -o {tmp_path}" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_an_engine_asked_for_without_a_gpu_is_one_line_before_any_work(checkpoint, tmp_path):
    done = CliRunner().invoke(
        main,
        ["export", "--weights", str(checkpoint.path), "-o", str(tmp_path), "--format", "tensorrt"],
    )
    assert done.exit_code == 1
    assert "TensorRT needs an NVIDIA GPU" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["320", "1x5", "axb", "320x"])
def test_a_size_that_is_none_is_refused(size):
    done = CliRunner().invoke(main, ["export", "--size", size])
    assert done.exit_code == 2 and "write a size such as 320x180" in done.stderr


def test_restoring_a_video_through_onnx_runtime_is_torchs_within_a_code(
    checkpoint, exports, tmp_path
):
    source = tmp_path / "in.mkv"
    clip(source, 32, 24)
    restored = []
    for backend in ("torch", "onnxruntime"):
        target = tmp_path / f"{backend}.mkv"
        arguments = ["--backend", backend, "--precision", "float32", "--device", "cpu"]
        arguments += ["--codec", "ffv1", "--weights", str(checkpoint.path)]
        done = CliRunner().invoke(main, ["restore", str(source), str(target), *arguments])
        assert done.exit_code == 0, done.output
        assert f"{backend} cpu float32" in done.stderr
        with av.open(target) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        restored.append(np.stack(frames).astype(int))
    assert restored[0].shape == (4, 96, 128, 3)
    assert np.abs(restored[0] - restored[1]).max() <= 1


def test_missing_files_are_one_line_with_the_command_that_writes_them(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path))
    with pytest.raises(BackendError, match="no ONNX files found for 'small' in float32") as caught:
        load_runner(str(checkpoint.path), backend="onnxruntime", device="cpu")
    assert caught.value.hint.startswith("export them: vsrdb export --weights")


def test_a_missing_onnx_runtime_is_one_line_with_the_extra(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="needs ONNX Runtime, which is not installed") as caught:
        load_runner(str(checkpoint.path), backend="onnxruntime")
    assert "vsrdb[export]" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_asked_of_onnx_runtime_and_not_there_never_becomes_the_cpu(checkpoint, exports):
    with pytest.raises(BackendError, match="finds no GPU for 'cuda:0'"):
        load_runner(str(checkpoint.path), backend="onnxruntime", device="cuda:0")


def test_a_backend_of_another_name_and_one_for_a_network_without_parameters(checkpoint):
    with pytest.raises(BackendError, match="unknown backend 'tflite'"):
        load_runner(str(checkpoint.path), backend="tflite")
    with pytest.raises(BackendError, match="runs in torch, not onnxruntime"):
        load_runner("bicubic", backend="onnxruntime")


def test_bfloat16_of_files_that_have_none_is_refused(checkpoint, exports):
    with pytest.raises(BackendError, match="onnxruntime has no bfloat16"):
        load_runner(str(checkpoint.path), backend="onnxruntime", precision="bfloat16")


@pytest.mark.parametrize(
    "wanted, sizes",
    [
        ({}, [(72, 96), (48, 64)]),
        ({"segment_seconds": 0.08}, [(72, 96), (48, 64)]),
        ({"tile": 80}, [(72, 72), (48, 64)]),
    ],
)
@pytest.mark.cases
def test_auto_asks_for_an_engine_of_the_size_to_come(tmp_path, wanted, sizes):
    asked = []

    def load(weights, *, size=None, **options):
        asked.append(size)
        return load_runner(weights, **options)

    encoder = EncoderOptions(codec="ffv1")
    options = RestoreOptions(weights="nearest", encoder=encoder, **wanted)
    executor = LocalExecutor(options, load=load)
    for width, height in ((96, 72), (64, 48)):
        source = clip(tmp_path / f"{width}.mkv", width, height)
        restore_video(source, tmp_path / f"out-{width}.mkv", options, executor=executor)
    assert asked == sizes


def test_auto_on_the_cpu_is_torch_and_says_so(checkpoint, exports):
    runner = load_runner(str(checkpoint.path), device="cpu", size=(24, 32))
    assert runner.info.backend == "torch"


def test_a_batch_keeps_an_engine_that_fits_and_never_holds_two():
    loaded, alive = [], []

    class Engine(BuiltinRunner):
        def __init__(self, size):
            super().__init__("nearest")
            alive[:] = [gone for gone in alive if gone() is not None]
            assert not alive
            alive.append(weakref.ref(self))
            loaded.append(size)
            self.size = size

        def takes(self, *size):
            return size == self.size

    def load(weights, *, size, loaded, **_):
        return loaded or Engine(size)

    executor = LocalExecutor(RestoreOptions(weights="nearest"), load=load)
    for size in ((32, 48), (32, 48), (48, 64), (48, 64)):
        executor.prepare(RestoreSpec(size, bit_depth=8))
    assert loaded == [(32, 48), (48, 64)]


def test_a_loaded_network_makes_way_for_an_engine_alone(checkpoint, monkeypatch):
    engine = BuiltinRunner("nearest")
    fits = {(32, 48): engine}
    monkeypatch.setattr(backends, "fitting_engine", lambda _, size, **__: fits.get(size))
    path = str(checkpoint.path)
    torch_runner = load_runner(path, device="cpu")
    assert load_runner(path, size=(48, 64), loaded=torch_runner) is torch_runner
    assert load_runner(path, size=(32, 48), loaded=torch_runner) is engine
    assert load_runner(path, size=(32, 48), backend="torch", loaded=torch_runner) is torch_runner
