from types import SimpleNamespace

import pytest
import torch

from vsrdb_cli.backends.allocator import keep_freed_memory, kept_bytes
from vsrdb_cli.pipeline import memory

MIB = 1 << 20


def test_what_the_process_freed_and_kept_is_known():
    keep_freed_memory()
    block = torch.ones(256 * MIB // 4)
    before = kept_bytes()
    del block
    assert kept_bytes() - before > 240 * MIB


def test_what_was_freed_and_kept_counts_as_free(monkeypatch, tmp_path):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=MIB))
    monkeypatch.setattr(memory, "kept_bytes", lambda: 5 * MIB)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available_bytes("cpu") == 6 * MIB
    (tmp_path / "memory.max").write_text(str(9 * MIB))
    (tmp_path / "memory.current").write_text(str(8 * MIB))
    assert memory.available_bytes("cpu") == 6 * MIB
    (tmp_path / "memory.current").write_text(str(9 * MIB))
    assert memory.available_bytes("cpu") == 5 * MIB


@pytest.mark.parametrize("words, ran_out", [
    ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate", True),
    ("CUDA out of memory. Tried to allocate 2 GiB", True), ("could not create a primitive", True),
    ("mat1 and mat2 shapes cannot be multiplied", False),
])  # fmt: skip
def test_runtimes_say_in_many_ways_that_memory_ran_out(words, ran_out):
    assert memory.is_out_of_memory(RuntimeError(words)) == ran_out
    assert not memory.is_out_of_memory(ValueError(words))
