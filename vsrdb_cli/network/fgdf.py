"""Define the operator `vsrdb::fgdf`: upsampling flow-guided dynamic filtering in one step.

Restoring and exporting go through it, so that every runtime can bring its own kernel: Triton on
CUDA (`fgdf_triton`), an ONNX node with a function as its body (`vsrdb_cli.export`) and a TensorRT
plugin (`vsrdb_cli.backends`). `ops.flow_guided_dynamic_filter` runs on the CPU and is the reference
all of them must match; training, which needs what lies between, calls its two halves instead.

Tensors are frame-major, (B, T, C, H, W), as the network holds them: nothing is moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.custom_operator import custom_operator
from vsrdb_cli.network.ops import flow_guided_dynamic_filter
from vsrdb_cli.network.triton_kernel import Kernel


def _made(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    _check_shapes(frames, flow_mask, kernel, scale, ksize)
    batch, _, channels, height, width = frames.shape
    return kernel.new_empty((batch, channels, height * scale, width * scale))


@custom_operator("fgdf", _made)
def fgdf(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    """Warp and mask the frames, then filter each pixel with its own normalised kernels.

    Args:
        frames: (B, T, C, H, W), LR frames.
        flow_mask: (B, T, 3, H, W), float32: dx, dy (pixels), mask logit towards each frame.
        kernel: (B, T, s^2 k^2, H, W), dtype of `frames`, not normalised; channels in the order
            vertical sub-pixel, horizontal sub-pixel, vertical tap, horizontal tap.
        scale: s.
        ksize: k, odd.

    Returns:
        (B, C, s H, s W), contiguous, dtype of `kernel`; all arithmetic is in float32.

    Raises:
        ShapeError: shapes do not belong together.

    Source: FMA-Net (CVPR 2024), Eq. 6 and Sec. 3.4.
    """
    _check_shapes(frames, flow_mask, kernel, scale, ksize)
    return _reference(frames, flow_mask, kernel, scale, ksize)


@torch.library.impl("vsrdb::fgdf", "cuda")
def _on_cuda(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    """Compute with the Triton kernel or, if it cannot be compiled, as the reference does."""
    out = _made(frames, flow_mask, kernel, scale, ksize)
    return triton_kernel(frames, flow_mask, kernel, scale, ksize, out=out)


def _launch(*operands: Any) -> None:
    from vsrdb_cli.network import fgdf_triton

    fgdf_triton.launch(*operands)


def _reference(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    return flow_guided_dynamic_filter(
        frames.transpose(1, 2), flow_mask.transpose(1, 2), kernel.transpose(1, 2), scale, ksize
    ).contiguous()


def filtering_kernel(launch: Callable[..., None]) -> Kernel:
    """Create the kernel of `fgdf`, whose results are not compared with the reference's.

    That would need the memory of whole kernels in float32.
    """
    return Kernel("filtering", launch, _reference, compared=False)


triton_kernel = filtering_kernel(_launch)


def _check_shapes(
    frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int
) -> None:
    batch, length, _, height, width = frames.shape
    for name, tensor, channels in (
        ("flow_mask", flow_mask, 3),
        ("kernel", kernel, scale * scale * ksize * ksize),
    ):
        if tensor.shape != (batch, length, channels, height, width):
            raise ShapeError(f"{name} is {tuple(tensor.shape)} for frames {tuple(frames.shape)}")
