"""`vsrdb bench`: what it measures, prints and refuses."""

import json
import sys
from itertools import pairwise

import pytest
from click.testing import CliRunner
from drawn_networks import CONFIGURATIONS, network_of

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.bench.benchmark import (
    BenchLimits,
    BenchRequest,
    others,
    run_benchmark,
    worst_agreement,
)
from vsrdb_cli.bench.network import measure_steps
from vsrdb_cli.bench.results import SizeReport
from vsrdb_cli.bench.video import make_clip, measure_stages
from vsrdb_cli.bench.whole_run import restore_whole
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.cli import main
from vsrdb_cli.commands.bench import show
from vsrdb_cli.video.reading.open import open_source

NO_WHOLE_RUN = BenchLimits(alone_seconds=0, fewest_frames=1_000_000)
STAGES = ["read", "to RGB", "encode step", "restore step", "from RGB", "write"]


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *arguments])


class RecordingRunner(BuiltinRunner):
    """Enlarges, and records the frames it gets."""

    def __init__(self):
        super().__init__("nearest")
        self.encoded, self.windows = [], []

    def encode(self, picture):
        self.encoded.append(picture)
        return len(self.encoded) - 1

    def restore(self, window):
        self.windows.append(tuple(window))
        return super().restore([self.encoded[index] for index in window])


@pytest.mark.parametrize("height, width", [(48, 64), (33, 47)])
def test_the_clip_has_the_frames_and_size_asked_for_and_moves(tmp_path, height, width):
    clip = make_clip(tmp_path / "clip.mp4", height, width, 30)
    with open_source(clip) as source:
        frames = [frame.rgb for frame in source.frames()]
    assert len(frames) == 30
    assert frames[0].shape == (3, height, width)
    differences = [(a.float() - b.float()).abs().mean() for a, b in pairwise(frames)]
    assert min(differences) > 1


def test_every_stage_beside_the_network_is_measured(tmp_path):
    stages = measure_stages(tmp_path, 48, 64, 4)
    assert min(stages.read.wall, stages.to_rgb.wall, stages.from_rgb.wall) > 0
    with open_source(tmp_path / "written.mp4") as written:
        assert (written.info.height, written.info.width) == (192, 256)


def test_the_network_alone_is_measured_as_in_a_long_video():
    runner = RecordingRunner()
    measure_steps(runner, 16, 16, seconds=0)
    assert runner.windows == [(0, 0, 1)]
    runner = RecordingRunner()
    assert len(measure_steps(runner, 16, 16, seconds=1e9)) == len(runner.windows) == 40
    assert runner.windows[-1] == (38, 39, 40)


def test_a_whole_run_restores_every_frame_once(tmp_path):
    runner, numbers = RecordingRunner(), []
    clip = make_clip(tmp_path / "clip.mp4", 32, 48, 9)
    run = restore_whole(clip, tmp_path / "out.mp4", runner, 9, on_frame=numbers.append)
    assert len(runner.windows) == 9
    assert numbers == list(range(1, 10))
    assert run.frames == 9
    assert run.memory > 0
    with open_source(tmp_path / "out.mp4") as source:
        assert sum(1 for _ in source.frames()) == 9


