"""What only a GPU can show; run there with: VSRDB_REQUIRE_GPU=1 pytest -m gpu tests/gpu

`python tests/gpu/check.py` prints the same agreements, with speeds, as tables.
"""

import os

import pytest
import torch

from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.fmanet import FMANet, FMANetConfig
from vsrdb_cli.network.ops import flow_guided_dynamic_filter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() and os.environ.get("VSRDB_REQUIRE_GPU") != "1",
        reason="no CUDA GPU; VSRDB_REQUIRE_GPU=1 makes that a failure",
    ),
]


def smooth_operands(height, width, ksize=5):
    """Frames and flows as smooth as pictures are, so that rounding a flow moves little."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 6, 12, 16, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    frames, flow_mask = fine[:, :3], (fine[:, 3:] - 0.5) * 8
    kernel = torch.randn(3, 16 * ksize**2, height, width, generator=generator) * 0.05
    return [tensor[None].cuda() for tensor in (frames, flow_mask, kernel)]


@pytest.mark.parametrize("height, width", [(180, 320), (67, 131), (1, 5), (5, 1), (2, 2)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_triton_kernel_equals_the_reference(height, width, channels_last):
    frames, flow_mask, kernel = smooth_operands(height, width)
    clips = [tensor.transpose(1, 2) for tensor in (frames, flow_mask, kernel)]
    expected = flow_guided_dynamic_filter(*clips, 4, 5)
    if channels_last:
        kernel = kernel[0].contiguous(memory_format=torch.channels_last)[None]
    torch.testing.assert_close(fgdf(frames, flow_mask, kernel, 4, 5), expected, rtol=0, atol=1e-5)


def test_half_tensors_are_the_reference_of_the_rounded_numbers():
    frames, flow_mask, kernel = smooth_operands(67, 131)
    rounded = [frames.half().float(), flow_mask, kernel.half().float()]
    expected = flow_guided_dynamic_filter(*(t.transpose(1, 2) for t in rounded), 4, 5)
    found = fgdf(frames.half(), flow_mask, kernel.half(), 4, 5)
    torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_the_network_on_the_gpu_is_the_one_on_the_cpu():
    torch.manual_seed(0)
    network = FMANet(FMANetConfig(dim=18, num_RDB=2, num_FRMA=2, num_heads=3)).eval()
    clip = torch.rand(1, 3, 3, 45, 70)
    expected = network(clip)
    network = network.cuda()
    frames = [network.encode(clip[:, :, t].cuda()) for t in range(3)]
    torch.backends.cudnn.allow_tf32 = False
    torch.testing.assert_close(network.restore(frames).cpu(), expected, rtol=0, atol=1e-4)
