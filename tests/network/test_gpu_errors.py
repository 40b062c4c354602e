import pytest
import torch

from vsrdb_cli.network.gpu_errors import is_dead_context


@pytest.mark.parametrize("words", [
    "CUDA error: an illegal memory access was encountered",
    "Triton Error [CUDA]: an illegal memory access was encountered",
    "CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
])  # fmt: skip
def test_after_some_errors_nothing_more_runs_on_the_gpu(words):
    assert is_dead_context(RuntimeError(words))


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("CUDNN_STATUS_NOT_SUPPORTED"),
    ValueError("illegal memory access"),
])  # fmt: skip
def test_after_others_it_can_go_on(error):
    assert not is_dead_context(error)
