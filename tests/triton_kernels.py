"""Triton kernels without a GPU: compiled for one, or run by the interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DTYPES = ("fp16", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fp32", "bf16")))
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)


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
