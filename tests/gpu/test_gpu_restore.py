"""Videos restored on a GPU are those of the CPU, with several processes and after a kill too."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import clips
import pytest

from vsrdb_cli.backends import load_runner, parity
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.dry_run.estimate import estimate_run
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.writing.hardware import HARDWARE, why_unavailable

pytestmark = pytest.mark.gpu

FRAMES, SEGMENT = 30, 10
LOSSLESS = EncoderOptions(codec="ffv1")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """30 frames of 96x64, three segments of `options`, with sound."""
    path = tmp_path_factory.mktemp("source") / "in.mp4"
    return clips.make(
        path, frames=FRAMES, height=64, width=96, soft=True, audio=("aac",), audio_seconds=1.2
    )


@pytest.fixture(scope="module")
def options(device):
    return RestoreOptions(
        weights="fmanet-xs", device=device, precision="float32", encoder=LOSSLESS,
        scene_cuts=False, segment_seconds=SEGMENT / 25,
    )  # fmt: skip


def frames(path):
    return clips.read(path).images


@pytest.fixture(scope="module")
def whole(source, options, tmp_path_factory):
    """A file restored in one process, in float32."""
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    report = restore_video(source, target, options)
    assert report.frames == FRAMES
    return target


def test_float32_frames_are_the_cpus(source, whole, options, decibels, tmp_path):
    target = tmp_path / "cpu.mkv"
    restore_video(source, target, replace(options, device="cpu"))
    assert decibels(frames(whole), frames(target)) >= 60


def test_unasked_the_gpu_is_used_in_float16_and_frames_are_near(
    cuda, source, whole, options, decibels, tmp_path
):
    target = tmp_path / "auto.mkv"
    report = restore_video(source, target, replace(options, device="auto", precision="auto"))
    assert (report.runner.device, report.runner.precision) == ("cuda", "float16")
    assert clips.read(target).numbers == list(range(FRAMES))
    assert decibels(frames(target), frames(whole)) >= 50


def test_two_processes_on_one_gpu_give_the_frames_of_one(
    device, source, whole, options, decibels, tmp_path
):
    name = "cpu" if device == "cpu" else "cuda:0"
    target = tmp_path / "two.mkv"
    report = restore_video(source, target, replace(options, devices=(name, name)))
    assert report.runner.device == f"{name},{name}"
    assert clips.read(target).numbers == list(range(FRAMES))
    assert decibels(frames(target), frames(whole)) >= 60


KILLED = """
import os, signal, sys
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
source, target, device = sys.argv[1:]
def die(progress):
    if progress.phase == "restore" and progress.frames >= 15:
        os.kill(os.getpid(), signal.SIGKILL)
restore_video(source, target, RestoreOptions(
    weights="fmanet-xs", device=device, precision="float32", scene_cuts=False,
    segment_seconds=0.4, encoder=EncoderOptions(codec="ffv1")), on_progress=die)
"""


def test_killed_in_its_second_segment_a_run_goes_on_from_there(
    device, source, whole, options, decibels, tmp_path
):
    target = tmp_path / "out.mkv"
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(source), str(target), device],
        check=False, timeout=120, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert work_folder(target).exists()
    report = restore_video(source, target, options)
    assert report.resumed >= SEGMENT
    assert not work_folder(target).exists()
    assert decibels(frames(target), frames(whole)) >= 60


DEAD = """
import sys, torch
from vsrdb_cli.backends import builtin
from vsrdb_cli.cli import main
restored, nearest = [], builtin.nearest
def fails(picture, scale):
    restored.append(picture)
    if len(restored) > 30:  # the frames of the first
        numbers = torch.zeros(4, device="cuda")
        numbers[torch.tensor([9], device="cuda")].sum().item()
    return nearest(picture, scale)
builtin.nearest = fails
main(["restore", *sys.argv[1:], "--weights", "nearest"])
"""


def test_a_gpu_that_fails_for_good_ends_a_batch(cuda, source, tmp_path):
    for name in "abc":
        shutil.copy(source, tmp_path / f"{name}.mp4")
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", DEAD, str(tmp_path), str(tmp_path / "out")],
        check=False, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "the GPU failed while" in done.stderr and "run the same command again" in done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["a.mp4"]


def test_a_dry_run_tells_of_the_gpu_and_writes_nothing(device, source, options, tmp_path):
    estimate = estimate_run(source, tmp_path / "out.mkv", options)
    assert estimate.runner.device == device
    assert estimate.loads[0].device == device
    assert 0 < estimate.loads[0].network_bytes < estimate.loads[0].free_bytes
    assert estimate.seconds > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_nvenc_is_used_where_it_is_and_else_refused_in_one_line(device, source, tmp_path, codec):
    options = RestoreOptions(weights="nearest", encoder=EncoderOptions(codec=codec))
    auto, forced = (
        replace(options, encoder=replace(options.encoder, hardware=name))
        for name in ("auto", "nvenc")
    )
    restore_video(source, tmp_path / "auto.mp4", auto)
    assert len(frames(tmp_path / "auto.mp4")) == FRAMES
    if why_unavailable(HARDWARE["nvenc"][codec]) is None:
        restore_video(source, tmp_path / "nvenc.mp4", forced)
        assert len(frames(tmp_path / "nvenc.mp4")) == FRAMES
        return
    with pytest.raises(OptionError, match="is not available here") as caught:
        restore_video(source, tmp_path / "nvenc.mp4", forced)
    assert "\n" not in str(caught.value)
    assert caught.value.hint.startswith("omit --hardware to encode on the CPU")
    assert not (tmp_path / "nvenc.mp4").exists()


def require_agreement(runner):
    reference = load_runner("fmanet-xs", backend="torch", device="cpu", precision="float32")
    parity.require(parity.compare(reference, runner), runner.info.precision, str(runner.info))


def test_onnx_runtimes_cuda_provider_agrees_with_torch(cuda, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    from vsrdb_cli.export.to_onnx import export_onnx

    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path))
    export_onnx(load_checkpoint("fmanet-xs"), tmp_path, "float32", on_step=lambda _: None)
    runner = load_runner("fmanet-xs", backend="onnxruntime", device=cuda, precision="float32")
    assert runner.info.device.startswith("cuda")
    require_agreement(runner)


@pytest.mark.parametrize("plugins", [True, False])
def test_an_engine_built_here_agrees_with_torch(cuda, tmp_path, monkeypatch, plugins):
    pytest.importorskip("tensorrt")
    pytest.importorskip("onnxscript")
    from vsrdb_cli.backends.engine_files import Sizes
    from vsrdb_cli.backends.exported_files import ExportFiles
    from vsrdb_cli.backends.tensorrt_library import find_place
    from vsrdb_cli.export.to_onnx import export_onnx
    from vsrdb_cli.export.to_tensorrt import build_engine

    monkeypatch.setenv("VSRDB_EXPORTS", str(tmp_path))
    checkpoint = load_checkpoint("fmanet-xs")
    export_onnx(checkpoint, tmp_path, "float16", on_step=lambda _: None)
    files = ExportFiles.of(checkpoint, tmp_path, "float16")
    sizes = Sizes((16, 16), (31, 48), (64, 64))
    build_engine(
        files,
        checkpoint.config,
        find_place("tensorrt", cuda),
        sizes,
        plugins=plugins,
        on_step=lambda _: None,
    )
    runner = load_runner("fmanet-xs", backend="tensorrt", device=cuda, size=(31, 48))
    require_agreement(runner)
