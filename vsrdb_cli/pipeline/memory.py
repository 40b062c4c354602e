"""How much memory is free, and whether an error says that it ran out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from vsrdb_cli.backends.allocator import kept_bytes
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import ResourceError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.prefetch import DEPTH
from vsrdb_cli.pipeline.tiling import choose_tile, least_memory

# Of what is free, the share a run may plan with; the rest is for decoding, encoding and others.
SHARE = 0.75

# Where Linux says which groups a process is in, and what they may take.
_GROUPS_OF_PROCESS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")

# In words of torch, CUDA and ONNX Runtime; oneDNN and cuDNN, which find no room for their
# scratchpads, say no more than what they could not create or find.
_SAID = (
    *("can't allocate memory", "out of memory", "bad_alloc", "status_alloc_failed"),
    *("could not create a primitive", "could not create a memory object"),
    "unable to find an engine",
)


def available_bytes(device: str) -> int:
    """Free bytes on `device` ("cpu", "cuda:0"); on the CPU within this container's limit too.

    What this process has freed and kept counts as free.
    """
    if device.startswith("cuda"):
        gpu = torch.device(device)
        free, _ = torch.cuda.mem_get_info(gpu)
        # What torch keeps of freed tensors: the driver counts it as taken. Also where CUDA graphs
        # work: the runner's estimate counts that, and pictures of another size get it back.
        kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
        return int(free) + kept
    free = int(psutil.virtual_memory().available)
    return min(free, *_free_in_groups(), free) + kept_bytes()


def _free_in_groups() -> Iterator[int]:
    """Free bytes of every control group with a limit that this process is in, and around it.

    A container's limit, or one that a service or a job scheduler has set.
    """
    try:
        lines = _GROUPS_OF_PROCESS.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2
            root, files = _GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):  # version 1
            root = _GROUPS / "memory"
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
    """Free bytes of one group; None without a limit."""
    try:
        most, taken = (int((group / name).read_text()) for name in (limit, used))
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not there, or "max"
        return None
    # Pages of files that nobody uses are given up before anything runs out.
    return max(most - taken + int(facts.get(cached, 0)), 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is torch's or a runtime's way of saying that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in words for phrase in _SAID)


def ran_out(doing: str) -> ResourceError:
    """What is said where memory ran out beside the network, which works in tiles."""
    return ResourceError(
        f"memory ran out while {doing}",
        hint="close other programs, choose a smaller --scale, or scale the input down first",
    )


# Of the output, what libx264 holds at its default preset: pictures it looks ahead at, and those
# it refers to, with their half-pixel planes. Threads, decoder and containers, whatever the size.
_ENCODER_BYTES_PER_PIXEL = 100
_FIXED_BYTES = 25 << 20


def pipeline_bytes(height: int, width: int, *, scale: int, bit_depth: int) -> int:
    """What a video takes beside the network, on the CPU: frames in flight, and the encoder.

    Args:
        height, width: of the input.
        bit_depth: of a frame's colours, 8 or 16.
    """
    lr, hr = height * width, height * width * scale**2
    colours = 3 * (1 if bit_depth == 8 else 2)
    queued = (lr + hr) * (DEPTH + 2) * colours  # in a queue, and at either end of it
    windows = lr * 3 * 3 * 4  # the frames of a window in float32
    return queued + windows + hr * _ENCODER_BYTES_PER_PIXEL + _FIXED_BYTES


def network_budget(
    device: str,
    options: RestoreOptions,
    size: tuple[int, int],
    *,
    bit_depth: int,
    share: float = 1.0,
) -> int:
    """Bytes of `device` that the network may take for a video; see `settle_tile`."""
    budget = int(available_bytes(device) * SHARE * share)
    if device == "cpu":
        budget -= pipeline_bytes(*size, scale=options.scale, bit_depth=bit_depth)
    return budget


def settle_tile(
    runner: Runner,
    options: RestoreOptions,
    size: tuple[int, int],
    *,
    bit_depth: int,
    share: float = 1.0,
    device: str | None = None,
) -> int | None:
    """The side of the tiles a video is restored in; None for whole pictures.

    The only answer there is, whoever asks: what a run does and what a dry run says of it.

    Args:
        size: (height, width) of the video.
        bit_depth: of the output's frames.
        share: of the free memory, where several processes work on one device.
        device: where, if not on the runner's own.

    Raises:
        ResourceError: not even the smallest tiles fit.
    """
    if not isinstance(options.tile, str):
        return options.tile
    device = device or runner.info.device
    budget = network_budget(device, options, size, bit_depth=bit_depth, share=share)
    tile = choose_tile(runner, *size, budget)
    if tile is None:
        raise _too_little(
            runner, options, size, budget, bit_depth=bit_depth, on_cpu=device == "cpu"
        )
    return tile if tile < max(size) else None


def _too_little(
    runner: Runner,
    options: RestoreOptions,
    size: tuple[int, int],
    budget: int,
    *,
    bit_depth: int,
    on_cpu: bool,
) -> ResourceError:
    """What is said where no tiles fit."""
    side, needed = least_memory(runner, *size)
    beside = {s: pipeline_bytes(*size, scale=s, bit_depth=bit_depth) for s in range(1, 5)}
    here = beside[options.scale] if on_cpu else 0
    hint = "close other programs, or use a smaller network: vsrdb weights list"
    fitting = [s for s in range(1, options.scale) if needed + beside[s] <= budget + here]
    if here and fitting:
        hint = f"--scale {fitting[-1]} fits; or close other programs"
    height, width = size
    takes, free = (needed + here) / 2**30, (budget + here) / 2**30
    return ResourceError(
        f"restoring {width}x{height} takes {takes:.1f} GiB even in tiles of {side} pixels, which"
        f" take least, and only {free:.1f} GiB is available",
        hint=hint,
    )
