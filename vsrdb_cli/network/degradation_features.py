"""Compute Net^R's degradation features without K^D: two convolutions fused into one.

K^D's last convolution and Net^R's first are linear in a row, C -> k_d^2 -> C: together one of
3 x 5 x 5, with 2.1 of 17 million multiply-adds a pixel less for the paper's model, and K^D, 1200
numbers a pixel, is never made. Only where the second one reads zeros beyond the picture, in place
of a K^D there, are they not equal: what such a K^D would have given is taken off the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.network.layout import by_clip, frames_read, join, laid_out
from vsrdb_cli.network.ops import side_by_side

# The four borders: the axis across, and whether it is the far one.
_BORDERS = ((2, False), (2, True), (3, False), (3, True))


@dataclass(frozen=True)
class FusedDegradationConv:
    """Weights of the fused convolution, one of each output frame, and those of the borders.

    weights: T of (C, taps C, 5, 5), where taps are the frames read. biases: T of (C,), or None.
    borders: of each of the four, two one-dimensional convolutions: C -> k_d^2 and its bias, then
    T k_d^2 -> T C.
    """

    weights: list[Tensor]
    biases: list[Tensor] | None
    borders: list[tuple[Tensor, Tensor | None, Tensor]]

    @classmethod
    def of(cls, first: nn.Conv3d, second: nn.Conv3d, length: int) -> FusedDegradationConv:
        """Fuse conv 1x3x3 (C -> k_d^2) with conv 3x3x3 (k_d^2 -> C), for windows of `length`."""
        dtype, device = first.weight.dtype, first.weight.device
        inner = _exactly(first.weight)[:, :, 0]
        outer = _exactly(second.weight)
        padded = F.pad(inner.transpose(0, 1), (2, 2, 2, 2))
        fused = [F.conv2d(padded, outer[:, :, dt].flip(2, 3)).transpose(0, 1) for dt in range(3)]
        weights = [
            torch.cat([fused[dt] for _, dt in frames_read(t, length)], dim=1).to(
                device=device, dtype=dtype, memory_format=torch.channels_last
            )
            for t in range(length)
        ]
        biases = None
        if first.bias is not None and second.bias is not None:
            shares = torch.einsum("omtyx,m->to", outer, _exactly(first.bias))
            offset = _exactly(second.bias)
            biases = [
                (offset + sum(shares[dt] for _, dt in frames_read(t, length))).to(device, dtype)
                for t in range(length)
            ]
        borders = []
        for axis, far in _BORDERS:
            # A K^D one pixel outside reads the nearest pixel inside, and is read by it.
            near = inner.select(axis, 0 if far else 2).unsqueeze(axis)
            read = outer.select(axis + 1, 2 if far else 0).unsqueeze(axis + 1)
            banded = _banded(read, length).to(device, dtype)
            borders.append((laid_out(near.to(device, dtype)), first.bias, laid_out(banded)))
        return cls(weights, biases, borders)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Convolve the input of K^D, (B*T, C, H, W), into (B*T, C, H, W), before the LeakyReLU."""
        length = len(self.weights)
        clip = by_clip(hidden, length)
        outputs = []
        for t, weight in enumerate(self.weights):
            frames = [clip[:, source] for source, _ in frames_read(t, length)]
            bias = None if self.biases is None else self.biases[t]
            outputs.append(F.conv2d(torch.cat(frames, dim=1), weight, bias, padding=2))
        joined = join(outputs)
        clip_out = by_clip(joined, length)
        for (axis, far), (near, bias, read) in zip(_BORDERS, self.borders, strict=True):
            # Above and below, K^D outside reaches beyond the corners; beside, it does not.
            along, between = (2, 0) if axis == 2 else (1, 1)
            border = slice(-1, None) if far else slice(1)
            pixels = hidden[:, :, border] if axis == 2 else hidden[:, :, :, border]
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            padding = (0, along) if axis == 2 else (along, 0)
            outside = F.conv2d(pixels, near, bias, padding=padding)
            padding = (0, between) if axis == 2 else (between, 0)
            excess = F.conv2d(side_by_side(outside, length), read, padding=padding)
            target = clip_out[:, :, :, border] if axis == 2 else clip_out[..., border]
            target -= excess.reshape(target.shape)
        return joined


def _exactly(weight: Tensor) -> Tensor:
    """Convert to float64, on the CPU if the device has none, such as Apple's GPUs."""
    try:
        return weight.detach().double()
    except TypeError:
        return weight.detach().cpu().double()


def _banded(weight: Tensor, length: int) -> Tensor:
    """Rewrite a convolution in time, (C, M, 3, ...), as one over all frames: (T C, T M, ...)."""
    outputs, inputs = weight.shape[:2]
    banded = weight.new_zeros(length, outputs, length, inputs, *weight.shape[3:])
    for t in range(length):
        for source, dt in frames_read(t, length):
            banded[t, :, source] = weight[:, :, dt]
    return banded.reshape(length * outputs, length * inputs, *weight.shape[3:])
