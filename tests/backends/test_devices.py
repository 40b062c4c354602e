"""Which devices there are, by what torch answers on machines that are made up."""

import subprocess
import sys
from pathlib import Path

import made_up_gpus as gpus
import pytest
import torch

import vsrdb_cli
from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.devices import (
    Accelerators,
    advice_on_webgpu,
    find_device,
    list_devices,
    unused_gpus,
)
from vsrdb_cli.backends.parity import DisagreementError
from vsrdb_cli.backends.precision import native_low_precision
from vsrdb_cli.backends.proof import require_like_cpu
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.device_kinds import KINDS, is_torchs
from vsrdb_cli.errors import BackendError
from vsrdb_cli.options import RestoreOptions

EVERY = [
    (gpus.NONE, []),
    (gpus.NVIDIA, ["cuda:0", "cuda:1"]),
    (gpus.AMD, ["cuda:0"]),
    (gpus.INTEL, ["xpu:0", "xpu:1"]),
    (gpus.APPLE, ["mps"]),
]


@pytest.mark.parametrize("library, names", EVERY)
def test_the_devices_are_the_cpu_and_the_gpus_by_torchs_names(library, names):
    assert list_devices(Accelerators(library), gpus.webgpu()) == ["cpu", *names]


@pytest.mark.parametrize("library, names", EVERY)
def test_auto_is_the_gpu_and_else_the_cpu(library, names):
    chosen = find_device("auto", Accelerators(library))
    assert chosen.type == (names[0].partition(":")[0] if names else "cpu")


@pytest.mark.parametrize("library, names", EVERY)
def test_every_device_is_found_by_its_name_and_taken_as_an_option(library, names):
    for name in names:
        assert str(find_device(name, Accelerators(library))) == name
        assert RestoreOptions(device=name).device == name
        assert RestoreOptions(devices=(name,)).devices == (name,)


@pytest.mark.parametrize("library, name, what", [
    (gpus.NVIDIA, "cuda:1", "NVIDIA L4, CUDA 13.0"),
    (gpus.AMD, "cuda:0", "Radeon RX 7900 XTX, ROCm 6.4"),
    (gpus.INTEL, "xpu:0", "Intel(R) Arc(TM) B580 Graphics, XPU"),
    (gpus.APPLE, "mps", "Apple M2, Metal"),
])  # fmt: skip
def test_a_gpu_is_called_what_it_is_an_amd_one_though_torch_calls_it_cuda(library, name, what):
    assert Accelerators(library).describe(name) == what
    info = RunnerInfo("w", "", "torch", name, "float16", hardware=what)
    assert str(info) == f"w · torch {name} ({what}) float16"


def test_only_nvidias_gpus_run_what_is_nvidias():
    nvidia = [library for library, _ in EVERY if Accelerators(library).are_nvidia]
    assert nvidia == [gpus.NVIDIA]


@pytest.mark.parametrize("library, name, free, total", [
    (gpus.NVIDIA, "cuda:1", 4 * gpus.GIB, 8 * gpus.GIB),
    (gpus.AMD, "cuda:0", 4 * gpus.GIB, 8 * gpus.GIB),
    (gpus.INTEL, "xpu:1", 4 * gpus.GIB, 8 * gpus.GIB),
    (gpus.INTEL_SILENT, "xpu:0", 7 * gpus.GIB, 8 * gpus.GIB),
    (gpus.APPLE, "mps", 2, 3),
])  # fmt: skip
def test_what_torch_freed_and_kept_is_free(library, name, free, total):
    assert Accelerators(library).memory(name) == (free, total)


@pytest.mark.parametrize("name, words, hint", [
    ("xpu", "finds no Intel GPU for 'xpu'", "XPU build of torch"),
    ("cuda:3", "finds no NVIDIA or AMD GPU for 'cuda:3'", "ROCm"),
    ("mps", "finds no Apple GPU for 'mps'", "macOS"),
    ("tpu", "unknown device 'tpu'", "use auto, cpu, cuda, cuda:0 (the first GPU), xpu, mps or"),
    ("vulkan", "unknown device 'vulkan'", "use auto, cpu"),
    # What torch cannot parse, or would take for another number.
    ("cuda:01", "unknown device 'cuda:01'", "use auto, cpu"),
    ("cuda:256", "unknown device 'cuda:256'", "use auto, cpu"),
])  # fmt: skip
def test_a_device_that_is_not_there_is_refused_with_what_to_install(name, words, hint):
    with pytest.raises(BackendError) as refused:
        find_device(name, Accelerators(gpus.NONE))
    assert words in str(refused.value)
    assert hint in refused.value.hint


def test_of_a_number_that_is_not_there_the_others_are_named():
    with pytest.raises(BackendError, match=r"no 'xpu:2': this machine has 2 \(xpu:0, xpu:1\)"):
        find_device("xpu:2", Accelerators(gpus.INTEL))
    with pytest.raises(BackendError, match="finds no NVIDIA or AMD GPU for 'cuda'"):
        find_device("cuda", Accelerators(gpus.INTEL))


@pytest.mark.parametrize("name", [name for name in KINDS if is_torchs(name)])
def test_every_gpu_is_tried_in_float16(name):
    assert native_low_precision(torch.device(name)) == "float16"


