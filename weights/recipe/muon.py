"""Optimise matrices with Muon: momentum with orthogonalised steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

ROUNDS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
ADAM_LIKE = 0.2  # root mean square of a step of Adam at rate 1


class Muon(torch.optim.Optimizer):
    """Weights as matrices (outputs, inputs * taps), moved along all singular vectors alike.

    A step's root mean square is that of Adam's, so that both take the same rate.

    Args:
        weights: of two dimensions or more.
        lr: rate; a 0-dimensional tensor where a CUDA graph is to read it.
        momentum: of the gradient's average.

    Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the
    size of a step as in J. Liu et al., "Muon is Scalable for LLM Training" (2025).
    """

    def __init__(
        self, weights: Iterable[Tensor], lr: float | Tensor, momentum: float = 0.95
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # noqa: ARG002
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.flatten(1).shape, []).append(weight)
            for shape, weights in by_shape.items():
                steps = orthogonal(torch.stack([self._average(w, group) for w in weights]))
                steps *= ADAM_LIKE * max(shape) ** 0.5
                for weight, step in zip(weights, steps, strict=True):
                    weight.sub_(group["lr"] * step.reshape(weight.shape))

    def _average(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """Return Nesterov's look-ahead, (outputs, inputs * taps)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"].lerp_(weight.grad, 1 - group["momentum"])
        return weight.grad.lerp(average, group["momentum"]).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of (N, rows, columns), float32, close to 1: most to 0.7 to 1.2."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices.float() if wide else matrices.float().mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.mT


def is_matrix(weight: nn.Parameter) -> bool:
    """Return whether `weight` mixes channels: a depthwise convolution and a vector do not."""
    return weight.dim() > 1 and weight.shape[1] > 1
