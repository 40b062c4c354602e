import pytest
import torch
import torch.nn.functional as F
from recipe.padding import pad_by_concatenation


@pytest.fixture
def concatenating(monkeypatch):
    monkeypatch.setattr(F, "pad", F.pad)  # what it was comes back
    pad_by_concatenation()


def test_concatenated_edges_have_the_gradients_of_replicate_padding(concatenating):
    picture = torch.rand(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    sides = (2, 1, 3, 0)
    plain = torch.ops.aten.replication_pad2d(picture, sides)
    found = F.pad(picture, sides, mode="replicate")
    torch.testing.assert_close(found, plain, rtol=0, atol=0)
    weights = torch.rand_like(plain)
    (wanted,) = torch.autograd.grad((plain * weights).sum(), picture, retain_graph=True)
    (gradient,) = torch.autograd.grad((found * weights).sum(), picture)
    torch.testing.assert_close(gradient, wanted)


def test_other_paddings_are_as_they_were(concatenating):
    picture = torch.rand(1, 1, 3, 3)
    torch.testing.assert_close(
        F.pad(picture, (1, 0), value=2.0)[..., 0], torch.full((1, 1, 3), 2.0)
    )
