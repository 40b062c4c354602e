"""Every form of `vsrdb::fgdf` computes what the reference computes."""

import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from fgdf_operands import operands, reference
from triton_kernels import ARCHITECTURES, DTYPES, compiled, interpreted

from vsrdb_cli.network.fgdf import fgdf, filtering_kernel


def test_the_formula_of_the_paper_written_out_for_one_pixel():
    frames, flow_mask, kernel = operands(1, 3, 5, 6, 3)
    flow_mask[:, :, 0:2] = 0  # so that X' is the masked frame itself
    picture = fgdf(frames, flow_mask, kernel, 4, 3)
    y, x, s1, s2 = 2, 3, 1, 2
    weights = kernel[0, :, :, y, x].reshape(3, 4, 4, 9)[:, s1, s2]
    weights = weights - weights.mean() + 1 / 27
    masked = frames * torch.sigmoid(flow_mask[:, :, 2:3])
    patch = masked[0, :, :, y - 1 : y + 2, x - 1 : x + 2].reshape(3, 3, 9)
    expected = torch.einsum("tk,tck->c", weights, patch)
    torch.testing.assert_close(picture[0, :, 4 * y + s1, 4 * x + s2], expected)


@pytest.mark.slow
def test_the_operator_keeps_the_promises_torch_asks_of_one():
    checks = torch.library.opcheck(fgdf, (*operands(1, 3, 5, 7, 3), 4, 3))
    assert set(checks.values()) == {"SUCCESS"}


def test_half_tensors_give_a_half_picture_with_float32_sums():
    frames, flow_mask, kernel = operands(1, 3, 9, 11, 5)
    half = fgdf(frames.half(), flow_mask, kernel.half(), 4, 5)
    rounded = reference(frames.half().float(), flow_mask, kernel.half().float(), 5)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), rounded, rtol=1e-3, atol=1e-4)


INTERPRETED = """
import sys; sys.path.insert(0, {folder!r})
import torch
from fgdf_operands import operands, reference
from vsrdb_cli.network import fgdf_triton
frames, flow_mask, kernel = operands(1, 2, 2, 4, 3)
flow_mask[0, 0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
last = kernel[0].contiguous(memory_format=torch.channels_last)[None]
for layout in (kernel, last):
    out = torch.full((1, 3, 8, 16), float("nan"))
    fgdf_triton.launch(frames, flow_mask, layout, 4, 3, out)
    print((out - reference(frames, flow_mask, kernel, 3)).abs().max().item())
"""


@pytest.mark.slow
def test_the_triton_kernel_in_the_interpreter_equals_the_reference():
    found = interpreted(INTERPRETED.format(folder=str(Path(__file__).parent)))
    errors = [float(line) for line in found.split()]
    assert len(errors) == 2 and max(errors) <= 1e-5, errors


def compiled_for(architecture, dtype="fp16"):
    pytest.importorskip("triton")
    from vsrdb_cli.network.fgdf_triton import WARPS, fgdf_kernel

    constants = {"SCALE": 4, "KSIZE": 5, "PIXELS": 32, "kernel_c": 1, "frames_x": 1, "flow_x": 1}
    types = dict.fromkeys(("frames", "kernel", "out"), f"*{dtype}") | {"flow_mask": "*fp32"}
    return compiled(fgdf_kernel, types, constants, architecture, WARPS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_triton_kernel_compiles_without_a_gpu(architecture, dtype):
    built = compiled_for(architecture, dtype)
    assert re.search(rf"\.target sm_{architecture}a?\b", built["ptx"])
    # Loops, not unrolled taps: an earlier form took 40 s to compile and 400 kB.
    assert len(built["cubin"]) < 150_000


def test_every_stride_of_the_triton_kernel_is_multiplied_in_64_bits():
    # From 2.7 megapixels on, offsets of frames exceed 32 bits.
    products = [line for line in compiled_for(90)["ttir"].splitlines() if " = arith.muli " in line]
    narrow = [line for line in products if "i32 loc" in line]
    assert len(products) - len(narrow) >= 15
    strides = r"%(frames|flow|kernel|out)_[btcyx]\b"
    assert [line for line in narrow if re.search(strides, line)] == []


def test_the_triton_kernel_is_launched_on_the_device_its_operands_are_on(monkeypatch):
    pytest.importorskip("triton")
    from vsrdb_cli.network import fgdf_triton

    current = []

    @contextmanager
    def device_of(tensor):
        current.append(tensor)
        yield
        current.pop()

    class Kernel:
        def __getitem__(self, grid):
            return lambda frames, flow_mask, kernel, *_, **__: launched.append(current[0] is kernel)

    launched = []
    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    monkeypatch.setattr(fgdf_triton, "fgdf_kernel", Kernel())
    fgdf_triton.launch(*operands(1, 3, 4, 5, 3), 4, 3, torch.empty(1, 3, 16, 20))
    assert launched == [True]


def failing_with(error):
    """A kernel whose launch raises an error."""

    def launch(*_):
        raise error

    return filtering_kernel(launch)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable."),
        subprocess.CalledProcessError(1, ["gcc", "main.c"]),
        ModuleNotFoundError("No module named 'triton'"),
    ],
)
def test_without_a_compiler_the_reference_runs_and_that_is_said_once(error):
    kernel = failing_with(error)
    tensors = operands(1, 3, 5, 6, 3)
    with pytest.warns(RuntimeWarning, match="filtering is slower .* install gcc") as said:
        pictures = [kernel(*tensors, 4, 3, out=torch.empty(1, 3, 20, 24)) for _ in range(2)]
    assert len(said) == 1
    for picture in pictures:
        assert torch.equal(picture, reference(*tensors, 3))


def test_what_goes_wrong_on_the_gpu_itself_is_no_reason_to_fall_back():
    error = RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        failing_with(error)(*operands(1, 3, 5, 6, 3), 4, 3, out=torch.empty(1, 3, 20, 24))
