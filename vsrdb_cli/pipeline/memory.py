"""How much memory is free, and whether an error says that it ran out."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from vsrdb_cli.backends.allocator import kept_bytes
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.prefetch import DEPTH
from vsrdb_cli.pipeline.tiling import choose_tile

# Of what is free, the share a run may plan with; the rest is for decoding, encoding and others.
SHARE = 0.75

_CGROUP = Path("/sys/fs/cgroup")

# In words of torch, CUDA and ONNX Runtime; oneDNN, which finds no room for its scratchpad, says no
# more than what it could not create.
_SAID = (
    *("can't allocate memory", "out of memory", "bad_alloc"),
    *("could not create a primitive", "could not create a memory object"),
)


def available_bytes(device: str) -> int:
    """Free bytes on `device` ("cpu", "cuda:0"); on the CPU within this container's limit too.

    What this process has freed and kept counts as free.
    """
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        return int(free)
    kept = kept_bytes()
    free = int(psutil.virtual_memory().available) + kept
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return min(free, max(limit - used, 0) + kept)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is torch's or a runtime's way of saying that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in words for phrase in _SAID)


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


def settle_tile(
    runner: Runner,
    options: RestoreOptions,
    size: tuple[int, int],
    *,
    bit_depth: int,
    share: float = 1.0,
) -> int | None:
    """The side of the tiles a video is restored in; None for whole pictures.

    The only answer there is, whoever asks: what a run does and what a dry run says of it.

    Args:
        size: (height, width) of the video.
        bit_depth: of the output's frames.
        share: of the free memory, where several processes work on one device.

    Raises:
        OptionError: not even the smallest tiles fit.
    """
    if not isinstance(options.tile, str):
        return options.tile
    device = runner.info.device
    budget = int(available_bytes(device) * SHARE * share)
    beside = 0
    if device == "cpu":
        beside = pipeline_bytes(*size, scale=options.scale, bit_depth=bit_depth)
    tile = choose_tile(runner, *size, budget, beside=beside)
    return tile if tile < max(size) else None
