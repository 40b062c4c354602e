"""Triton kernels without a GPU: compiled for one, or run by the interpreter."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

DTYPES = ("fp16", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fp32", "bf16")))
# By architecture: the shared memory of one program.
SHARED_BYTES = {75: 64, 80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
SHARED_BYTES = {one: kilobytes << 10 for one, kilobytes in SHARED_BYTES.items()}
ARCHITECTURES = tuple(SHARED_BYTES)


def compiled(kernel, types, constants, architecture, warps):
    """A kernel's intermediate forms for one GPU; what has neither type nor value is an int32."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    names = kernel.arg_names
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in names
    }
    values = {(names.index(name),): value for name, value in constants.items()}
    target = GPUTarget("cuda", architecture, 32)
    options = {"num_warps": warps}
    return compile(ASTSource(kernel, signature, values), target=target, options=options).asm


def interpreted(code):
    """What `code` prints in a process whose kernels the interpreter runs."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    paths = [str(Path(__file__).parent), *filter(None, [environment.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class MadeUpDriver:
    """Stands for a GPU that is not there: kernels are compiled for it."""

    def __init__(self, architecture):
        from triton.backends.compiler import GPUTarget

        self._target = GPUTarget("cuda", architecture, 32)

    def get_current_target(self):
        return self._target

    def get_current_device(self):
        return self._target.arch

    def get_current_stream(self, device):
        return 0


@contextmanager
def launches_compiled(architecture):
    """Inside `with`, launches compile for a GPU, as they are called, and launch nothing.

    Yields the list that the compiled kernels are added to.
    """
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    launch, made = JITFunction.run, []

    def run(self, *args, warmup, **kwargs):
        made.append(launch(self, *args, warmup=True, **kwargs))

    before = driver._active
    driver.set_active(MadeUpDriver(architecture))
    JITFunction.run = run
    try:
        yield made
    finally:
        JITFunction.run = launch
        driver._active = before


def multiply_bfloat16():
    """Teach the interpreter products of bfloat16, which it holds as 16 bits."""
    import numpy as np
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, tl

    product = InterpreterBuilder.create_dot

    def widened(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self, a, b, *others):
        return product(self, widened(a), widened(b), *others)

    InterpreterBuilder.create_dot = create_dot