@pytest.mark.parametrize("library, unused", [
    (gpus.NONE, ["Intel", "AMD"]), (gpus.INTEL, []), (gpus.AMD, []),
])  # fmt: skip
def test_where_torch_finds_no_gpu_those_that_linux_knows_are_told_of(tmp_path, library, unused):
    for number, vendor in enumerate(["0x8086\n", "0x1002\n", "0x1af4\n", "nonsense"]):
        file = tmp_path / f"renderD{128 + number}" / "device" / "vendor"
        file.parent.mkdir(parents=True)
        file.write_text(vendor)
    found = dict(unused_gpus(Accelerators(library), tmp_path))
    assert list(found) == unused
    assert all("driver" in install for install in found.values())


def test_device_names_are_listed_in_one_place():
    folder = Path(vsrdb_cli.__file__).parent
    naming = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if '"xpu' in file.read_text() or "|xpu" in file.read_text()
    }
    assert naming == {"device_kinds.py", "backends/devices.py"}


def test_beside_a_gpu_that_only_webgpu_reaches_one_line_says_so():
    assert advice_on_webgpu(gpus.webgpu(gpus.RADEON, gpus.UHD)) == (
        "runs on the CPU, but there is a GPU (AMD 1002:744c, Vulkan): try --device webgpu"
    )
    assert advice_on_webgpu(gpus.webgpu()) is None
    assert advice_on_webgpu(gpus.webgpu(gpus.PROCESSOR)) is None
    assert advice_on_webgpu(gpus.NO_PLUGIN) is None


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device, said", [("auto", 1), ("cpu", 0)])
def test_who_asks_for_the_cpu_is_told_of_no_gpu(device, said):
    notices = []
    runner = load_runner(
        "fmanet-xs", device=device, precision="float32", on_notice=notices.append,
        webgpu=gpus.webgpu(gpus.RADEON),
    )  # fmt: skip
    assert runner.info.device == "cpu"
    assert len(notices) == said
    load_runner("fmanet-xs", device=device, loaded=runner, on_notice=notices.append)
    assert len(notices) == said


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return load_checkpoint("fmanet-xs")


@pytest.mark.slow
def test_a_gpu_that_is_not_nvidias_is_compared_with_the_cpu_once(checkpoint):
    first, second = gpus.Drifting(checkpoint), gpus.Drifting(checkpoint)
    require_like_cpu(first, checkpoint, Accelerators(gpus.INTEL))
    require_like_cpu(second, checkpoint, Accelerators(gpus.INTEL))
    assert first.count > 0
    assert second.count == 0


@pytest.mark.parametrize("error, precision, words", [
    (0.01, "float32", r"xpu:0 \(Arc B580, XPU\) does not agree with the CPU: 40 dB,"
     " but float32 needs 60"),
    (0.01, "float16", "40 dB, but float16 needs 50"),
    (float("nan"), "float32", "-inf dB"),
])  # fmt: skip
@pytest.mark.slow
def test_one_that_computes_something_else_is_refused_each_time(checkpoint, error, precision, words):
    for _ in range(2):
        with pytest.raises(DisagreementError, match=words) as refused:
            require_like_cpu(
                gpus.Drifting(checkpoint, error, precision), checkpoint, Accelerators(gpus.INTEL)
            )
        assert "--device cpu" in refused.value.hint


def test_nvidias_gpus_and_the_cpu_are_not_compared(checkpoint):
    wrong = gpus.Drifting(checkpoint, error=1.0)
    require_like_cpu(wrong, checkpoint, Accelerators(gpus.NVIDIA))
    assert wrong.count == 0
    require_like_cpu(TorchRunner(checkpoint, "cpu", "float32"), checkpoint)


# A GPU that torch knows nothing of, neither "cpu" nor "cuda": its tensors have shapes and no
# numbers, and an operation on tensors of two devices is an error. It is the whole process's. Of
# vsrdb's own operators only the filter has a kernel for every device.
ANOTHER_GPU = """
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

_setup_privateuseone_for_python_backend("gpu")
mode = FakeTensorMode()

def there(tensor):
    return FakeTensor(mode, torch.empty_like(tensor, device="meta"), torch.device("gpu:0"))

class Operators(TorchDispatchMode):
    used = set()

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        self.used.add(str(operator))
        return operator(*arguments, **(options or {}))

for dtype in (torch.float32, torch.float16):
    network = FMANet(FMANetConfig()).eval().requires_grad_(False).to(dtype).prepare()
    for module in network.modules():
        for name, weight in module._parameters.items():
            module._parameters[name] = None if weight is None else there(weight)
    with mode, torch.inference_mode(), Operators():
        features = network.encode(there(torch.empty(1, 3, 34, 45)))
        restored = network.restore([features] * 3)
    print(restored.device, tuple(restored.shape))
print(*(name for name in Operators.used if name.startswith("vsrdb")))
"""


@pytest.mark.slow
def test_on_any_other_gpu_the_network_stays_there_from_frame_to_picture():
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_GPU], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines == [*["gpu:0 (1, 3, 136, 180)"] * 2, "vsrdb.fgdf.default"], done.stderr
