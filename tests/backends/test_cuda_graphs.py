"""When work on a GPU is recorded, with GPUs that are not there."""

import weakref

import pytest
import torch
from made_up_cuda import MadeUpCuda

from vsrdb_cli.backends.cuda_graphs import Recorder, is_wanted


class Doubling:
    """Work in one kernel; how often it was launched one by one and recorded, by size."""

    def __init__(self, device="cuda:0", cuda=None):
        self.cuda = cuda or MadeUpCuda()
        self.recorder = Recorder(torch.device(device), self.cuda)
        self.device, self.plain, self.fails = device, [], None

    def work(self, inputs):
        if self.fails:
            raise self.fails
        doubled = torch.empty_like(inputs[0])
        self.cuda.launch(lambda: torch.mul(inputs[0], 2, out=doubled), self.device)
        self.plain.append(inputs[0].shape[0])
        return [doubled]

    def __call__(self, size, times=1):
        for _ in range(times):
            given = torch.rand(size)
            (doubled,) = self.recorder("double", self.work, [[given]])
            assert torch.equal(doubled, 2 * given)

    @property
    def replays(self):
        return [graph.replays for graph in self.cuda.graphs]


def test_from_its_third_call_on_work_of_a_size_is_replayed():
    double = Doubling()
    double(3, times=5)
    double(4, times=2)
    assert double.plain == [3, 3, 3, 4, 4]
    assert double.replays == [3]


@pytest.mark.parametrize("clips", [1, 2])
def test_work_is_given_the_tensors_of_several_frames_joined(clips):
    double = Doubling()
    for _ in range(5):
        frames = [[torch.rand(clips, 2, 4, 5), torch.rand(clips, 3, 4, 5)] for _ in range(3)]
        expected = torch.stack([tensors[0] for tensors in frames], dim=1).flatten(0, 1) * 2
        (found,) = double.recorder("double", double.work, frames)
        assert torch.equal(found, expected)
    assert double.replays == [3]


def test_two_gpus_of_one_process_each_replay_their_own_work():
    cuda = MadeUpCuda()
    first, second = Doubling("cuda:0", cuda), Doubling("cuda:1", cuda)
    for _ in range(5):
        first(3)
        second(3)
    assert first.replays == [3, 3]
    assert [len(graph.kernels) for graph in cuda.graphs] == [1, 1]


def test_recordings_give_their_memory_back_to_pictures_of_another_size():
    double = Doubling()
    double(3, times=4)
    (recording,) = map(weakref.ref, double.cuda.graphs)
    double.cuda.graphs.clear()
    assert double.recorder.count == 1
    double(4)
    assert recording() is None
    assert double.recorder.count == 0
    double(3)
    assert double.plain == [3, 3, 3, 4, 3]


def test_recordings_of_one_size_work_in_the_same_memory():
    double = Doubling()
    for name in ("encode", "restore"):
        for _ in range(3):
            double.recorder(name, double.work, [[torch.rand(3)]])
    encode, restore = double.cuda.graphs
    assert restore.pool() is encode.pool()


def test_where_memory_is_short_for_a_recording_work_goes_on_without():
    double = Doubling()
    double.cuda.recording_fails = torch.OutOfMemoryError("out of memory")
    double(3, times=4)
    assert double.plain == [3] * 4


def test_what_cannot_be_recorded_is_said_once_and_done_without():
    double = Doubling()
    double.cuda.recording_fails = RuntimeError("operation not permitted when stream is capturing")
    double(3, times=2)
    with pytest.warns(RuntimeWarning, match="without CUDA graphs.*not permitted") as said:
        double(3, times=3)
    assert len(said) == 1
    assert double.plain == [3] * 5


def test_when_memory_runs_out_the_recordings_give_theirs_back_first():
    double = Doubling()
    double(3, times=3)
    double.cuda.replaying_fails = torch.OutOfMemoryError("out of memory")
    double(3)
    assert double.plain == [3, 3, 3, 3]
    double.fails = torch.OutOfMemoryError("out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        double(3)


def test_a_gpu_that_fails_for_good_while_it_records_is_told_at_once():
    double = Doubling()
    double.cuda.recording_fails = RuntimeError("CUDA error: unspecified launch failure")
    double(3, times=2)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        double(3)
    assert double.plain == [3, 3]


def test_other_failures_are_told_as_they_are():
    double = Doubling()
    double(3, times=3)
    double.cuda.replaying_fails = RuntimeError("an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        double(3)


@pytest.mark.parametrize(
    "device, said, wanted",
    [("cuda", None, True), ("cuda:1", "1", True), ("cuda", "0", False), ("cpu", None, False)],
)
def test_gpus_record_unless_told_not_to(monkeypatch, device, said, wanted):
    if said is None:
        monkeypatch.delenv("VSRDB_CUDA_GRAPHS", raising=False)
    else:
        monkeypatch.setenv("VSRDB_CUDA_GRAPHS", said)
    assert is_wanted(torch.device(device)) is wanted
