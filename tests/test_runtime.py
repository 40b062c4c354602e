"""The library leaves its process as it finds it; the command, and whoever asks for it, tunes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import clips
import pytest
import torch

from vsrdb_cli import runtime
from vsrdb_cli.backends.precision import ieee_float32

GNU = Path("/proc/self/maps").is_file()
# Prints the state of its process before and after the work of a program, and amid it.
PROGRAM = """
import ctypes, json, os, signal, sys, threading
from pathlib import Path

def heap_keeps():
    from vsrdb_cli.runtime import kept_bytes
    block = torch.ones(256 << 18)
    before = kept_bytes()
    del block
    return kept_bytes() - before > 200 << 20

def threads_of_torch():
    counted = []
    asking = threading.Thread(target=lambda: counted.append(torch.get_num_threads()))
    asking.start()
    asking.join()
    return counted[0]

def state():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "environment": dict(os.environ),
        "compiler": "torch._dynamo" in sys.modules,  # takes two seconds to load
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "threads of torch": [torch.get_num_threads(), threads_of_torch()],
        "TF32": [cudnn.allow_tf32, matmul.allow_tf32, torch.get_float32_matmul_precision()],
        "torch": [cudnn.benchmark, cudnn.deterministic, torch.is_grad_enabled(),
                  torch.are_deterministic_algorithms_enabled(), torch.initial_seed() > 0],
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "scheduling": os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None,
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "heap": heap_keeps(),
    }

import torch
torch.set_num_threads(2)
torch.ones(1 << 20).sum()  # torch's own threads are there
before = state()
import vsrdb_cli as vsrdb
amid = []
work()
print(json.dumps([before, amid, state()]))
"""
WORK = """
import numpy as np
def work():
    vsrdb.load_runner("fmanet-xs", device="cpu", precision="float32")
    pictures = [np.full((24, 32, 3), level, np.uint8) for level in (100, 110, 120)]
    def watched():
        for picture in pictures:
            amid.append([torch.get_num_threads(), threads_of_torch()])
            yield picture
    list(vsrdb.restore_frames(watched(), vsrdb.load_runner("bicubic")))
    list(vsrdb.restore_frames(pictures, vsrdb.load_runner("fmanet-xs", device="cpu")))
    for codec in ("h264", "av1"):  # SVT-AV1 sets priorities, and reads the environment
        encoder = vsrdb.EncoderOptions(codec=codec)
        vsrdb.restore_video(
            sys.argv[1], sys.argv[2] + f"/{codec}.mkv",
            vsrdb.RestoreOptions(weights="bicubic", encoder=encoder),
            on_progress=lambda progress: amid.append([torch.get_num_threads(), threads_of_torch()]),
        )
"""


def states(code, *arguments, **environment):
    """The state of a process before `code` works, the counts of threads amid it, and after."""
    clean = {name: value for name, value in os.environ.items() if name not in (
        "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True, capture_output=True, text=True, env=clean | environment,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_restoring_from_a_program_changes_nothing_of_its_process(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=4, height=32, width=48)
    before, amid, after = states(WORK + PROGRAM, source, tmp_path)
    assert after == before
    assert len(amid) > 3
    assert all(counts == [2, 2] for counts in amid)


@pytest.mark.slow
@pytest.mark.linux
def test_a_program_may_have_its_process_tuned_after_it_has_loaded_torch():
    work = "def work():\n    vsrdb.configure_runtime()\n    vsrdb.load_runner('bicubic')\n"
    before, _, after = states(work + PROGRAM)
    assert (before["heap"], after["heap"]) == (False, True)
    assert set(after["threads"]) - set(before["threads"]) == {"vsrdb-parked"}
    assert after["environment"] == before["environment"]


@pytest.mark.slow
@pytest.mark.parametrize("name, value", [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "9")])
def test_a_decision_on_how_threads_wait_stands(name, value):
    work = "def work():\n    vsrdb.configure_runtime()\n    vsrdb.load_runner('bicubic')\n"
    before, _, after = states(work + PROGRAM, **{name: value})
    assert after["threads"] == before["threads"]
    assert after["environment"][name] == value


@pytest.mark.parametrize("command, policy", [
    ("import vsrdb_cli", None),
    ("import vsrdb_cli; vsrdb_cli.configure_runtime()", "PASSIVE"),
    ("from vsrdb_cli.cli import main; main(['weights', 'list'], standalone_mode=False)", "PASSIVE"),
])  # fmt: skip
@pytest.mark.slow
def test_the_command_sets_how_threads_wait_before_torch_is_loaded(command, policy):
    say = "import json, os, sys; print(json.dumps(os.environ.get('OMP_WAIT_POLICY')))"
    assert states(f"{command}; {say}") == policy


def flags():
    """What torch's older and newer flags say of TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    newer = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision
    return cudnn.allow_tf32, matmul.allow_tf32, newer


def test_float32_is_not_rounded_to_tf32_while_a_gpu_computes():
    gpu, before = torch.device("cuda"), flags()
    with ieee_float32(gpu):
        assert flags()[:2] == (False, False)
        first, second = ieee_float32(gpu), ieee_float32(gpu)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        second.__exit__(None, None, None)
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert flags() == before


def test_the_newer_flags_of_a_program_return_too():
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"  # from now on the older flag cannot be read
    try:
        with ieee_float32(torch.device("cuda")):
            assert conv.fp32_precision == "ieee"
        assert conv.fp32_precision == "ieee"
        assert torch.backends.cudnn.rnn.fp32_precision == "tf32"
    finally:
        conv.fp32_precision = before


def test_variables_are_set_for_a_while_and_those_of_the_user_are_kept(monkeypatch):
    monkeypatch.setenv("VSRDB_ONE", "own")
    with runtime.environment(VSRDB_ONE="1", VSRDB_TWO="2"):
        assert (os.environ["VSRDB_ONE"], os.environ["VSRDB_TWO"]) == ("own", "2")
    assert os.environ["VSRDB_ONE"] == "own"
    assert "VSRDB_TWO" not in os.environ
