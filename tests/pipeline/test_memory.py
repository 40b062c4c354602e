from types import SimpleNamespace

import pytest
import torch

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.pytorch import estimate_memory
from vsrdb_cli.errors import ResourceError
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline import memory
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.runtime import keep_freed_memory, kept_bytes

MIB = 1 << 20


def test_what_the_process_freed_and_kept_is_known():
    keep_freed_memory()
    block = torch.ones(256 * MIB // 4)
    before = kept_bytes()
    del block
    assert kept_bytes() - before > 240 * MIB


def test_what_the_process_freed_and_kept_counts_as_free(monkeypatch):
    monkeypatch.setattr(memory, "kept_bytes", lambda: 1 << 50)
    assert memory.available_bytes("cpu") > 1 << 50


def version_2(limit, used, inactive=0):
    limit = limit if limit == "max" else str(limit * MIB)
    stat = f"anon 5\ninactive_file {inactive * MIB}\n"
    return {"memory.max": limit, "memory.current": str(used * MIB), "memory.stat": stat}


def version_1(limit, used, inactive=0):
    names = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"
    return dict(zip(names, version_2(limit, used, inactive).values(), strict=True)) | {
        "memory.stat": f"total_inactive_file {inactive * MIB}\n"
    }


@pytest.mark.parametrize("lines, made, free", [
    ("", {}, 64),
    ("0::/\n", {"": version_2(30, 10)}, 20),
    ("0::/\n", {"": version_2("max", 10)}, 64),
    ("0::/\n", {"": version_2(30, 28, inactive=7)}, 9),  # what files keep is given up at need
    ("0::/\n", {"": version_2(30, 31)}, 0),
    ("0::/job/step\n", {"job/step": version_2(50, 10), "job": version_2(30, 12)}, 18),
    ("0::/job/step\n", {"job/step": version_2("max", 10), "job": version_2(30, 12)}, 18),
    ("0::/job/step\n", {"job/step": version_2(14, 10), "job": version_2("max", 12)}, 4),
    ("0::/../host/name\n", {"": version_2(30, 10)}, 20),  # a container that sees the host's name
    ("5:cpu,memory:/docker/abc\n", {"memory/docker/abc": version_1(30, 10)}, 20),
    ("5:memory:/docker/abc\n0::/\n", {"memory": version_1(30, 10, inactive=2)}, 22),
    ("5:memory:/\n", {"memory": version_1(1 << 43, 10)}, 64),  # version 1 has no "max"
    ("4:cpu:/x\n", {"cpu/x": version_1(30, 10)}, 64),
])  # fmt: skip
def test_limits_of_control_groups_around_the_process_count(tmp_path, lines, made, free):
    own, groups = tmp_path / "self", tmp_path / "cgroup"
    own.write_text(lines)
    for folder, files in made.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (groups / folder / name).write_text(text)
    found = memory.within_groups(64 * MIB, groups_of_process=own, groups=groups)
    assert found == free * MIB


class Paper(BuiltinRunner):
    """Takes the memory of FMA-Net as in the paper, in float32."""

    network = FMANet(FMANetConfig())

    def __init__(self):
        super().__init__("nearest")

    def memory(self, height, width):
        return estimate_memory(self.network, height, width)


@pytest.mark.parametrize("width, height, scale", [
    (640, 360, 4), (1280, 720, 4), (1920, 1080, 4), (3840, 2160, 1),
])  # fmt: skip
def test_up_to_4k_is_restored_in_8_gib_by_the_papers_network(width, height, scale):
    spec = RestoreSpec.of(RestoreOptions(scale=scale), (height, width), 8)
    tile = memory.resolve_tile(Paper(), spec, available=lambda device: 8 << 30)
    assert tile is not None
    assert tile >= 96


def test_where_a_smaller_scale_would_fit_the_hint_says_so():
    spec = RestoreSpec((2160, 3840), 8)
    says = r"restoring 3840x2160 needs at least \d\d.\d GiB \(tiles of 96 pixels\); 6.0 GiB"
    with pytest.raises(ResourceError, match=says) as refused:
        memory.resolve_tile(Paper(), spec, available=lambda device: 8 << 30)
    assert refused.value.hint.startswith("--scale 1 fits")
    with pytest.raises(ResourceError) as refused:
        memory.resolve_tile(Paper(), spec, available=lambda device: 1 << 30)
    assert "smaller network" in refused.value.hint


@pytest.mark.parametrize("device", ["cuda:0", "xpu:0", "mps"])
def test_on_a_gpu_its_own_memory_counts(device):
    gpus = SimpleNamespace(memory=lambda name: ({device: 43}[name], 80))
    assert memory.available_bytes(device, gpus) == 43


@pytest.mark.parametrize("words, ran_out", [
    ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate", True),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
    ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
    ("GET was unable to find an engine to execute this computation", True),
    ("CUDA out of memory. Tried to allocate 2 GiB", True), ("could not create a primitive", True),
    ("XPU out of memory. Tried to allocate 2 GiB. GPU 0 has a total capacity of 8 GiB", True),
    ("HIP out of memory. Tried to allocate 2 GiB", True), ("miopenStatusAllocFailed", True),
    ("MPS backend out of memory (MPS allocated: 6 GiB, max allowed: 9 GiB).", True),
    ("Invalid buffer size: 14.24 GiB", True),
    ("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)", True),
    ("level_zero backend failed with error: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)", True),
    ("level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)", False),
    ("mat1 and mat2 shapes cannot be multiplied", False),
])  # fmt: skip
def test_runtimes_say_in_many_ways_that_memory_ran_out(words, ran_out):
    assert memory.is_out_of_memory(RuntimeError(words)) == ran_out
    assert not memory.is_out_of_memory(ValueError(words))
