"""Backends: from weights, device and precision to a runner.

A backend or device asked for by name never becomes another one; "auto" chooses among what is
there and proven, and the runner's `info` says what was chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsrdb_cli.backends.builtin import METHODS, BuiltinRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.errors import BackendError

if TYPE_CHECKING:
    from vsrdb_cli.backends.trt import TrtRunner
    from vsrdb_cli.checkpoint import Checkpoint

ENGINES = ("tensorrt", "tensorrt-rtx")
BACKENDS = ("auto", "torch", "onnxruntime", *ENGINES)


def load_runner(
    weights: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    size: tuple[int, int] | None = None,
) -> Runner:
    """Load `weights` (a bundled name, a .safetensors path, "nearest" or "bicubic").

    Args:
        backend: one of BACKENDS. "auto" is, on a GPU, an engine built for it and for `size`, or
            else torch; on the CPU torch, the faster one there (tests/benchmarks/backends.py).
        size: (height, width) of the pictures to come; without it no engine is taken unasked.

    Raises:
        CheckpointError: unknown, damaged or foreign weights.
        BackendError: the backend, device or precision asked for cannot be had here.
    """
    if backend not in BACKENDS:
        raise BackendError(
            f"there is no backend called '{backend}'", hint=f"one of: {', '.join(BACKENDS)}"
        )
    if weights in METHODS:
        if backend not in ("auto", "torch"):
            raise BackendError(
                f"'{weights}' is a network without parameters and runs in torch, not {backend}",
                hint="leave --backend away, or name weights with parameters",
            )
        return BuiltinRunner(weights)
    from vsrdb_cli.backends.pytorch import TorchRunner
    from vsrdb_cli.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(weights)
    if backend == "onnxruntime":
        return _onnxruntime(checkpoint, weights, device, precision)
    if backend in ENGINES:
        return _engine(checkpoint, backend, device, precision)
    if backend == "auto" and size is not None:
        engine = _fitting_engine(checkpoint, device, precision, size)
        if engine is not None:
            return engine
    return TorchRunner(checkpoint, device, precision)


def _onnxruntime(checkpoint: Checkpoint, weights: str, device: str, precision: str) -> Runner:
    from vsrdb_cli.backends.ort import OrtRunner, available, require_onnxruntime
    from vsrdb_cli.export.files import ExportFiles, default_folder

    if device == "auto":
        device = "cuda" if available("cuda") else "cpu"
    require_onnxruntime(device)
    wanted = [precision] if precision != "auto" else ["float16", "float32"]
    if precision == "auto" and device == "cpu":
        wanted = ["float32"]  # there it computes float16 in float32, with conversions around
    folder = default_folder()
    for name in wanted:
        files = ExportFiles(folder, checkpoint.name, checkpoint.sha256, name)
        if files.complete():
            return OrtRunner(files, device)
    raise BackendError(
        f"there are no ONNX files of '{checkpoint.name}' in {wanted[-1]} in {folder}",
        hint=f"write them: vsrdb export --weights {weights} --format onnx"
        + " --fp16" * (wanted[-1] == "float16"),
    )


def _engine(checkpoint: Checkpoint, flavour: str, device: str, precision: str) -> TrtRunner:
    from vsrdb_cli.backends.trt import TrtRunner, require_gpu
    from vsrdb_cli.export.engine import find_engine
    from vsrdb_cli.export.files import ExportFiles, default_folder
    from vsrdb_cli.export.to_tensorrt import find_place, proven

    require_gpu(flavour)  # before anything of TensorRT is loaded: it crashes without one
    device = "cuda" if device == "auto" else device
    place = find_place(flavour, device)
    refused: BackendError | None = None
    for name in [precision] if precision != "auto" else ["float16", "float32"]:
        files = ExportFiles(default_folder(), checkpoint.name, checkpoint.sha256, name)
        try:
            engine = find_engine(files, place)
        except BackendError as error:
            refused = refused or error
            continue
        runner = TrtRunner(engine, files.folder, device)
        proven(engine, runner, checkpoint, files.folder)
        return runner
    assert refused is not None
    raise refused


def _fitting_engine(
    checkpoint: Checkpoint, device: str, precision: str, size: tuple[int, int]
) -> Runner | None:
    """An engine for this GPU and size, if there is one; what is in its way is no error here."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return None
    for flavour in ENGINES:
        try:
            runner = _engine(checkpoint, flavour, device, precision)
        except BackendError:
            continue
        if runner.takes(*size):
            return runner
    return None
