import pytest
import torch
from recipe.muon import Muon, orthogonal

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(24, 216), (400, 216), (3, 40), (12, 12)])
def test_a_step_has_singular_values_near_to_one_and_keeps_its_directions(shape):
    gradient = torch.randn(2, *shape, generator=GENERATOR)
    found = orthogonal(gradient)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3 and values.max() < 1.3
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    exact = left @ right
    alike = (found * exact).sum() / (found.norm() * exact.norm())
    assert alike > 0.95


def test_a_step_is_as_long_as_adams():
    weight = torch.zeros(64, 8, 3, 3, requires_grad=True)
    weight.grad = torch.randn(weight.shape, generator=GENERATOR)
    Muon([weight], lr=0.01).step()
    length = weight.detach().square().mean().sqrt()
    assert 0.0015 < length < 0.0025  # 0.2 times the rate


def test_the_rate_may_be_a_tensor_as_a_graph_needs_it():
    weights = [torch.ones(4, 5, requires_grad=True) for _ in range(2)]
    for weight, rate in zip(weights, (0.01, torch.tensor(0.01)), strict=True):
        weight.grad = torch.arange(20.0).reshape(4, 5)
        Muon([weight], lr=rate).step()
    assert torch.equal(*weights)
