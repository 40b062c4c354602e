"""GPUs that WebGPU reaches, by what ONNX Runtime answers on machines that are made up."""

import os
from types import SimpleNamespace

import made_up_gpus as gpus
import pytest
from drawn_networks import CONFIGURATIONS, network_of

from vsrdb_cli.backends import load_runner, parity, webgpu_runner
from vsrdb_cli.backends.devices import require_device
from vsrdb_cli.backends.parity import DisagreementError
from vsrdb_cli.backends.proof import remembered_agreement, require_agreement
from vsrdb_cli.backends.webgpu import driver
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import available_bytes
from vsrdb_cli.restore import make_executor

FMANET = "fmanet-xs"


@pytest.mark.parametrize("devices, found", [
    ([gpus.RADEON], [("webgpu:0", "AMD 1002:744c, Vulkan", "high-performance")]),
    ([gpus.UHD, gpus.RADEON], [
        ("webgpu:0", "AMD 1002:744c, Vulkan", "high-performance"),
        ("webgpu:1", "Intel 8086:4680, Vulkan", "low-power"),
    ]),
    ([gpus.UHD, gpus.SERVER_DISPLAY], [
        ("webgpu:0", "Intel 8086:4680, Vulkan", "high-performance"),
    ]),
    # The plugin does not say which of two cards it takes.
    ([gpus.GEFORCE, gpus.RADEON], [
        ("webgpu:0", "NVIDIA GeForce RTX 4090 or AMD 1002:744c, Vulkan", "high-performance"),
    ]),
    ([gpus.SERVER_DISPLAY], []),
    ([gpus.PROCESSOR], [("webgpu:0", "the CPU in place of a GPU, Vulkan", "high-performance")]),
    ([], []),
])  # fmt: skip
def test_the_graphics_card_comes_before_the_gpu_in_the_processor(monkeypatch, devices, found):
    monkeypatch.setattr("sys.platform", "linux")
    adapters = gpus.webgpu(*devices).adapters()
    assert [(a.name, a.hardware, a.power) for a in adapters] == found
    assert all(a.is_software == (devices == [gpus.PROCESSOR]) for a in adapters)


@pytest.mark.parametrize("platform, interface", [("win32", "D3D12"), ("darwin", "Metal")])
def test_a_gpu_is_reached_by_what_the_system_has(monkeypatch, platform, interface):
    monkeypatch.setattr("sys.platform", platform)
    (adapter,) = gpus.webgpu(gpus.GEFORCE).adapters()
    assert adapter.hardware == f"NVIDIA GeForce RTX 4090, {interface}"


@pytest.mark.parametrize("machine, name, words, hint", [
    (gpus.NO_PLUGIN, "webgpu", "needs the package 'onnxruntime-ep-webgpu', which is not installed",
     "pip install 'vsrdb[webgpu]'"),
    (gpus.webgpu(), "webgpu", "WebGPU finds no GPU here", "apt-get install mesa-vulkan-drivers"),
    (gpus.webgpu(gpus.RADEON), "webgpu:1",
     "there is no 'webgpu:1': of this machine's GPUs WebGPU reaches webgpu:0, AMD 1002:744c",
     "not among several cards"),
    (gpus.webgpu(refusal="it needs version 25 of the API\nand more"), "webgpu:0",
     "ONNX Runtime 1.32.0 cannot load its WebGPU plugin: it needs version 25 of the API",
     "pip install --upgrade 'vsrdb[webgpu]'"),
    (gpus.webgpu(gpus.RADEON), "webgpu:x", "'webgpu:x' is no device of WebGPU", "use auto, cpu"),
])  # fmt: skip
def test_what_cannot_be_used_is_one_line_with_what_to_install(machine, name, words, hint):
    for use in (
        machine.find,
        lambda name: require_device(name, webgpu=machine),
        lambda name: load_runner(FMANET, device=name, webgpu=machine),
    ):
        if name == "webgpu:x" and use != machine.find:
            continue
        with pytest.raises(BackendError) as refused:
            use(name)
        assert words in str(refused.value) and "\n" not in str(refused.value)
        assert hint in refused.value.hint


def test_the_plugin_is_registered_once():
    machine = gpus.webgpu(gpus.RADEON)
    assert machine.find("webgpu") is not None
    assert machine.find("webgpu:0").device is gpus.RADEON
    empty = gpus.webgpu()
    assert empty.adapters() == empty.adapters() == ()


@pytest.mark.parametrize("backend", ["torch", "tensorrt"])
def test_other_backends_refuse_the_device(backend):
    with pytest.raises(BackendError):
        load_runner(FMANET, backend=backend, device="webgpu")


def test_torch_says_what_computes_there():
    with pytest.raises(BackendError, match="torch does not compute on 'webgpu:1'") as refused:
        load_runner(FMANET, backend="torch", device="webgpu:1")
    assert "--backend auto or onnxruntime" in refused.value.hint


