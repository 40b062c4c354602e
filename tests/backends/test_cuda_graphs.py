"""When work on a GPU is recorded, with a recording that counts in the GPU's place."""

import pytest
import torch

from vsrdb_cli.backends import cuda_graphs
from vsrdb_cli.backends.cuda_graphs import Recorder, is_wanted


class Counting:
    """Work that keeps what it was given, and the recordings made of it."""

    def __init__(self):
        self.plain, self.recorded, self.replayed = [], [], []
        self.recording_fails = self.replaying_fails = self.working_fails = None

    def work(self, inputs):
        if self.working_fails:
            raise self.working_fails
        self.plain.append(inputs[0].shape[0])
        return [tensor * 2 for tensor in inputs]

    def recording(self, work, inputs, device):
        if self.recording_fails:
            raise self.recording_fails
        self.recorded.append(inputs[0].shape[0])
        counting = self

        class Recording:
            def replay(self, inputs):
                if counting.replaying_fails:
                    raise counting.replaying_fails
                counting.replayed.append(inputs[0].shape[0])
                return [tensor * 2 for tensor in inputs]

        return Recording()


@pytest.fixture
def counting(monkeypatch):
    counting = Counting()
    monkeypatch.setattr(cuda_graphs, "_Recording", counting.recording)
    return counting


@pytest.fixture
def recorder():
    return Recorder(torch.device("cuda", 0))


def call(recorder, counting, size, times=1):
    for _ in range(times):
        (doubled,) = recorder("double", counting.work, [torch.ones(size)])
        assert torch.equal(doubled, torch.full((size,), 2.0))


def test_from_its_third_call_on_work_of_a_size_is_replayed(recorder, counting):
    call(recorder, counting, 3, times=5)
    call(recorder, counting, 4, times=2)
    assert counting.plain == [3, 3, 4, 4]
    assert counting.recorded == [3]
    assert counting.replayed == [3, 3, 3]


def test_of_many_sizes_the_last_are_kept(recorder, counting):
    for size in range(1, 6):
        call(recorder, counting, size, times=3)
    call(recorder, counting, 5)
    assert counting.recorded == [1, 2, 3, 4, 5]
    counting.plain.clear()
    call(recorder, counting, 1)
    assert counting.plain == [1]


def test_where_memory_is_short_for_a_recording_work_goes_on_without(recorder, counting):
    counting.recording_fails = torch.OutOfMemoryError("out of memory")
    call(recorder, counting, 3, times=4)
    assert counting.plain == [3] * 4


def test_what_cannot_be_recorded_is_said_once_and_done_without(recorder, counting):
    counting.recording_fails = RuntimeError("operation not permitted when stream is capturing")
    call(recorder, counting, 3, times=2)
    with pytest.warns(RuntimeWarning, match="without CUDA graphs.*not permitted") as said:
        call(recorder, counting, 3, times=3)
    assert len(said) == 1
    assert counting.plain == [3] * 5


def test_when_memory_runs_out_the_recordings_give_theirs_back_first(recorder, counting):
    call(recorder, counting, 3, times=3)
    counting.replaying_fails = torch.OutOfMemoryError("out of memory")
    call(recorder, counting, 3)
    assert counting.plain == [3, 3, 3]
    counting.working_fails = torch.OutOfMemoryError("out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        call(recorder, counting, 3)


def test_other_failures_are_told_as_they_are(recorder, counting):
    call(recorder, counting, 3, times=3)
    counting.replaying_fails = RuntimeError("an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        call(recorder, counting, 3)


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
