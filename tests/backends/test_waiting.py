"""Threads of the network wait asleep, whichever was imported first, torch or vsrdb."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,  # each starts a Python that imports torch
    pytest.mark.skipif(
        not Path("/proc/self/maps").is_file(), reason="looks into /proc, which only Linux has"
    ),
]
SAY = """
import json, os
from vsrdb_cli.backends import load_runner
def threads(): return len(os.listdir("/proc/self/task"))
torch.ones(1 << 20).sum()  # torch's own threads are there
before = threads()
runners = [load_runner("fmanet-xs", device="cpu", precision="float32") for _ in range(2)]
print(json.dumps([os.environ.get("OMP_WAIT_POLICY"), threads() - before]))
"""


def said(imports, **environment):
    """The waiting policy in the environment, and how many threads loading runners has begun."""
    clean = {name: value for name, value in os.environ.items() if name not in (
        "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", imports + SAY],
        check=True, capture_output=True, text=True, env=clean | environment,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_vsrdb_imported_first_sets_the_policy_that_torch_reads():
    policy, begun = said("import vsrdb_cli, torch")
    assert policy == "PASSIVE"
    assert begun == 0


def test_with_torch_imported_first_more_threads_sleep_than_there_are_cores():
    # GNU OpenMP cuts spinning short once it manages more threads than it has cores.
    policy, begun = said("import torch, vsrdb_cli")
    assert policy is None
    assert begun == len(os.sched_getaffinity(0)) + 1  # the one that parks them, and its team


@pytest.mark.parametrize("name, value", [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "9")])
def test_who_has_decided_is_left_alone(name, value):
    policy, begun = said("import torch, vsrdb_cli", **{name: value})
    assert policy in (None, "ACTIVE")
    assert begun == 0
