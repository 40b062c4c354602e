"""A Triton kernel is used where it compiles and is right, and nowhere else."""

import re
import warnings

import pytest
import torch

from vsrdb_cli.network import fused
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
def test_the_reference_replaces_a_wrong_kernel_with_one_warning(x, wrong):
    kernel = Kernel("doubling", filled_with(wrong), doubled, compared=True)
    with pytest.warns(RuntimeWarning, match="doubling is slower .* is wrong") as said:
        found = [kernel(x, out=torch.empty_like(x)) for _ in range(2)]
    assert len(said) == 1
    for one in found:
        assert torch.equal(one, doubled(x))


@pytest.mark.parametrize(
    "other",
    [
        torch.ones(4, 5).half(),
        torch.ones(4, 5, dtype=torch.bfloat16),
        torch.ones(4, 6),
        torch.ones(5, 4).t(),
    ],
)
def test_every_variant_of_a_kernel_is_compared_for_itself(x, other):
    """What was right in one number type, width or layout may be wrong in another."""

    def launch(x, out):
        out.copy_(2 * x if x is not other else x)

    kernel = Kernel("doubling", launch, doubled, compared=True)
    assert torch.equal(kernel(x, out=torch.empty_like(x)), doubled(x))
    with pytest.warns(RuntimeWarning, match="is wrong"):
        assert torch.equal(kernel(other, out=torch.empty_like(other)), doubled(other))
    assert list(kernel.works.values()) == [True, False]


def test_a_variant_has_its_numbers(x):
    def launch(x, factor, out):
        out.copy_(2 * x)

    kernel = Kernel("scaling", launch, torch.mul, compared=True)
    assert torch.equal(kernel(x, 2, out=torch.empty_like(x)), 2 * x)
    with pytest.warns(RuntimeWarning, match="is wrong"):
        assert torch.equal(kernel(x, 3, out=torch.empty_like(x)), 3 * x)


def test_a_variant_has_its_list_of_operands(x):
    def launch(parts, out):
        out.copy_(parts[0] + parts[1])

    kernel = Kernel("summing up", launch, sum, compared=True)
    assert torch.equal(kernel([x, x], out=torch.empty_like(x)), 2 * x)
    with pytest.warns(RuntimeWarning, match="is wrong"):
        assert torch.equal(kernel([x, x, x], out=torch.empty_like(x)), 3 * x)


def test_another_operand_that_is_filled_is_compared_too(x):
    def launch(x, copy, out):
        out.copy_(2 * x)

    def reference(x, copy):
        return copy.copy_(2 * x)

    kernel = Kernel(
        "doubling", launch, reference, compared=True, also_filled=lambda x, copy: [copy]
    )
    copy = torch.zeros_like(x)
    with pytest.warns(RuntimeWarning, match="is wrong"):
        kernel(x, copy, out=torch.empty_like(x))
    assert torch.equal(copy, 2 * x)


def test_a_large_part_of_a_result_does_not_hide_that_a_small_one_is_wrong(x):
    def squares_alone(x, out):
        out.copy_(torch.stack((torch.zeros_like(x), 1e4 * x)))

    kernel = Kernel(
        "both",
        squares_alone,
        lambda x: torch.stack((x, 1e4 * x)),
        compared=True,
        parts=list,
    )
    with pytest.warns(RuntimeWarning, match="is wrong"):
        assert torch.equal(kernel(x, out=torch.empty(2, 4, 5))[0], x)


def test_without_its_products_attentions_kernel_is_wrong():
    def squares_alone(*operands):
        operands[-1].copy_(fused.products_reference(*operands[:-1]))
        operands[-1][:, :, :, :-2] = 0

    kernel = fused.attention_kernel(squares_alone)
    generator = torch.Generator().manual_seed(0)
    q, k_v = (torch.randn(1, 6 * times, 40, 50, generator=generator) for times in (1, 2))
    taps = [torch.randn(6 * times, 1, 3, 3, generator=generator) for times in (1, 2)]
    values, products = torch.empty(1, 6, 40, 50), torch.empty(1, 1, 2, 5, 3)
    with pytest.warns(RuntimeWarning, match="attention is slower without its kernel: .* is wrong"):
        kernel(q, k_v, *taps, None, None, 2, values, out=products)


def test_a_kernel_that_is_not_compared_needs_no_reference(x):
    kernel = Kernel("doubling", filled_with(3), None, compared=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(kernel(x, out=torch.empty_like(x)), 3 * x)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("PassManager::run failed"),
        RuntimeError("Triton Error [CUDA]: device kernel image is invalid"),
        RuntimeError("Internal Triton PTX codegen error: `ptxas` returned 255"),
        AssertionError("no dot of this kind"),
        AssertionError(),
    ],
)
def test_a_kernel_that_this_gpu_cannot_have_is_replaced(x, error):
    def launch(x, out):
        raise error

    kernel = Kernel("doubling", launch, doubled, compared=True)
    with pytest.warns(RuntimeWarning, match="Triton has no kernel for it"):
        assert torch.equal(kernel(x, out=torch.empty_like(x)), doubled(x))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    ],
)
def test_what_goes_wrong_on_the_gpu_itself_is_told(error):
    def launch(x, out):
        raise error

    kernel = Kernel("doubling", launch, doubled, compared=True)
    with pytest.raises(RuntimeError, match=re.escape(str(error))):
        kernel(torch.zeros(3), out=torch.zeros(3))
