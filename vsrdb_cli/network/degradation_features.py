"""Compute Net^R's degradation features without K^D: two convolutions fused into one.

K^D's last convolution and Net^R's first are linear in a row, C -> k_d^2 -> C: together one of
3 x 5 x 5, with 2.1 of 17 million multiply-adds a pixel less for the paper's model, and K^D, 1200
numbers a pixel, is never made. Only where the second one reads zeros beyond the picture, in place
of a K^D there, are they not equal: what such a K^D would have given is taken off the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.network.layout import (
    by_clip,
    frames_of,
    frames_read,
    join,
    laid_out,
    weights_in_time,
)


@dataclass(frozen=True)
class FusedDegradationConv:
    """Weights of the fused convolution, one of each output frame, and those of the borders.

    weights: T of (C, taps C, 5, 5), where taps are the frames read. biases: T of (C,), or None.
    borders: of two by two, two one-dimensional convolutions: 2T times C -> k_d^2 and its bias,
    then twice T k_d^2 -> T C.
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
        weights = weights_in_time([tap.to(device, dtype) for tap in fused], length)
        biases = None
        if first.bias is not None and second.bias is not None:
            shares = torch.einsum("omtyx,m->to", outer, _exactly(first.bias))
            offset = _exactly(second.bias)
            biases = [
                (offset + sum(shares[dt] for _, dt in frames_read(t, length))).to(device, dtype)
                for t in range(length)
            ]
        borders = []
        bias = None if first.bias is None else first.bias.repeat(2 * length)
        for axis in (2, 3):
            # A K^D one pixel outside reads the nearest pixel inside, and is read by it.
            near = [
                inner.select(axis, tap).unsqueeze(axis) for tap in (2, 0) for _ in range(length)
            ]
            read = [outer.select(axis + 1, tap).unsqueeze(axis + 1) for tap in (0, 2)]
            both = torch.cat(near), torch.cat([_banded(one, length) for one in read])
            made, reading = (laid_out(one.to(device, dtype)) for one in both)
            borders.append((made, bias, reading))
        return cls(weights, biases, borders)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Convolve the input of K^D, (B*T, C, H, W), into (B*T, C, H, W), before the LeakyReLU."""
        length = len(self.weights)
        joined = convolve_in_time(hidden, self.weights, self.biases, padding=2)
        clip_out = by_clip(joined, length)
        frames = frames_of(hidden, length)
        for axis, (near, bias, read) in zip((2, 3), self.borders, strict=True):
            # Above and below, K^D outside reaches beyond the corners; beside, it does not.
            padding, between = ((0, 2), (0, 0)) if axis == 2 else ((1, 0), (1, 0))
            end = hidden.shape[axis] - 1
            pixels = torch.cat(
                [one.narrow(axis, at, 1) for at in (0, end) for one in frames], dim=1
            )
            outside = F.conv2d(pixels, near, bias, padding=padding, groups=2 * length)
            excess = F.conv2d(outside, read, padding=between, groups=2)
            for at, taken in zip((0, end), excess.chunk(2, dim=1), strict=True):
                target = clip_out.narrow(axis + 1, at, 1)
                target -= taken.reshape(target.shape)
        return joined


def convolve_in_time(
    frames: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor] | None, padding: int
) -> Tensor:
    """Convolve each frame of (B*T, C, H, W) beside those before and after it.

    Args:
        weights: of each of the T frames, (O, taps C, k, k), where taps are the frames read.
        biases: of each, (O,); or None.
    """
    length = len(weights)
    pictures = frames_of(frames, length)
    outputs = []
    for t, weight in enumerate(weights):
        read = torch.cat([pictures[source] for source, _ in frames_read(t, length)], dim=1)
        bias = None if biases is None else biases[t]
        outputs.append(F.conv2d(read, weight, bias, padding=padding))
    return join(outputs)


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
