"""The operator `vsrdb::fgdf`: flow-guided dynamic filtering, upsampling, as one step.

Restoring and exporting go through it, so that every runtime can bring its own kernel: Triton on
CUDA (`fgdf_triton`), an ONNX node with a function as its body (`vsrdb_cli.export`) and a TensorRT
plugin (`vsrdb_cli.backends`). `ops.flow_guided_dynamic_filter` runs on the CPU and is the reference
all of them must match; training, which needs what lies between, calls its two halves instead.

Tensors are frame-major, (B, T, C, H, W), as the network holds them: nothing is moved.
"""

from __future__ import annotations

import subprocess
import warnings

import torch
from torch import Tensor

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.ops import flow_guided_dynamic_filter


@torch.library.custom_op("vsrdb::fgdf", mutates_args=())
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


@fgdf.register_fake
def _(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    _check_shapes(frames, flow_mask, kernel, scale, ksize)
    batch, _, channels, height, width = frames.shape
    return kernel.new_empty((batch, channels, height * scale, width * scale))


@fgdf.register_kernel("cuda")
def on_cuda(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    """The Triton kernel or, where it cannot be compiled, the reference: said once, as a warning."""
    _check_shapes(frames, flow_mask, kernel, scale, ksize)
    batch, _, channels, height, width = frames.shape
    if _compiles[0]:
        out = kernel.new_empty((batch, channels, height * scale, width * scale))
        try:
            from vsrdb_cli.network import fgdf_triton  # comes with torch's CUDA builds

            fgdf_triton.launch(frames, flow_mask, kernel, scale, ksize, out)
            return out
        except (ImportError, RuntimeError, subprocess.CalledProcessError) as error:
            if isinstance(error, RuntimeError) and "C compiler" not in str(error):
                raise
            _compiles[0] = False
            warnings.warn(
                f"the filter's GPU kernel cannot be compiled ({error}): its slower reference runs;"
                " install gcc and Python's headers (python3-dev)",
                RuntimeWarning,
                stacklevel=2,
            )
    return _reference(frames, flow_mask, kernel, scale, ksize)


# Whether Triton found what it needs to compile its launcher: a C compiler and Python.h.
_compiles = [True]


def _reference(frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, ksize: int) -> Tensor:
    return flow_guided_dynamic_filter(
        frames.transpose(1, 2), flow_mask.transpose(1, 2), kernel.transpose(1, 2), scale, ksize
    ).contiguous()


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
