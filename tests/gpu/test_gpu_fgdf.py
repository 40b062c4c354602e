"""The filter's Triton kernel on a GPU is the reference, at every size, precision and layout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.ops import flow_guided_dynamic_filter

pytestmark = pytest.mark.gpu

KSIZE, SCALE = 5, 4
TAPS = (SCALE * KSIZE) ** 2


def smooth_operands(height, width, device):
    """Frames and flows as smooth as pictures are, so that rounding a flow moves little."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 6, 12, 16, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    frames, flow_mask = fine[:, :3], (fine[:, 3:] - 0.5) * 8
    kernel = torch.randn(3, TAPS, height, width, generator=generator) * 0.05
    return [tensor[None].to(device) for tensor in (frames, flow_mask, kernel)]


def reference(*operands):
    return flow_guided_dynamic_filter(*(t.transpose(1, 2) for t in operands), SCALE, KSIZE)


def found(*operands):
    return fgdf(*operands, SCALE, KSIZE)


@pytest.mark.parametrize("height, width", [(180, 320), (67, 131), (1, 5), (5, 1), (2, 2)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_triton_kernel_equals_the_reference(device, height, width, channels_last):
    frames, flow_mask, kernel = smooth_operands(height, width, device)
    expected = reference(frames, flow_mask, kernel)
    if channels_last:
        kernel = kernel[0].contiguous(memory_format=torch.channels_last)[None]
    torch.testing.assert_close(found(frames, flow_mask, kernel), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_a_lower_precision_is_the_reference_of_the_rounded_numbers(device, dtype, tolerance):
    frames, flow_mask, kernel = smooth_operands(67, 131, device)
    lowered = [frames.to(dtype), flow_mask, kernel.to(dtype)]
    expected = reference(*(tensor.float() for tensor in lowered))
    picture = found(*lowered)
    assert picture.dtype == dtype
    torch.testing.assert_close(picture.float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels_last", [False, True])
def test_beyond_2_to_the_31_numbers_addresses_are_right(cuda, channels_last):
    """2560x1440, whose kernels are 4.4e9 numbers: the bottom, where addresses are largest."""
    height, width, rows = 1440, 2560, 64
    generator = torch.Generator(cuda).manual_seed(0)
    shape = (3, height, width, TAPS) if channels_last else (3, TAPS, height, width)
    kernel = torch.empty(shape, dtype=torch.float16, device=cuda).normal_(
        0, 0.05, generator=generator
    )
    kernel = kernel.permute(0, 3, 1, 2)[None] if channels_last else kernel[None]
    frames, flow_mask, _ = smooth_operands(height, 64, "cpu")
    frames, flow_mask = (
        t.repeat_interleave(width // 64, dim=4).to(cuda) for t in (frames, flow_mask)
    )
    frames = frames.half()
    picture = found(frames, flow_mask, kernel)
    bottom = [t[..., -rows:, :] for t in (frames, flow_mask, kernel)]
    expected = reference(*(t.float() for t in bottom))
    # The upper half of these rows looks beyond the strip that the reference was given.
    inner = (..., slice(-rows // 2 * SCALE, None), slice(None))
    torch.testing.assert_close(picture.float()[inner], expected[inner], rtol=2e-3, atol=2e-3)


def test_operands_on_another_gpu_than_the_current_one_are_filtered_there(cuda):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    operands = smooth_operands(20, 30, "cuda:1")
    with torch.cuda.device(0):
        picture = found(*operands)
    torch.testing.assert_close(picture, reference(*operands), rtol=0, atol=1e-5)


WITHOUT_COMPILER = """
import warnings, torch
from test_gpu_fgdf import found, reference, smooth_operands
operands = smooth_operands(20, 30, "cuda")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    pictures = [found(*operands) for _ in range(2)]
for picture in pictures:
    torch.testing.assert_close(picture, reference(*operands), rtol=0, atol=1e-5)
print([str(one.message) for one in said if "cannot be compiled" in str(one.message)])
"""


def test_without_a_compiler_the_reference_runs_and_that_is_said_once(cuda, tmp_path):
    here = Path(__file__).parent
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")}
    paths = [str(here), str(here.parents[1]), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {
        "PATH": str(tmp_path),
        "TRITON_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("install gcc and Python's headers") == 1
