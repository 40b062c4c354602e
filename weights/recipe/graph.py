"""Run a training step as a CUDA graph.

A step of a small network is thousands of short kernels; launched one by one they leave a GPU idle
for more than half of the time. A graph launches them as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from recipe.losses import Subject
from recipe.pool import Batch
from torch import Tensor

WARM_STEPS = 3  # libraries choose their kernels and take their memory before a capture

Update = Callable[[Batch, Subject], dict[str, Tensor]]


class GraphedUpdate:
    """`update`, from the fourth call with a kind and size of batch on replayed from a graph.

    Args:
        update: takes a step on a batch and returns 0-dimensional tensors. What it reads and writes
            besides must stay where it is in memory, and it may neither read anything back from
            the GPU nor depend on anything that changes on the host.
        device: the GPU; torch would record on the first one's stream, whichever works.
        cuda: what records; a test gives its own.
    """

    def __init__(self, update: Update, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._update, self._device, self._cuda = update, device, cuda
        self._stream = cuda.Stream(device)
        self._seen: dict[tuple[Subject, torch.Size], int] = {}
        self._captured: dict[tuple[Subject, torch.Size], _Captured] = {}

    def __call__(self, batch: Batch, learns: Subject) -> dict[str, Tensor]:
        key = learns, batch.clip.shape
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        if seen <= WARM_STEPS:
            callers = self._cuda.current_stream(self._device)
            self._stream.wait_stream(callers)
            with self._cuda.stream(self._stream):
                found = self._update(batch, learns)
            callers.wait_stream(self._stream)
            return found
        if key not in self._captured:
            with self._cuda.device(self._device):
                captured = _Captured(self._update, batch, learns, self._stream, self._cuda)
            self._captured[key] = captured
        return self._captured[key].replay(batch)


class _Captured:
    """A graph and the memory it reads and writes."""

    def __init__(
        self, update: Update, batch: Batch, learns: Subject, stream: Any, cuda: Any
    ) -> None:
        self._batch = Batch(*(part.clone() for part in batch))
        self._graph = cuda.CUDAGraph()
        with cuda.graph(self._graph, stream=stream):
            self._found = update(self._batch, learns)

    def replay(self, batch: Batch) -> dict[str, Tensor]:
        """Replay the graph; the next call overwrites the tensors."""
        for own, given in zip(self._batch, batch, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._found
