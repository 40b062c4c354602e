"""Backends: from weights, device and precision to a runner.

A backend or device asked for by name is never replaced by another one; "auto" chooses among those
available and proven, and the runner's `info` names the choice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.checkpoints.registry import METHODS
from vsrdb_cli.device_kinds import is_torchs
from vsrdb_cli.errors import BackendError
from vsrdb_cli.network.gpu_errors import is_dead_context

if TYPE_CHECKING:
    from vsrdb_cli.backends.engine_files import Place
    from vsrdb_cli.backends.exported_files import ExportFiles
    from vsrdb_cli.backends.trt import TrtRunner
    from vsrdb_cli.backends.webgpu import WebGpu
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

ENGINES = ("tensorrt", "tensorrt-rtx")
OnNotice = Callable[[str], None]
# What is tried of a runner: (height, width), and for how long.
_TRIED_SIZE, _TRIED_SECONDS = (64, 80), 0.5
BACKENDS = ("auto", "torch", "onnxruntime", *ENGINES)


def load_runner(
    weights: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    size: tuple[int, int] | None = None,
    loaded: Runner | None = None,
    on_notice: OnNotice = ignore,
    webgpu: WebGpu | None = None,
) -> Runner:
    """Load `weights` (a bundled name, a .safetensors path, "nearest" or "bicubic").

    Args:
        backend: one of BACKENDS. "auto" is, on a GPU, an engine built for it and for `size`, or
            else torch; by WebGPU ONNX Runtime; on the CPU torch, the faster one there
            (tests/benchmarks/backends.py).
        size: (height, width) of the pictures or tiles to come; without it no engine is taken
            unasked.
        loaded: a runner from an earlier call that differed in `size` alone, and that takes `size`;
            it is returned again unless an engine now suits better.
        on_notice: called with one line for files that were exported, for a GPU that "auto" leaves
            because it computes something else, and for one that only WebGPU reaches.
        webgpu: finds the GPUs that WebGPU reaches; None asks its plugin, where it is installed.

    Raises:
        CheckpointError: the weights are unknown, damaged or another network's.
        BackendError: the backend, device or precision is not available here.
    """
    if loaded is not None:
        engine = None
        if backend == "auto" and size is not None and loaded.info.backend not in ENGINES:
            engine = fitting_engine(weights, device=device, precision=precision, size=size)
        return engine or loaded
    if backend not in BACKENDS:
        raise BackendError(
            f"unknown backend '{backend}'", hint=f"choose from {', '.join(BACKENDS)}"
        )
    if weights in METHODS:
        if backend not in ("auto", "torch"):
            raise BackendError(
                f"'{weights}' has no parameters, so it runs in torch, not {backend}",
                hint="omit --backend, or name weights with parameters",
            )
        if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
            raise BackendError(
                f"'{weights}' has no parameters, so it runs on the CPU in float32",
                hint="omit --device and --precision, or name weights with parameters",
            )
        return BuiltinRunner(weights)
    if precision == "bfloat16" and backend not in ("auto", "torch"):
        raise BackendError(
            f"{backend} has no bfloat16; its files are float32 or float16",
            hint="use --precision float16, float32 or auto, or --backend torch",
        )
    from vsrdb_cli.checkpoints.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(weights)
    if backend == "onnxruntime" or (backend == "auto" and not is_torchs(device)):
        return _onnxruntime(checkpoint, device, precision, on_notice, webgpu)
    if backend in ENGINES:
        return _engine(checkpoint, backend, device, precision, size, on_notice=on_notice)
    if backend == "auto" and size is not None:
        engine = fitting_engine(checkpoint, device=device, precision=precision, size=size)
        if engine is not None:
            return engine
    return _torch(checkpoint, device, precision, on_notice, webgpu)


def _torch(
    checkpoint: Checkpoint,
    device: str,
    precision: str,
    on_notice: OnNotice,
    webgpu: WebGpu | None,
) -> Runner:
    from vsrdb_cli.backends.devices import advice_on_webgpu
    from vsrdb_cli.backends.parity import DisagreementError
    from vsrdb_cli.backends.proof import require_like_cpu
    from vsrdb_cli.backends.pytorch import TorchRunner
    from vsrdb_cli.backends.webgpu import WEBGPU

    try:
        runner = TorchRunner(checkpoint, device, precision)
        require_like_cpu(runner, checkpoint)
    except (NotImplementedError, DisagreementError) as error:
        if device == "auto":
            on_notice(f"{str(error).splitlines()[0]}; runs on the CPU")
            return TorchRunner(checkpoint, "cpu", precision)
        if isinstance(error, BackendError):
            raise
        raise BackendError(
            f"torch cannot compute this network on '{device}': {str(error).splitlines()[0]}",
            hint="use --device cpu; or set PYTORCH_ENABLE_MPS_FALLBACK=1, and torch computes on the"
            " CPU what it cannot compute there",
        ) from error
    if device == "auto" and runner.info.device == "cpu" and on_notice is not ignore:
        advice = advice_on_webgpu(webgpu or WEBGPU)
        if advice:
            on_notice(advice)
    return runner


def try_network(
    weights: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    load: Callable[..., Runner] = load_runner,
) -> str:
    """Load a network and restore with it; describe what ran, how fast, and how near to the CPU.

    Args:
        load: loads a network, as `load_runner` does, which explains the other arguments.

    Raises:
        VsrdbError: it cannot be loaded, or its results are not finite.
    """
    from vsrdb_cli.backends import parity

    started = time.monotonic()
    runner = load(weights, backend=backend, device=device)
    facts = [str(runner.info)]
    if backend not in ENGINES:  # those are compared with torch when they are loaded
        restored = parity.restored(runner, *_TRIED_SIZE)
        facts.append(f"loaded and run in {time.monotonic() - started:.1f} s")
        if not restored.isfinite().all():
            raise BackendError("its results are not finite", hint="use --backend torch")
        facts.append(f"{_frames_per_second(runner):.1f} fps of {_TRIED_SIZE[1]}x{_TRIED_SIZE[0]}")
        info = runner.info
        if (info.backend, info.device, info.precision) != ("torch", "cpu", "float32"):
            reference = load_runner(weights, backend="torch", device="cpu", precision="float32")
            decibels = parity.psnr(restored - parity.restored(reference, *_TRIED_SIZE))
            if decibels < math.inf:
                facts.append(f"{decibels:.0f} dB from float32 on the CPU")
    else:
        facts.append(f"loaded in {time.monotonic() - started:.1f} s")
    return ", ".join(facts)


def _frames_per_second(runner: Runner) -> float:
    """Return how many frames a runner restores in a second, tried for half of one."""
    from vsrdb_cli.backends import parity

    stream = parity.Stream(runner, *_TRIED_SIZE)
    started, done = time.monotonic(), 0
    while done == 0 or time.monotonic() - started < _TRIED_SECONDS:
        stream.encode()
        stream.restore()
        done += 1
    return done / (time.monotonic() - started)


def _onnxruntime(
    checkpoint: Checkpoint,
    device: str,
    precision: str,
    on_notice: OnNotice,
    webgpu: WebGpu | None,
) -> Runner:
    from vsrdb_cli.backends.exported_files import ExportFiles, default_folder
    from vsrdb_cli.backends.ort import available, require_onnxruntime
    from vsrdb_cli.backends.rebuild import load_or_rebuild
    from vsrdb_cli.backends.webgpu import WEBGPU

    if not is_torchs(device):
        from vsrdb_cli.backends.webgpu_runner import load_webgpu

        return load_webgpu(checkpoint, (webgpu or WEBGPU).find(device), precision, on_notice)
    if device == "auto":
        device = "cuda" if available("cuda") else "cpu"
    require_onnxruntime(device)
    wanted = _precisions(precision)
    if precision == "auto" and device == "cpu":
        wanted = ("float32",)  # there it computes float16 in float32, with conversions around
    folder = default_folder()
    for name in wanted:
        files = ExportFiles.of(checkpoint, folder, name)
        if files.complete():
            return load_or_rebuild(
                partial(_proven_graphs, checkpoint, files, device), files, on_notice
            )
    raise BackendError(
        f"no ONNX files found for '{checkpoint.name}' in {wanted[-1]} in {folder}",
        hint=f"export them: {files.command('onnx')}",
    )


def _proven_graphs(checkpoint: Checkpoint, files: ExportFiles, device: str) -> Runner:
    from vsrdb_cli.backends.ort import OrtRunner

    runner = OrtRunner(files, device)
    runner.proof.require(runner, checkpoint)
    return runner


def fitting_engine(
    weights: str | Checkpoint,
    *,
    device: str,
    precision: str,
    size: tuple[int, int],
    load: Callable[..., Runner] | None = None,
) -> Runner | None:
    """Find the engine for this GPU that takes pictures of `size` (height, width), if there is one.

    An engine that cannot be used is no error here, and none is built: nobody asked for it. Only a
    GPU that failed for good is one.

    Args:
        load: loads an engine of a flavour.
    """
    from vsrdb_cli.backends.devices import ACCELERATORS

    if device == "cpu" or not is_torchs(device) or not ACCELERATORS.are_nvidia:
        return None
    if isinstance(weights, str):
        if weights in METHODS:
            return None
        from vsrdb_cli.checkpoints.checkpoint import load_checkpoint

        weights = load_checkpoint(weights)
    for flavour in ENGINES:
        for name in _precisions(precision):
            try:
                runner = (load or _engine)(weights, flavour, device, name, size)
            except (BackendError, RuntimeError) as error:  # of torch: no memory left for it
                if is_dead_context(error):
                    raise
                continue
            if runner.takes(*size):
                return runner
    return None


def _engine(
    checkpoint: Checkpoint,
    flavour: str,
    device: str,
    precision: str,
    size: tuple[int, int] | None,
    *,
    on_notice: OnNotice | None = None,
) -> TrtRunner:
    """Load an engine; a damaged one is rebuilt if notices of it are wanted."""
    from vsrdb_cli.backends.devices import find_device
    from vsrdb_cli.backends.exported_files import ExportFiles, default_folder
    from vsrdb_cli.backends.rebuild import load_or_rebuild
    from vsrdb_cli.backends.tensorrt_library import find_place, require_gpu

    require_gpu(flavour)  # before anything of TensorRT is loaded: it crashes without one
    device = "cuda" if device == "auto" else device
    if find_device(device).type != "cuda":
        raise BackendError(
            f"the backend {flavour} runs on an NVIDIA GPU, not on '{device}'",
            hint="use --device cuda, or --backend torch",
        )
    place = find_place(flavour, device)
    refused: BackendError | None = None
    for name in _precisions(precision):
        files = ExportFiles.of(checkpoint, default_folder(), name)
        load = partial(_proven_engine, checkpoint, files, place, device, size)
        try:
            return load() if on_notice is None else load_or_rebuild(load, files, on_notice)
        except BackendError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _proven_engine(
    checkpoint: Checkpoint,
    files: ExportFiles,
    place: Place,
    device: str,
    size: tuple[int, int] | None,
) -> TrtRunner:
    from vsrdb_cli.backends.engine_files import find_engine
    from vsrdb_cli.backends.trt import TrtRunner

    runner = TrtRunner(find_engine(files, place, size), files, checkpoint.config, device)
    runner.proof.require(runner, checkpoint)
    return runner


def _precisions(asked: str) -> tuple[str, ...]:
    """List the precisions of exported files to look for, the faster first."""
    return ("float16", "float32") if asked == "auto" else (asked,)
