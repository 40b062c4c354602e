"""Work on tensors of one size, recorded once and from then on launched as a whole.

FMA-Net is some thousand short kernels. Launched one by one they leave a GPU idle for most of the
time; a CUDA graph launches all of them at once. Same kernels, same numbers.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# A recording takes as long as some calls, and its memory is its own: pictures that come once or
# twice are not worth it, and of the sizes that come again and again only the last are kept.
_PLAIN_CALLS = 2
_KEPT = 4

Work = Callable[[Sequence[Tensor]], Sequence[Tensor]]
_Key = tuple[str, tuple[torch.Size, ...]]


def is_wanted(device: torch.device) -> bool:
    """Whether work on a device is recorded; VSRDB_CUDA_GRAPHS=0 turns it off."""
    return device.type == "cuda" and os.environ.get("VSRDB_CUDA_GRAPHS") != "0"


class Recorder:
    """Does work on a GPU; what comes often in one size it records and replays.

    Work has a name, and makes tensors of tensors without waiting for the GPU. Where memory does not
    suffice for a recording, or it cannot be made, the work is done as it would be without.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._calls: dict[_Key, int] = {}
        self._recordings: OrderedDict[_Key, _Recording] = OrderedDict()
        self._gave_up = False

    def __call__(self, name: str, work: Work, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        try:
            recording = self._recording(name, work, inputs)
            return work(inputs) if recording is None else recording.replay(inputs)
        except torch.OutOfMemoryError:
            if not self._recordings:
                raise
            self._forget()
        return work(inputs)

    def _recording(self, name: str, work: Work, inputs: Sequence[Tensor]) -> _Recording | None:
        """The one for this work in this size, if it has come often enough."""
        key = name, tuple(tensor.shape for tensor in inputs)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= _PLAIN_CALLS or self._gave_up:
            return None
        if key not in self._recordings:
            while len(self._recordings) >= _KEPT:
                old, _ = self._recordings.popitem(last=False)
                self._calls[old] = 0
            try:
                self._recordings[key] = _Recording(work, inputs, self._device)
            except torch.OutOfMemoryError:
                self._forget()
                self._gave_up = True
                return None
            except RuntimeError as error:
                self._gave_up = True
                warnings.warn(
                    f"the GPU is used without CUDA graphs, which is slower: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return None
        self._recordings.move_to_end(key)
        return self._recordings[key]

    def _forget(self) -> None:
        self._recordings.clear()
        self._calls.clear()


class _Recording:
    """One graph, with the memory it reads its inputs from and leaves its outputs in."""

    def __init__(self, work: Work, inputs: Sequence[Tensor], device: torch.device) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        # Threads that read and write video may use the GPU meanwhile.
        with (
            torch.cuda.device(device),
            torch.cuda.graph(self._graph, capture_error_mode="thread_local"),
        ):
            self._outputs = work(self._inputs)

    def replay(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        torch._foreach_copy_(self._inputs, list(inputs))  # in a few launches
        self._graph.replay()
        # Copies: the next replay overwrites what this one made.
        return [tensor.clone() for tensor in self._outputs]
