"""What this machine can do, found out by doing it: backends run, encoders encode."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from vsrdb_cli import __version__
from vsrdb_cli.backends import ENGINES, try_network
from vsrdb_cli.backends.devices import (
    ACCELERATORS,
    GPUS,
    Accelerators,
    cores,
    list_devices,
    unused_gpus,
)
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.checkpoints.registry import bundled_models, default_weights
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.pipeline.memory import available_bytes
from vsrdb_cli.video.containers.capabilities import suffixes_for
from vsrdb_cli.video.containers.opening import library_versions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.writing.encoders import ENCODERS
from vsrdb_cli.video.writing.hardware import HARDWARE
from vsrdb_cli.video.writing.output import resolve_output

# Packages whose versions matter; the distributions' names.
_PACKAGES = (
    *("torch", "av", "numpy", "safetensors", "onnx", "onnxruntime", "onnxruntime-gpu", "triton"),
    *("tensorrt", "tensorrt-rtx"),
)
# Below this a run of any length is in danger.
_LITTLE_DISK, _LITTLE_MEMORY = 2 << 30, 1 << 30
_FRAMES = 3


class State(Enum):
    """Of one thing looked at."""

    WORKS = "works"
    ABSENT = "absent"  # not set up, and nothing that is needed
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. mend: the line that helps, where something does not work."""

    kind: str
    name: str
    state: State
    detail: str
    mend: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"state": self.state.value}


def examine() -> Iterator[Finding]:
    """Everything, one after another; lazily, since some of it takes seconds."""
    yield from _versions()
    yield from look_at_devices()
    yield from _weights()
    yield from _backends()
    yield from _encoders()
    yield from _space()


def examine_nodes(address: str, folder: Path) -> Iterator[Finding]:
    """Every node of a Ray cluster, by trying it.

    Args:
        folder: where videos lie.

    Raises:
        VsrdbError: Ray is not installed, or there is no cluster.
    """
    from vsrdb_cli.cluster.check import ask_nodes

    states = {True: State.WORKS, False: State.PROBLEM, None: State.ABSENT}
    for name, works, detail, hint in ask_nodes(address, folder):
        yield Finding("node", name, states[works], detail, hint)


def _versions() -> Iterator[Finding]:
    def version(name: str, detail: str) -> Finding:
        return Finding("version", name, State.WORKS, detail)

    yield version("vsrdb", __version__)
    yield version("python", f"{platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        try:
            yield version(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}" for name, number in library_versions().items()
    )
    yield version("ffmpeg", libraries)


def look_at_devices(
    accelerators: Accelerators = ACCELERATORS, gpus: Path = GPUS
) -> Iterator[Finding]:
    """Tell of the processor and the GPUs; `gpus` is where Linux lists those."""
    yield Finding(
        "device",
        "cpu",
        State.WORKS,
        f"{cores()} cores, {torch.backends.cpu.get_cpu_capability()}, torch uses"
        f" {torch.get_num_threads()} threads",
    )
    for name in accelerators.names:
        free, total = accelerators.memory(name)
        detail = (
            f"{accelerators.describe(name)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        )
        yield Finding("device", name, State.WORKS, detail)
    seen = unused_gpus(accelerators, gpus)
    for maker, install in seen:
        # On an NVIDIA GPU people count; a processor's own may not be worth it.
        state = State.PROBLEM if maker == "NVIDIA" else State.ABSENT
        detail = f"there is a GPU, and torch {torch.__version__} does not use it"
        yield Finding("device", maker, state, detail, install)
    if not accelerators.names and not seen:
        yield Finding("device", "gpu", State.ABSENT, f"torch {torch.__version__} finds none")


def _weights() -> Iterator[Finding]:
    for model in bundled_models():
        yield _tried("weights", model.name, partial(_load, model.name))


def _load(name: str) -> str:
    checkpoint = load_checkpoint(name)
    return f"{checkpoint.parameters:,} parameters, sha256 {checkpoint.sha256[:12]}"


def _backends() -> Iterator[Finding]:
    run = partial(try_network, default_weights())
    for device in list_devices():
        yield _tried("backend", f"torch {device}", partial(run, backend="torch", device=device))
    for backend in ("onnxruntime", *ENGINES):
        found = _tried("backend", backend, partial(run, backend=backend))
        # Nobody needs them; that one is not installed, or has nothing to run yet, is no fault.
        yield replace(found, state=State.ABSENT) if found.state is State.PROBLEM else found


def _encoders() -> Iterator[Finding]:
    info = VideoInfo.synthetic(256, 192, _FRAMES)
    for codec in ENCODERS:
        yield _tried("encoder", codec, partial(_encode, codec, info))
    for hardware, encoders in HARDWARE.items():
        found = [
            _tried(
                "encoder",
                f"{codec} on {hardware}",
                partial(_encode, codec, info, hardware=hardware),
            )
            for codec in encoders
        ]
        works = [finding for finding in found if finding.state is State.WORKS]
        # Nobody needs one. Where none works, the reason is the same for all codecs.
        yield from works or [replace(found[0], name=hardware, state=State.ABSENT, mend=None)]


def _encode(codec: str, info: VideoInfo, *, hardware: str = "none") -> str:
    """Write a few frames and have them compared with what was sent."""
    suffix = suffixes_for(codec)[0]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"try{suffix}"
        output = resolve_output(path, info, 1, EncoderOptions(codec=codec, hardware=hardware))
        dtype = torch.uint8 if output.bit_depth == 8 else torch.uint16
        with output.open() as writer:
            for index in range(_FRAMES):
                rgb = torch.full((3, info.height, info.width), 40 * (index + 1)).to(dtype)
                writer.write(Frame(rgb, index, 1))
            writer.commit(_FRAMES)
    seconds = time.monotonic() - started
    return f"{output.description.split()[0]}, {suffix}, {_FRAMES} frames in {seconds:.2f} s"


def _space() -> Iterator[Finding]:
    free = available_bytes("cpu")
    yield Finding(
        "space",
        "memory",
        State.WORKS if free >= _LITTLE_MEMORY else State.PROBLEM,
        f"{free / 2**30:.1f} of {psutil.virtual_memory().total / 2**30:.1f} GiB free",
        None if free >= _LITTLE_MEMORY else "close other programs, or restore with --tile 128",
    )
    for folder in dict.fromkeys((Path.cwd(), Path(tempfile.gettempdir()))):
        usage = shutil.disk_usage(folder)
        enough = usage.free >= _LITTLE_DISK
        yield Finding(
            "space",
            str(folder),
            State.WORKS if enough else State.PROBLEM,
            f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free",
            None if enough else f"free some space: du -sh '{folder}'/* | sort -h",
        )


def _tried(kind: str, name: str, attempt: Callable[[], str]) -> Finding:
    """What became of an attempt; whatever it raises is the finding."""
    try:
        return Finding(kind, name, State.WORKS, attempt())
    except VsrdbError as error:
        return Finding(kind, name, State.PROBLEM, str(error), error.hint)
    except Exception as error:  # this is to find out what is broken, in whatever way
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(kind, name, State.PROBLEM, words, "pip install --force-reinstall vsrdb")
