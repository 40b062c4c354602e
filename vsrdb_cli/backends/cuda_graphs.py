"""Work on tensors of one size, recorded once and from then on launched as a whole.

FMA-Net is some thousand short kernels. Launched one by one they leave a GPU idle for most of the
time; a CUDA graph launches all of them at once. Same kernels, same numbers.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.network.gpu_errors import is_dead_context
from vsrdb_cli.network.layout import Joined, frames_of, join

# A recording takes as long as some calls: pictures that come once or twice are not worth it.
_PLAIN_CALLS = 2

Work = Callable[[Sequence[Tensor]], Sequence[Tensor]]
_Key = tuple[str, tuple[torch.Size, ...]]


def is_wanted(device: torch.device) -> bool:
    """Return whether work on a device is recorded; VSRDB_CUDA_GRAPHS=0 turns it off."""
    return device.type == "cuda" and os.environ.get("VSRDB_CUDA_GRAPHS") != "0"


class Recorder:
    """Does work on a GPU; what comes often in one size it records and replays.

    Work has a name, and makes tensors of tensors without waiting for the GPU. Where memory does not
    suffice for a recording, or it cannot be made, the work is done as it would be without.

    It is called with the tensors of one or several frames; work gets those of all frames joined. A
    recording holds them joined, and copies each to its place: it joins nothing itself.

    All recordings share the memory they work in, as much as the widest takes. They give it back
    when pictures of another size come, so whoever plans for that size may count it as free.

    Args:
        device: the GPU.
        cuda: records and replays.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._device, self._cuda = device, cuda
        # By default torch records on one stream of the first GPU, also what another one does:
        # nothing of that is in the graph, and every replay leaves the first result as it is.
        self._stream = cuda.Stream(device)
        self._size: torch.Size | None = None
        self._calls: dict[_Key, int] = {}
        self._recordings: dict[_Key, _Recording] = {}
        self._gave_up = False

    @property
    def count(self) -> int:
        """The number of recordings that are kept."""
        return len(self._recordings)

    def __call__(
        self, name: str, work: Work, frames: Sequence[Sequence[Tensor]]
    ) -> Sequence[Tensor]:
        try:
            recording = self._recording(name, work, frames)
            return work(Joined(frames)) if recording is None else recording.replay(frames)
        except torch.OutOfMemoryError:
            if not self._recordings:
                raise
            self._forget()
        return work(Joined(frames))

    def _recording(
        self, name: str, work: Work, frames: Sequence[Sequence[Tensor]]
    ) -> _Recording | None:
        """Return the recording of this work in this size, if it has come often enough."""
        size = frames[0][0].shape[-2:]
        if size != self._size:
            self._forget()
            self._size = size
        key = name, tuple(tensor.shape for tensors in frames for tensor in tensors)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= _PLAIN_CALLS or self._gave_up:
            return None
        if key not in self._recordings:
            try:
                self._recordings[key] = self._recorded(work, frames)
            except torch.OutOfMemoryError:
                self._forget()
                self._gave_up = True
                return None
            except RuntimeError as error:
                if is_dead_context(error):
                    raise
                self._gave_up = True
                warnings.warn(
                    f"the GPU is used without CUDA graphs, which is slower: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return None
        return self._recordings[key]

    def _recorded(self, work: Work, frames: Sequence[Sequence[Tensor]]) -> _Recording:
        inputs = [join(tensors).clone() for tensors in zip(*frames, strict=True)]
        graph = self._cuda.CUDAGraph()
        # Where another one works, too: results are copied before anything else is replayed.
        pool = next((other.graph.pool() for other in self._recordings.values()), None)
        # Threads that read and write video may use the GPU meanwhile.
        with (
            self._cuda.device(self._device),
            self._cuda.graph(
                graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"
            ),
        ):
            outputs = work(inputs)
        read = [frames_of(tensor, len(frames)) for tensor in inputs]
        return _Recording(graph, list(zip(*read, strict=True)), outputs)

    def _forget(self) -> None:
        self._recordings.clear()
        self._calls.clear()


@dataclass(frozen=True)
class _Recording:
    """A graph, and the tensors it reads, by frame, and leaves its results in."""

    graph: Any
    frames: Sequence[Sequence[Tensor]]
    outputs: Sequence[Tensor]

    def replay(self, frames: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
        read, given = (list(itertools.chain(*one)) for one in (self.frames, frames))
        torch._foreach_copy_(read, given)  # in a few launches
        self.graph.replay()
        # Copies: the next replay overwrites what this one made.
        return [tensor.clone() for tensor in self.outputs]
