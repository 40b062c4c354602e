from types import SimpleNamespace

import torch

from vsrdb_cli import memory
from vsrdb_cli.backends.allocator import keep_freed_memory, kept_bytes

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
