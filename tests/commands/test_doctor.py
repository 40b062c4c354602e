"""`vsrdb doctor` tries what it tells of; `vsrdb completion` gives the shells what click made."""

import json
import shutil
import subprocess
from functools import partial

import made_up_gpus as gpus
import pytest
import torch
from click.testing import CliRunner

from vsrdb_cli import doctor
from vsrdb_cli.backends import load_runner, try_network
from vsrdb_cli.backends.devices import Accelerators
from vsrdb_cli.cli import main
from vsrdb_cli.doctor import State
from vsrdb_cli.errors import BackendError, VsrdbError
from vsrdb_cli.video.writing.encoders import ENCODERS
from vsrdb_cli.video.writing.hardware import HARDWARE


def run(*arguments):
    return CliRunner().invoke(main, ["doctor", *arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def told():
    return json.loads(run("--json").stdout)


def found(told, kind):
    return {f["name"]: f for f in told["findings"] if f["kind"] == kind}


@pytest.mark.slow
def test_it_tells_of_versions_devices_weights_backends_encoders_and_space(told):
    assert told["ok"]
    assert found(told, "version")["torch"]["detail"] == torch.__version__
    assert {"vsrdb", "python", "av", "ffmpeg"} <= set(found(told, "version"))
    assert found(told, "device")["cpu"]["state"] == "works"
    assert found(told, "weights")["fmanet-xs"]["state"] == "works"
    assert {"torch cpu", "onnxruntime", "tensorrt"} <= set(found(told, "backend"))
    assert set(ENCODERS) <= set(found(told, "encoder"))
    assert "memory" in found(told, "space")


def test_as_json_every_finding_has_a_state_and_a_fix_or_null(told):
    for finding in told["findings"]:
        assert set(finding) == {"kind", "name", "state", "detail", "fix"}
        assert finding["fix"] is None or finding["state"] != "works"


def test_what_works_has_been_run(told):
    torch_cpu = found(told, "backend")["torch cpu"]
    assert torch_cpu["state"] == "works"
    assert "loaded and run in" in torch_cpu["detail"]
    assert " fps of 80x64" in torch_cpu["detail"]
    assert ("bfloat16" in torch_cpu["detail"]) == ("dB from float32" in torch_cpu["detail"])
    for codec in ENCODERS:
        assert "3 frames in" in found(told, "encoder")[codec]["detail"]


@pytest.mark.parametrize("library, expected", [
    (gpus.AMD, {"cuda:0": "Radeon RX 7900 XTX, ROCm 6.4, 4.0 of 8.0 GiB free"}),
    (gpus.INTEL, {"xpu:0": "Intel(R) Arc(TM) B580 Graphics, XPU, 4.0 of 8.0 GiB free",
                  "xpu:1": "Intel(R) Graphics, XPU, 4.0 of 8.0 GiB free"}),
    (gpus.NONE, {"gpu": f"torch {torch.__version__} finds no GPU"}),
])  # fmt: skip
def test_every_gpu_is_told_of_by_what_it_is_and_its_memory(tmp_path, library, expected):
    cpu, *others = doctor.check_devices(Accelerators(library), tmp_path)
    assert cpu.name == "cpu"
    assert {found.name: found.detail for found in others} == expected
    assert all((f.state is State.WORKS) == (f.name != "gpu") for f in others)


def test_gpus_that_webgpu_reaches_are_listed_and_tried(tmp_path):
    machine = gpus.webgpu(gpus.GEFORCE, gpus.UHD)
    devices = doctor.check_devices(Accelerators(gpus.NONE), tmp_path, machine)
    found = {f.name: f for f in devices if "webgpu" in f.name}
    assert list(found) == ["webgpu:0", "webgpu:1"]
    assert found["webgpu:0"].detail.startswith("NVIDIA GeForce RTX 4090, ")

    def run(weights, *, backend, device="auto"):
        if device == "webgpu:1":
            raise BackendError("webgpu:1 (Intel) does not agree with the CPU: 7 dB")
        return f"{backend} on {device}, 12.0 fps of 80x64, 110 dB from float32 on the CPU"

    tried = {f.name: f for f in doctor.check_backends(run, ["cpu", *found])}
    assert tried["torch cpu"].state is State.WORKS
    assert "torch webgpu:0" not in tried
    assert tried["onnxruntime webgpu:0"].detail.startswith("onnxruntime on webgpu:0, 12.0 fps")
    assert tried["onnxruntime webgpu:1"].state is State.ABSENT
    assert "7 dB" in tried["onnxruntime webgpu:1"].detail


@pytest.mark.parametrize("vendor, maker, state", [
    ("0x10de", "NVIDIA", State.PROBLEM), ("0x8086", "Intel", State.ABSENT),
])  # fmt: skip
def test_of_a_gpu_that_torch_does_not_use_it_says_what_to_install(tmp_path, vendor, maker, state):
    file = tmp_path / "renderD128" / "device" / "vendor"
    file.parent.mkdir(parents=True)
    file.write_text(vendor)
    _, found = doctor.check_devices(Accelerators(gpus.NONE), tmp_path)
    assert (found.name, found.state) == (maker, state)
    assert "build of torch" in found.hint


def test_of_encoders_that_do_not_work_there_is_one_line_a_maker(told):
    for hardware, encoders in HARDWARE.items():
        names = [name for name in found(told, "encoder") if hardware in name]
        works = [found(told, "encoder")[name]["state"] == "works" for name in names]
        assert names == [hardware] or (all(works) and len(names) <= len(encoders))


def test_for_people_there_is_a_line_each_and_the_one_that_mends(monkeypatch):
    def examine():
        yield doctor.CheckResult("encoder", "h264", State.PROBLEM, "it is broken", "repair it so")
        yield doctor.CheckResult("backend", "tensorrt", State.ABSENT, "not here", "install it")

    monkeypatch.setattr(doctor, "examine", examine)
    done = run()
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "!! encoder  h264: it is broken",
        "            -> repair it so",
        "-- backend  tensorrt: not here",
        "            -> install it",
        "1 problem found",
    ]


def test_whatever_a_broken_part_raises_is_its_result():
    def refuse(*arguments, **options):
        raise BackendError("no such thing", hint="do this")

    tried = {f.name: f for f in doctor.check_backends(refuse)}
    assert tried["torch cpu"].state is State.PROBLEM
    assert tried["torch cpu"].hint == "do this"
    assert tried["onnxruntime"].state is State.ABSENT

    def crash(*arguments, **options):
        raise OSError("libx264.so is missing")

    encoders = {f.name: f for f in doctor.check_encoders(crash)}
    assert encoders["h264"].state is State.PROBLEM
    assert "libx264.so is missing" in encoders["h264"].detail
    assert encoders["h264"].hint


def test_a_backend_that_computes_nonsense_does_not_work():
    def nonsense(*arguments, **options):
        runner = load_runner("nearest")
        runner.restore = lambda window: torch.full((1, 3, 8, 8), float("nan"))
        return runner

    first = next(doctor.check_backends(partial(try_network, load=nonsense)))
    assert first.state is State.PROBLEM
    assert "results are not finite" in first.detail


def test_too_little_space_and_damaged_weights_are_problems():
    space = doctor.check_space(lambda device: 1 << 20, lambda folder: 1)
    assert all(f.state is State.PROBLEM and f.hint for f in space)

    def refuse(name):
        raise VsrdbError("its SHA-256 is another", hint="install vsrdb again")

    assert all(f.state is State.PROBLEM for f in doctor.check_weights(refuse))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell):
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_VSRDB_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_completion_knows_commands_and_options():
    def complete(*words):
        environment = {
            "_VSRDB_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["vsrdb", *words]),
            "COMP_CWORD": str(len(words)),
        }
        return CliRunner().invoke(main, [], prog_name="vsrdb", env=environment).stdout

    assert "plain,restore" in complete("re")
    assert "plain,--segment" not in complete("restore", "--s")
    assert "plain,--scale" in complete("restore", "--s")


def test_a_folder_needs_a_cluster(tmp_path):
    done = CliRunner().invoke(main, ["doctor", "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "--folder needs --ray" in done.stderr
