import pytest
import torch
import torch.nn.functional as F

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.checkpoints.registry import METHODS
from vsrdb_cli.errors import BackendError


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("height, width", [(1, 1), (2, 5), (16, 17), (50, 33)])
def test_bicubic_is_that_of_torch_pillow_and_matlab(height, width, scale):
    picture = torch.rand(2, 3, height, width)
    size = (scale * height, scale * width)
    wanted = F.interpolate(picture, size=size, mode="bicubic", antialias=True)
    torch.testing.assert_close(bicubic(picture, scale), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs(name):
    runner = load_runner(name)
    picture = torch.rand(1, 3, 4, 6)
    assert runner.restore([picture] * runner.length).shape == (1, 3, 16, 24)


@pytest.mark.parametrize("asked", [{"device": "cuda:7"}, {"precision": "float16"}])
def test_what_has_no_parameters_refuses_what_it_would_not_heed(asked):
    with pytest.raises(BackendError, match="'bicubic' has no parameters, so it runs on the CPU in"):
        load_runner("bicubic", **asked)