def test_a_cluster_refuses_it():
    with (
        pytest.raises(OptionError, match="--ray and --device webgpu cannot be used together"),
        make_executor(RestoreOptions(ray="local", device="webgpu")),
    ):
        pass


def test_names_are_options():
    assert RestoreOptions(device="webgpu").device == "webgpu"
    assert RestoreOptions(devices=("webgpu", "webgpu:1")).devices == ("webgpu:0", "webgpu:1")


def test_a_gpu_of_unknown_memory_is_taken_to_have_what_most_have():
    assert 0 < available_bytes("webgpu:0") <= min(4 << 30, available_bytes("cpu"))


def test_the_driver_is_another_once_its_files_change(monkeypatch, tmp_path):
    file = tmp_path / "icd.json"
    file.write_text("{}")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(file))
    first = driver()
    assert driver() == first
    os.utime(file, (1, 1))
    assert driver() not in (first, None)
    file.unlink()
    assert driver() not in (first, None)
    monkeypatch.setattr("sys.platform", "win32")
    assert driver() is None


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    """A small network, and no memory of any answer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = CONFIGURATIONS["one frame"]
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, network_of(config).state_dict(), config, licence="none", origin="drawn")
    return load_checkpoint(str(path))


@pytest.mark.parametrize("error, number", [(0.01, "40 dB"), (float("nan"), "-inf dB")])
@pytest.mark.cases
def test_a_refusal_is_remembered_with_its_number_until_the_driver_changes(
    checkpoint, error, number
):
    runners = []
    for known in ("driver 1", "driver 1", "driver 2", None):
        runners.append(gpus.Drifting(checkpoint, error, device="webgpu:0", hardware="UHD"))
        with pytest.raises(DisagreementError, match=f"{number}, but float32 needs 60"):
            require_agreement(
                runners[-1], checkpoint, known and remembered_agreement(known),
                sizes=[webgpu_runner.COMPARED], refusals=True,
            )  # fmt: skip
    assert [runner.count for runner in runners] == [1, 0, 1, 1]


def test_an_agreement_is_remembered(checkpoint):
    for count in (1, 0):
        runner = gpus.Drifting(checkpoint, 1e-5, device="webgpu:0", hardware="UHD")
        require_agreement(runner, checkpoint, remembered_agreement("driver 1"), sizes=[(17, 23)])
        assert runner.count == count


@pytest.fixture
def tried(monkeypatch):
    """Answer for the GPU: the precisions that were loaded, of which `wrong` ones disagree."""
    tried = SimpleNamespace(precisions=[], wrong=(), has_float16=True)

    def load(checkpoint, adapter, precision, on_notice):
        tried.precisions.append(precision)
        if precision in tried.wrong:
            raise DisagreementError("it computes something else")
        return precision

    monkeypatch.setattr(webgpu_runner, "_load", load)
    monkeypatch.setattr(webgpu_runner, "computes_float16", lambda adapter: tried.has_float16)
    return tried


@pytest.mark.parametrize("asked, has_float16, wrong, loaded", [
    ("auto", True, (), ["float16"]),
    ("auto", True, ("float16",), ["float16", "float32"]),
    ("auto", False, (), ["float32"]),
    ("float16", True, (), ["float16"]),
    ("float32", True, (), ["float32"]),
])  # fmt: skip
def test_float16_is_taken_where_the_gpu_has_it_and_agrees(tried, asked, has_float16, wrong, loaded):
    tried.has_float16, tried.wrong = has_float16, wrong
    runner = load_runner(FMANET, device="webgpu", precision=asked, webgpu=gpus.webgpu(gpus.UHD))
    assert runner == loaded[-1]
    assert tried.precisions == loaded


@pytest.mark.parametrize("asked, has_float16, wrong, words", [
    ("float16", False, (), "'webgpu:0' (Intel 8086:4680, Vulkan) does not compute in float16"),
    ("bfloat16", True, (), "'webgpu:0' does not compute in bfloat16"),
    ("float16", True, ("float16",), "something else"),
    ("auto", True, ("float16", "float32"), "something else"),
])  # fmt: skip
def test_a_precision_that_the_gpu_has_not_is_refused(
    monkeypatch, tried, asked, has_float16, wrong, words
):
    monkeypatch.setattr("sys.platform", "linux")
    tried.has_float16, tried.wrong = has_float16, wrong
    with pytest.raises(BackendError) as refused:
        load_runner(FMANET, device="webgpu", precision=asked, webgpu=gpus.webgpu(gpus.UHD))
    assert words in str(refused.value)


def test_the_picture_to_compare_is_one_that_torch_is_compared_at():
    assert webgpu_runner.COMPARED in parity.SIZES
