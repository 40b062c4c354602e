"""What only a GPU can show; run there with: VSRDB_REQUIRE_GPU=1 pytest -o addopts= -m gpu tests/gpu

VSRDB_TEST_DEVICE=cpu tries the tests themselves where there is none: what needs CUDA is skipped.
"""

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

# The recipe is no part of the installed package; it runs from weights/.
sys.path.insert(0, str(Path(__file__).parents[2] / "weights"))


@pytest.fixture(scope="session")
def device():
    """Where everything is computed that is compared with the CPU."""
    name = os.environ.get("VSRDB_TEST_DEVICE", "cuda")
    required = os.environ.get("VSRDB_REQUIRE_GPU") == "1"
    if name == "cuda" and not torch.cuda.is_available() and not required:
        pytest.skip("no CUDA GPU; VSRDB_REQUIRE_GPU=1 makes that a failure")
    return name


@pytest.fixture
def cuda(device):
    """A GPU for what the CPU does not do at all."""
    if device == "cpu":
        pytest.skip("is of CUDA alone")
    return device


@pytest.fixture(autouse=True)
def exact_float32():
    """Float32 is to mean float32: TF32 has 10 bits."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@pytest.fixture(autouse=True)
def room():
    """Each test begins with all of the GPU's memory."""
    yield
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@pytest.fixture
def decibels():
    """PSNR of two pictures, or two lists of them, where white is 1; of codes, where it is 255."""

    def psnr(found, wanted):
        if isinstance(found, list):
            found, wanted = np.stack(found), np.stack(wanted)
            error = (found.astype(float) - wanted) / (255 if found.dtype == np.uint8 else 1)
            square = float(np.square(error).mean())
        else:
            square = (found.double().cpu() - wanted.double().cpu()).square().mean().item()
        return math.inf if square == 0 else -10 * math.log10(square)

    return psnr
