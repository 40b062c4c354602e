"""Memory: how much is free, how much a run needs, and errors that mean that it ran out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from vsrdb_cli.backends.devices import ACCELERATORS, Accelerators
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.device_kinds import is_torchs, kind_of
from vsrdb_cli.errors import ResourceError
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import choose_tile, least_memory, tiled
from vsrdb_cli.runtime import kept_bytes

# Share of the free memory that a run may use; the rest is for decoding, encoding and others.
SHARE = 0.75

# Taken for free on a GPU by WebGPU, which tells nothing of memory: most cards have it, and a GPU
# inside the processor shares the computer's. If it is not there, tiles get smaller.
_OF_WEBGPU = 4 << 30

# Where Linux lists the control groups of a process, and their limits.
GROUPS_OF_PROCESS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")

# Phrases of torch, CUDA, ROCm, Level Zero, Metal and ONNX Runtime; without memory for their
# scratchpads, oneDNN and cuDNN only name what they could not create or find.
_PHRASES = (
    *("can't allocate memory", "out of memory", "bad_alloc", "status_alloc_failed"),
    *("could not create a primitive", "could not create a memory object"),
    *("unable to find an engine", "invalid buffer size", "miopenstatusallocfailed"),
    *("error_out_of_device_memory", "error_out_of_host_memory", "error_out_of_resources"),
)


def available_bytes(device: str, accelerators: Accelerators = ACCELERATORS) -> int:
    """Return the free bytes of `device` ("cpu", "cuda:0"), within limits such as a container's.

    Memory that this process has freed and kept counts as free.
    """
    if kind_of(device) and is_torchs(device):
        free, _ = accelerators.memory(device)
        return free
    free = within_groups(int(psutil.virtual_memory().available)) + kept_bytes()
    return free if is_torchs(device) else min(free, _OF_WEBGPU)


def within_groups(
    free: int, *, groups_of_process: Path = GROUPS_OF_PROCESS, groups: Path = GROUPS
) -> int:
    """Return `free` bytes, or fewer where a control group limits this process.

    A container, a service or a job scheduler sets such limits.
    """
    return min((free, *_free_in_groups(groups_of_process, groups)))


def _free_in_groups(groups_of_process: Path, groups: Path) -> Iterator[int]:
    """Yield the free bytes of every control group with a limit that this process is in."""
    try:
        lines = groups_of_process.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2
            root, files = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):  # version 1
            root = groups / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the name may be the host's: then only the root is there.
        group = root / name.lstrip("/")
        while group.is_relative_to(root):
            free = _free_in_group(group, *files)
            if free is not None:
                yield free
            group = group.parent


def _free_in_group(group: Path, limit: str, used: str, cached: str) -> int | None:
    """Return the free bytes of a group; None without a limit."""
    try:
        most, taken = (int((group / name).read_text()) for name in (limit, used))
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not there, or "max"
        return None
    # Pages of files that nobody uses are dropped before anything runs out.
    return max(most - taken + int(facts.get(cached, 0)), 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch or of a runtime means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _PHRASES)


def ran_out(doing: str) -> ResourceError:
    """Create the error for memory that ran out beside the network, which works in tiles."""
    return ResourceError(
        f"memory ran out while {doing}",
        hint="close other programs, choose a smaller --scale, or scale the input down first",
    )


def usable_bytes(
    device: str, share: float = 1.0, available: Callable[[str], int] | None = None
) -> int:
    """Return how many bytes of `device` a run may use, or a share of them.

    Args:
        available: returns the free bytes of a device; None asks the system.
    """
    return int((available or available_bytes)(device) * SHARE * share)


def network_budget(
    device: str, spec: RestoreSpec, available: Callable[[str], int] | None = None
) -> int:
    """Return how many bytes of `device` the network may take.

    Args:
        available: returns the free bytes of a device; None asks the system.
    """
    budget = usable_bytes(device, spec.share, available)
    return budget - spec.pipeline_bytes if device == "cpu" else budget


def network_bytes(
    runner: Runner, spec: RestoreSpec, tile: int | None = None, budget: float = 0
) -> int:
    """Return how many bytes the network takes in tiles of side `tile`, or in whole pictures.

    Args:
        budget: in bytes; the features of all tiles are held where that fits into it.
    """
    return tiled(runner, *spec.size, tile, budget).memory(*spec.size).total(runner.length)


def least_bytes(runner: Runner, spec: RestoreSpec) -> int:
    """Return how many bytes a whole run takes at least: the network, and what is beside it."""
    _, network = least_memory(runner, *spec.size)
    return network + spec.pipeline_bytes


def resolve_tile(
    runner: Runner,
    spec: RestoreSpec,
    device: str | None = None,
    available: Callable[[str], int] | None = None,
) -> int | None:
    """Return the side of the tiles a video is restored in; None for whole pictures.

    Runs, workers and dry runs all ask here, so that they agree.

    Args:
        device: where the network will run, if not on the runner's own.
        available: returns the free bytes of a device; None asks the system.

    Raises:
        ResourceError: not even the smallest tiles fit.
    """
    if not isinstance(spec.tile, str):
        return spec.tile
    device = device or runner.info.device
    budget = network_budget(device, spec, available)
    tile = choose_tile(runner, *spec.size, budget)
    if tile is None:
        raise _too_little(runner, spec, budget, on_cpu=device == "cpu")
    return tile if tile < max(spec.size) else None


def _too_little(runner: Runner, spec: RestoreSpec, budget: int, *, on_cpu: bool) -> ResourceError:
    """Create the error for memory in which no tiles fit."""
    side, needed = least_memory(runner, *spec.size)
    here = spec.pipeline_bytes if on_cpu else 0
    scales = range(1, spec.scale)
    fitting = [s for s in scales if needed + replace(spec, scale=s).pipeline_bytes <= budget + here]
    hint = "close other programs, or use a smaller network: vsrdb weights list"
    if here and fitting:
        hint = f"--scale {fitting[-1]} fits; or close other programs"
    height, width = spec.size
    takes, free = (needed + here) / 2**30, (budget + here) / 2**30
    return ResourceError(
        f"restoring {width}x{height} needs at least {takes:.1f} GiB (tiles of {side} pixels);"
        f" {free:.1f} GiB is available",
        hint=hint,
    )
