"""Check what works on this machine by trying it: run backends, encode videos."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from vsrdb_cli.backends.webgpu import WEBGPU, WebGpu
from vsrdb_cli.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vsrdb_cli.checkpoints.registry import bundled_models, default_weights
from vsrdb_cli.device_kinds import is_torchs
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.pipeline.memory import available_bytes
from vsrdb_cli.video.containers.capabilities import suffixes_for
from vsrdb_cli.video.containers.opening import library_versions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.writing.encoders import ENCODERS
from vsrdb_cli.video.writing.hardware import HARDWARE
from vsrdb_cli.video.writing.output import Output, resolve_output

# Distributions whose versions matter.
_PACKAGES = (
    *("av", "numpy", "safetensors", "onnx", "onnxruntime", "onnxruntime-gpu"),
    *("onnxruntime-ep-webgpu", "triton", "tensorrt", "tensorrt-rtx"),
)
# Below this even a short run may fail.
_LITTLE_DISK, _LITTLE_MEMORY = 2 << 30, 1 << 30
_FRAMES = 3


class State(Enum):
    """Outcome of a check."""

    WORKS = "works"
    ABSENT = "absent"  # not set up, and not required
    PROBLEM = "problem"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check."""

    kind: str
    name: str
    state: State
    detail: str
    hint: str | None = None
    """The step that helps if something does not work."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = asdict(self) | {"state": self.state.value}
        return values | {"fix": values.pop("hint")}


def examine() -> Iterator[CheckResult]:
    """Run every check lazily, one after another, since some take seconds."""
    yield from check_versions()
    yield from check_devices()
    yield from check_weights()
    yield from check_backends()
    yield from check_encoders()
    yield from check_space()


def examine_nodes(address: str, folder: Path) -> Iterator[CheckResult]:
    """Check every node of a Ray cluster.

    Args:
        address: of the cluster.
        folder: contains the videos.

    Raises:
        VsrdbError: Ray is not installed, or there is no cluster.
    """
    from vsrdb_cli.cluster.check import ask_nodes

    states = {True: State.WORKS, False: State.PROBLEM, None: State.ABSENT}
    for name, works, detail, hint in ask_nodes(address, folder):
        yield CheckResult("node", name, states[works], detail, hint)


def check_versions() -> Iterator[CheckResult]:
    """Report the versions of vsrdb, Python, packages and FFmpeg."""

    def version(name: str, detail: str) -> CheckResult:
        return CheckResult("version", name, State.WORKS, detail)

    yield version("vsrdb", __version__)
    yield version("python", f"{platform.python_version()} on {platform.platform()}")
    yield version("torch", torch.__version__)  # names the build, which its metadata may not
    for name in _PACKAGES:
        try:
            yield version(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}" for name, number in library_versions().items()
    )
    yield version("ffmpeg", libraries)


def check_devices(
    accelerators: Accelerators = ACCELERATORS, gpus: Path = GPUS, webgpu: WebGpu = WEBGPU
) -> Iterator[CheckResult]:
    """Report the CPU and every GPU; `gpus` is where Linux lists them."""
    yield CheckResult(
        "device",
        "cpu",
        State.WORKS,
        f"{cores()} cores, {torch.backends.cpu.get_cpu_capability()}, torch uses"
        f" {torch.get_num_threads()} threads",
    )
    for name in accelerators.names:
        free, total = accelerators.memory(name)
        space = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        yield CheckResult("device", name, State.WORKS, f"{accelerators.describe(name)}, {space}")
    for adapter in webgpu.adapters():
        yield CheckResult("device", adapter.name, State.WORKS, adapter.hardware)
    unused = unused_gpus(accelerators, gpus)
    for maker, install in unused:
        # Whoever has an NVIDIA GPU counts on it; a processor's own may not be worth using.
        state = State.PROBLEM if maker == "NVIDIA" else State.ABSENT
        detail = f"torch {torch.__version__} finds no GPU, although there is one"
        yield CheckResult("device", maker, state, detail, install)
    if not accelerators.names and not unused:
        yield CheckResult("device", "gpu", State.ABSENT, f"torch {torch.__version__} finds no GPU")


def check_weights(
    load: Callable[[str], Checkpoint] = load_checkpoint,
) -> Iterator[CheckResult]:
    """Load all bundled weights."""

    def describe(name: str) -> str:
        checkpoint = load(name)
        return f"{checkpoint.parameters:,} parameters, sha256 {checkpoint.sha256[:12]}"

    for model in bundled_models():
        yield _try("weights", model.name, partial(describe, model.name))


def check_backends(
    run_network: Callable[..., str] = try_network, devices: Sequence[str] | None = None
) -> Iterator[CheckResult]:
    """Restore a frame with every backend, on `devices`; None for all of this machine."""
    run = partial(run_network, default_weights())
    others = [(backend, "auto") for backend in ("onnxruntime", *ENGINES)]
    for device in list_devices() if devices is None else devices:
        if is_torchs(device):
            yield _try("backend", f"torch {device}", partial(run, backend="torch", device=device))
        else:
            others.append(("onnxruntime", device))
    for backend, device in others:
        name = backend if device == "auto" else f"{backend} {device}"
        found = _try("backend", name, partial(run, backend=backend, device=device))
        # They are optional: one that is not installed, or not built yet, is no problem.
        yield replace(found, state=State.ABSENT) if found.state is State.PROBLEM else found


def check_encoders(choose_output: Callable[..., Output] = resolve_output) -> Iterator[CheckResult]:
    """Encode a few frames with every codec."""
    info = VideoInfo.synthetic(256, 192, _FRAMES)
    for codec in ENCODERS:
        yield _try("encoder", codec, partial(_encode, codec, info, choose_output))
    for hardware, encoders in HARDWARE.items():
        found = [
            _try(
                "encoder",
                f"{codec} on {hardware}",
                partial(_encode, codec, info, choose_output, hardware=hardware),
            )
            for codec in encoders
        ]
        works = [result for result in found if result.state is State.WORKS]
        # They are optional. Where none works, the reason is the same for all codecs.
        yield from works or [replace(found[0], name=hardware, state=State.ABSENT, hint=None)]


def _encode(
    codec: str, info: VideoInfo, choose_output: Callable[..., Output], *, hardware: str = "none"
) -> str:
    """Write a few frames, which the writer compares with what it was sent."""
    suffix = suffixes_for(codec)[0]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"try{suffix}"
        output = choose_output(path, info, 1, EncoderOptions(codec=codec, hardware=hardware))
        dtype = torch.uint8 if output.bit_depth == 8 else torch.uint16
        with output.open() as writer:
            for index in range(_FRAMES):
                rgb = torch.full((3, info.height, info.width), 40 * (index + 1)).to(dtype)
                writer.write(Frame(rgb, index, 1))
            writer.commit(_FRAMES)
    seconds = time.monotonic() - started
    return f"{output.description.split()[0]}, {suffix}, {_FRAMES} frames in {seconds:.2f} s"


def check_space(
    available: Callable[[str], int] = available_bytes,
    free_disk: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> Iterator[CheckResult]:
    """Check the free memory and the free space of the current and the temporary folder."""
    free = available("cpu")
    yield CheckResult(
        "space",
        "memory",
        State.WORKS if free >= _LITTLE_MEMORY else State.PROBLEM,
        f"{free / 2**30:.1f} of {psutil.virtual_memory().total / 2**30:.1f} GiB free",
        None if free >= _LITTLE_MEMORY else "close other programs, or restore with --tile 128",
    )
    for folder in dict.fromkeys((Path.cwd(), Path(tempfile.gettempdir()))):
        free = free_disk(folder)
        enough = free >= _LITTLE_DISK
        yield CheckResult(
            "space",
            str(folder),
            State.WORKS if enough else State.PROBLEM,
            f"{free / 2**30:.1f} of {shutil.disk_usage(folder).total / 2**30:.1f} GiB free",
            None if enough else f"free some space: du -sh '{folder}'/* | sort -h",
        )


def _try(kind: str, name: str, attempt: Callable[[], str]) -> CheckResult:
    """Return the result of an attempt, whatever it raises."""
    try:
        return CheckResult(kind, name, State.WORKS, attempt())
    except VsrdbError as error:
        return CheckResult(kind, name, State.PROBLEM, str(error), error.hint)
    except Exception as error:  # a broken installation can raise anything
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return CheckResult(
            kind, name, State.PROBLEM, message, "pip install --force-reinstall vsrdb"
        )