@pytest.mark.slow
def test_json_has_every_measurement_of_each_size():
    found = bench("--size", "48x32", "--size", "47x33", "--weights", "bicubic", "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert [(size["width"], size["height"]) for size in values["sizes"]] == [(48, 32), (47, 33)]
    for size in values["sizes"]:
        assert [stage["name"] for stage in size["stages"]] == STAGES
        assert size["whole_seconds"] > 0
        assert 0 <= size["overlap"] <= 1
        assert size["memory_estimate_bytes"] > 0
        (own,) = size["backends"]
        assert (own["backend"], own["max_error"]) == ("torch", None)


@pytest.mark.slow
def test_the_tables_fit_into_80_columns_and_progress_goes_to_stderr():
    found = bench("--size", "48x32", "--weights", "nearest")
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for name in (*STAGES, "whole run", "network alone", "overlap: ", "memory: "):
        assert any(line.startswith(name) for line in lines), name
    assert "measuring: the whole run" in found.stderr.splitlines()
    assert "measuring" not in found.stdout


@pytest.mark.slow
def test_a_size_that_does_not_fit_is_one_line_and_the_others_are_measured():
    found = bench("--size", "90000x80000", "--size", "48x32", "--weights", "nearest", "--json")
    assert found.exit_code == 1
    (warning,) = [line for line in found.stderr.splitlines() if line.startswith("warning: ")]
    assert warning.startswith("warning: 90000x80000: a whole picture of 90000x80000 needs ")
    values = json.loads(found.stdout)
    assert [size["width"] for size in values["sizes"]] == [48]
    assert [problem["name"] for problem in values["problems"]] == ["90000x80000"]


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with torch only, and no exported files."""
    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.slow
def test_without_time_every_other_backend_is_one_problem(bare):
    request = BenchRequest(((16, 16),), "fmanet-xs", backend="all")
    (report,) = run_benchmark(request, limits=BenchLimits(seconds=0))
    assert isinstance(report, SizeReport)
    assert [backend.runner.backend for backend in report.backends] == ["torch"]
    messages = [problem.message for problem in report.problems]
    assert len(messages) == len(set(messages))
    assert all("not measured: out of time" in message for message in messages)


@pytest.mark.slow
def test_a_backend_that_is_not_installed_does_not_stop_the_others(bare, capsys):
    request = BenchRequest(((16, 16),), "fmanet-xs", backend="all")
    (report,) = run_benchmark(request, limits=NO_WHOLE_RUN)
    names = [problem.name.split()[0] for problem in report.problems]
    assert names == ["onnxruntime", "tensorrt", "tensorrt-rtx"]
    assert "pip install" in report.problems[0].hint
    show(report)
    printed = capsys.readouterr().out
    assert "whole run: not measured: one frame takes too long" in printed
    assert "torch cpu float32" in printed


def test_a_backend_asked_for_by_name_is_an_error_where_it_is_not_there(bare):
    found = bench("--size", "16x16", "--backend", "onnxruntime")
    assert found.exit_code == 1
    assert "error: --backend onnxruntime needs ONNX Runtime" in found.stderr


class Brighter(BuiltinRunner):
    """Restores everything 0.01 too bright."""

    def __init__(self):
        super().__init__("nearest")
        self.info = RunnerInfo("brighter", "", "torch", "cpu", "float32")

    def restore(self, window):
        return super().restore(window) + 0.01


def test_a_backend_is_compared_with_the_reference_on_the_test_scene():
    reference = BuiltinRunner("nearest")
    agreement = worst_agreement(reference, Brighter(), (32, 48))
    assert agreement.max_error == pytest.approx(0.01, rel=1e-3)
    assert agreement.psnr == pytest.approx(40, abs=0.01)
    assert worst_agreement(reference, reference, (32, 48)) is None


@pytest.mark.parametrize("size", ["320", "320x", "15x16", "axb", "-3x20"])
def test_a_size_that_is_none_is_refused_by_name(size):
    found = bench(f"--size={size}")
    assert found.exit_code == 2
    assert f"--size {size} is not valid" in found.stderr
    assert "write a size such as 320x180, from 16x16 up" in found.stderr


@pytest.mark.parametrize("asked, expected", [
    ({"device": "all"}, [("torch", "xpu:0", "float32"), ("torch", "xpu:1", "float32"),
                         ("torch", "xpu:1", "float16")]),
    ({"device": "all", "precision": "float16"}, [("torch", "xpu:1", "float16")]),
    ({"device": "xpu:0"}, []),
])  # fmt: skip
def test_all_devices_are_put_beside_the_one_chosen(asked, expected):
    info = RunnerInfo("fmanet-xs", "", "torch", "xpu", "float16")
    request = BenchRequest(((32, 48),), "fmanet-xs", **asked)
    found = list(others(request, info, ["cpu", "xpu:0", "xpu:1"]))
    assert [one for one in found if one[1] != "cpu"] == expected
    assert any(device == "cpu" for _, device, _ in found) == (asked["device"] == "all")


@pytest.mark.parametrize("backend, expected", [
    ("auto", [("onnxruntime", "webgpu:0", "float32"), ("onnxruntime", "webgpu:0", "float16")]),
    ("all", [("onnxruntime", "webgpu:0", "float32"), ("onnxruntime", "webgpu:0", "float16")]),
    ("torch", []),
])  # fmt: skip
def test_on_webgpu_onnx_runtime_is_measured(backend, expected):
    info = RunnerInfo("fmanet-xs", "", "torch", "cpu", "float32")
    request = BenchRequest(((32, 48),), "fmanet-xs", backend=backend, device="all")
    found = list(others(request, info, ["cpu", "webgpu:0"]))
    assert [one for one in found if one[1] == "webgpu:0"] == expected


class OnWebGpu(TorchRunner):
    """Computes on the CPU and says that it is on WebGPU."""

    def __init__(self, weights, **options):
        super().__init__(load_checkpoint(weights), "cpu", "float32")
        if options.get("device") == "webgpu":
            self.info = RunnerInfo(weights, "", "onnxruntime", "webgpu:0", "float32", "UHD, Vulkan")


def test_a_gpu_that_torch_does_not_reach_has_no_rate_of_torchs_convolution(tmp_path):
    config = CONFIGURATIONS["one frame"]
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, network_of(config).state_dict(), config, licence="none", origin="drawn")
    request = BenchRequest(((16, 16),), str(path), device="webgpu")
    (report,) = run_benchmark(request, limits=NO_WHOLE_RUN, load=OnWebGpu)
    assert report.runner.device == "webgpu:0"
    assert report.operations > 0
    assert report.convolution_rate is report.nearness is None
    (own,) = report.backends
    assert own.agreement.max_error == 0


def test_every_backend_on_every_device_can_be_asked_for():
    info = RunnerInfo("fmanet-xs", "", "torch", "cpu", "float32")
    request = BenchRequest(
        ((32, 48),), "fmanet-xs", backend="all", device="all", precision="float32"
    )
    found = list(others(request, info, ["cpu", "mps"]))
    assert ("torch", "cpu", "float32") not in found
    assert {device for _, device, _ in found} == {"cpu", "mps"}
    assert {"torch", "onnxruntime"} <= {backend for backend, *_ in found}


class Engine(BuiltinRunner):
    """Takes pictures of one size only."""

    def __init__(self):
        super().__init__("nearest")
        self.info = RunnerInfo("nearest", "", "tensorrt", "gpu", "float16")

    def takes(self, height, width):
        return (height, width) == (32, 48)

    def encode(self, picture):
        assert self.takes(*picture.shape[2:])
        return super().encode(picture)


def test_an_engine_is_measured_and_compared_in_a_size_it_was_built_for():
    (report,) = run_benchmark(
        BenchRequest(((32, 48),), "nearest"),
        limits=NO_WHOLE_RUN,
        load=lambda *_, **__: Engine(),
        available=lambda _: 1 << 40,
    )
    assert isinstance(report, SizeReport), report
    compared = worst_agreement(BuiltinRunner("nearest"), Engine(), (32, 48))
    assert (compared.height, compared.width, compared.max_error) == (32, 48, 0)
