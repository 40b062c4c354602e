"""A Triton kernel is used where it compiles and is right, and nowhere else."""

import warnings

import pytest
import torch

from vsrdb_cli.network.triton_kernel import Kernel


def doubled(x):
    return 2 * x


def filled_with(factor):
    def launch(x, out):
        out.copy_(factor * x)

    return launch


@pytest.fixture
def x():
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


def test_a_kernel_that_agrees_is_launched_every_time_and_compared_once(x):
    compared = []

    def reference(x):
        compared.append(x)
        return doubled(x)

    kernel = Kernel("doubling", filled_with(2.001), reference, compared=True)
    for _ in range(3):
        assert torch.equal(kernel(x, out=torch.empty_like(x)), 2.001 * x)
    assert len(compared) == 1


@pytest.mark.parametrize("wrong", [2.1, 0.0, float("nan")])
def test_in_place_of_a_wrong_kernel_the_reference_runs_and_that_is_said_once(x, wrong):
    kernel = Kernel("doubling", filled_with(wrong), doubled, compared=True)
    with pytest.warns(RuntimeWarning, match="doubling takes a slower way: .* is wrong") as said:
        found = [kernel(x, out=torch.empty_like(x)) for _ in range(2)]
    assert len(said) == 1
    for one in found:
        assert torch.equal(one, doubled(x))


def test_a_kernel_that_is_not_compared_needs_no_reference(x):
    kernel = Kernel("doubling", filled_with(3), None, compared=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(kernel(x, out=torch.empty_like(x)), 3 * x)


@pytest.mark.parametrize(
    "error", [RuntimeError("PassManager::run failed"), AssertionError("no dot of this kind")]
)
def test_a_kernel_that_this_gpu_cannot_have_is_replaced(x, error):
    def launch(x, out):
        raise error

    kernel = Kernel("doubling", launch, doubled, compared=True)
    with pytest.warns(RuntimeWarning, match="Triton has no kernel for it"):
        assert torch.equal(kernel(x, out=torch.empty_like(x)), doubled(x))


def test_what_goes_wrong_on_the_gpu_itself_is_told():
    def launch(x, out):
        raise torch.OutOfMemoryError("CUDA out of memory")

    kernel = Kernel("doubling", launch, doubled, compared=True)
    with pytest.raises(torch.OutOfMemoryError):
        kernel(torch.zeros(3), out=torch.zeros(3))
