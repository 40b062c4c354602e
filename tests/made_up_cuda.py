"""GPUs that are not there, in place of `torch.cuda`: what is recorded, and on whose stream."""

from contextlib import contextmanager

import torch


class MadeUpCuda:
    """Does kernels at once on the CPU, or keeps them for the graph that is being recorded.

    As with torch, only what runs on the GPU of the recording's stream is recorded, and a recording
    that is given no stream has the one that the first of all was made on.

    Attributes:
        recording_fails, replaying_fails: what is raised there, if anything.
        graphs: all there have been.
    """

    def __init__(self):
        self.recording_fails = self.replaying_fails = None
        self.graphs, self._capture, self._default = [], None, None
        self._current = torch.device("cuda:0")

    @contextmanager
    def device(self, device):
        before, self._current = self._current, device
        yield
        self._current = before

    def Stream(self, device=None):  # noqa: N802
        return Stream(device or self._current)

    def current_stream(self, device=None):
        return self.Stream(device)

    @contextmanager
    def stream(self, stream):
        with self.device(stream.device):
            yield

    def CUDAGraph(self):  # noqa: N802
        return Graph(self)

    @contextmanager
    def graph(self, graph, pool=None, stream=None, capture_error_mode="global"):
        if self.recording_fails:
            raise self.recording_fails
        self._default = self._default or self.Stream()
        graph.shares = pool
        self.graphs.append(graph)
        self._capture = graph, stream or self._default
        yield
        self._capture = None

    def launch(self, kernel, device):
        """Run a kernel on the GPU that its operands are on, or record it."""
        if self._capture is not None:
            graph, stream = self._capture
            if stream.device == torch.device(device):
                graph.kernels.append(kernel)
                return
        kernel()


class Stream:
    def __init__(self, device):
        self.device = device

    def wait_stream(self, other):
        pass


class Graph:
    """Kernels, done again at each replay."""

    def __init__(self, cuda):
        self._cuda, self.kernels, self.shares, self.replays = cuda, [], None, 0

    def pool(self):
        return self if self.shares is None else self.shares

    def replay(self):
        if self._cuda.replaying_fails:
            raise self._cuda.replaying_fails
        self.replays += 1
        for kernel in self.kernels:
            kernel()
