"""The network on WebGPU, by a GPU of software."""

import gc
import os
import subprocess
import sys
from dataclasses import replace

import clips
import numpy as np
import pytest
import torch
from PIL import Image
from webgpu_software import ENVIRONMENT, needs_software_gpu, software_gpu, unpadded_export

from vsrdb_cli.backends import load_runner, parity, webgpu_runner
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.webgpu_runner import WebGpuRunner, computes_float16
from vsrdb_cli.errors import BackendError
from vsrdb_cli.pipeline.restorer import Restorer

pytestmark = [pytest.mark.slow, needs_software_gpu]


@pytest.fixture(scope="module")
def adapter():
    with software_gpu() as adapter:
        yield adapter


@pytest.fixture(scope="module")
def runner(adapter, exported):
    """An imported network: its warps and its filter are functions in the graph."""
    yield WebGpuRunner(exported["float32"][0], adapter)
    gc.collect()


def test_an_imported_network_agrees_with_torch(runner, checkpoint):
    reference = TorchRunner(checkpoint, "cpu", "float32")
    (agreement,) = parity.compare(reference, runner, [webgpu_runner.COMPARED])
    assert agreement.max_error <= 1e-5


def test_it_says_what_it_runs_on_and_which_nodes_fall_to_the_cpu(runner):
    info = runner.info
    assert (info.backend, info.device, info.precision) == ("onnxruntime", "webgpu:0", "float32")
    assert info.hardware == "the CPU in place of a GPU, Vulkan"
    on_gpu, _, _, _, on_cpu, *_ = info.nodes.split()
    assert info.nodes == f"{on_gpu} on the GPU, {on_cpu} on the CPU"
    assert int(on_gpu) > 5 * int(on_cpu) > 0


def test_tiles_are_those_of_torch(runner, checkpoint):
    pictures = [(None, torch.rand(3, 8, 70, generator=torch.Generator().manual_seed(0)))]
    ((_, tiled),) = Restorer(runner, tile=64).run(iter(pictures))
    reference = TorchRunner(checkpoint, "cpu", "float32")
    ((_, expected),) = Restorer(reference, tile=64).run(iter(pictures))
    torch.testing.assert_close(tiled, expected, rtol=0, atol=1e-5)


def test_too_large_a_picture_runs_out_of_memory_and_smaller_ones_go_on(runner):
    small = torch.rand(1, 3, 8, 8)
    before = runner.encode(small)
    with pytest.raises(MemoryError):
        runner.encode(torch.zeros(1, 3, 3400, 3400))
    window = [runner.encode(small)] * 3
    assert torch.equal(runner.restore(window), runner.restore([before] * 3))


def test_one_process_has_one_gpu(runner, adapter, exported):
    with pytest.raises(BackendError, match="computes on 'webgpu:0' already") as refused:
        WebGpuRunner(exported["float32"][0], replace(adapter, name="webgpu:1"))
    assert "--devices webgpu:0,webgpu:1" in refused.value.hint


def test_where_all_nodes_fall_to_the_cpu_it_is_an_error(adapter, exported, monkeypatch):
    def on_cpu(model, adapter):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(webgpu_runner, "open_session", on_cpu)
    with pytest.raises(BackendError, match=r"computes none of the \d+ nodes"):
        WebGpuRunner(exported["float32"][0], adapter)


def test_what_it_computes_in_is_tried(adapter):
    assert not computes_float16(adapter)


def test_graphs_that_webgpu_gets_wrong_are_refused_with_the_number(
    adapter, checkpoint, tmp_path, monkeypatch
):
    from vsrdb_cli.export.to_onnx import export_onnx

    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path))
    with unpadded_export():
        export_onnx(checkpoint, tmp_path, "float32", on_step=lambda _: None)
    for _ in range(2):  # the second time by memory
        with pytest.raises(BackendError, match=r"does not agree with the CPU: -?\d+ dB,"
                           " but float32 needs 60") as refused:  # fmt: skip
            load_runner(str(checkpoint.path), device="webgpu")
        assert "\n" not in str(refused.value)
        assert "--device cpu" in refused.value.hint
        monkeypatch.setattr(parity, "compare", lambda *_: pytest.fail("that is known"))


def vsrdb(*arguments, **environment):
    command = [sys.executable, "-m", "vsrdb_cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def test_a_batch_of_pictures_with_one_command(tmp_path, checkpoint):
    (tmp_path / "in").mkdir()
    for number in range(2):
        picture = Image.fromarray(clips.picture(number, 17, 23))
        picture.save(tmp_path / "in" / f"{number}.png")
    folder = {"VSRDB_EXPORTS": str(tmp_path / "exports")}
    weights = "--weights", checkpoint.path
    here, cpu = tmp_path / "webgpu", tmp_path / "cpu"
    done = vsrdb(
        *("restore", tmp_path / "in", here, *weights, "--device", "webgpu", "-v"),
        **folder,
        **ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("exported small in float32, which is done once and took") == 1
    assert "small · onnxruntime webgpu:0 (the CPU in place of a GPU" in done.stderr
    assert "on the GPU, " in done.stderr
    vsrdb("restore", tmp_path / "in", cpu, *weights, "--device", "cpu", "--precision", "float32")
    names = sorted(path.name for path in here.glob("*.png"))
    assert names and names == sorted(path.name for path in cpu.glob("*.png"))
    for name in names:
        found, expected = (np.asarray(Image.open(f / name), int) for f in (here, cpu))
        assert found.shape == (68, 92, 3)
        assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_without_a_gpu_or_its_driver_it_is_one_line_with_what_to_install(tmp_path, missing):
    picture = tmp_path / "a.png"
    Image.fromarray(clips.picture(0, 17, 23)).save(picture)
    environment = ENVIRONMENT | {missing: "/none"}
    done = vsrdb("restore", picture, tmp_path / "b.png", "--device", "webgpu", **environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "error: WebGPU finds no GPU here",
        "hint: install the GPU's driver with Vulkan (AMD, Intel: apt-get install"
        " mesa-vulkan-drivers; NVIDIA: its own driver), or use --device cpu",
    ]
