"""Answers that take a second to find and stay the same on a machine, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from platformdirs import user_cache_path

import vsrdb_cli.network
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import whole

_MOST = 100


def agreement(sha256: str, device: torch.device, precision: str, find: Callable[[], bool]) -> bool:
    """Whether a network agrees with itself in a lower precision: remembered, or else found out.

    What is remembered holds for this machine and device, these weights, this torch and this code
    of the network. A cache that cannot be read or written costs time and nothing else.

    Args:
        sha256: of the weights.
        find: finds it out.
    """
    key = " ".join((platform.node(), _hardware(device), torch.__version__, _code()))
    key = f"{key} {sha256} {precision}"
    file = user_cache_path("vsrdb", appauthor=False) / "precision.json"
    known = _read(file)
    if key in known:
        return known[key]
    answer = find()
    kept = list(known.items())[1 - _MOST :]
    with suppress(OSError, OutputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as temporary:
            temporary.write_text(json.dumps(dict([*kept, (key, answer)]), indent=1))
    return answer


def _read(file: Path) -> dict[str, bool]:
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(known, dict) and all(isinstance(value, bool) for value in known.values()):
            return known
    return {}


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _code() -> str:
    """The network's modules in short: another way to compute gives other roundings."""
    digest = hashlib.sha256()
    for folder in vsrdb_cli.network.__path__:
        for file in sorted(Path(folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
