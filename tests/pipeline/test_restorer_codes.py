"""A video's frames leave the network as codes, finished where they were computed."""

import math

import pytest
import torch

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.errors import BackendError
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.video.pixels.colour import to_planes


class OnDevice(BuiltinRunner):
    """Leaves its pictures where a GPU would."""

    left = 0

    def restore_on_device(self, window):
        self.left += 1
        return super().restore(window)


class Broken(BuiltinRunner):
    def restore(self, window):
        return super().restore(window).fill_(math.nan)


def pictures(count=5):
    generator = torch.Generator().manual_seed(0)
    return [(i, torch.rand(3, 12, 16, generator=generator)) for i in range(count)]


@pytest.mark.parametrize("changes", [{}, {"scale": 2}, {"strength": 0.5}])
def test_the_codes_are_those_of_the_pictures_in_their_order(changes):
    restorer = Restorer(OnDevice("bicubic"), tile=None, **changes)
    wanted = [(item, to_planes(picture, 8)) for item, picture in restorer.run(pictures())]
    found = list(restorer.run_to_codes(pictures(), 8))
    assert [item for item, _ in found] == list(range(5))
    for (_, codes), (_, expected) in zip(found, wanted, strict=True):
        assert torch.equal(codes, expected)


def test_a_runner_that_can_leaves_them_on_its_device():
    runner = OnDevice("nearest")
    list(Restorer(runner, tile=None).run_to_codes(pictures(), 8))
    assert runner.left == 5


def test_a_frame_that_is_not_finite_ends_the_run():
    restorer = Restorer(Broken("nearest"), tile=None)
    with pytest.raises(BackendError, match="not finite"):
        list(restorer.run_to_codes(pictures(), 8))
    with pytest.raises(BackendError, match="not finite"):
        list(restorer.run(pictures()))


def test_a_program_is_told_of_a_picture_that_is_not_finite():
    with pytest.raises(BackendError, match=r"results of nearest .* are not finite"):
        list(restore_frames([picture for _, picture in pictures()], Broken("nearest")))


class Crowded(torch.Tensor):
    """A picture on a device that has no room for anything beside it."""

    def aminmax(self):
        raise torch.OutOfMemoryError("CUDA out of memory")


class NoRoom(BuiltinRunner):
    """Leaves whole pictures on such a device; tiles go to the CPU."""

    def restore_on_device(self, window):
        return super().restore(window).as_subclass(Crowded)


def test_tiles_get_smaller_if_memory_runs_out_at_the_end_of_a_picture():
    generator = torch.Generator().manual_seed(0)
    large = [(i, torch.rand(3, 150, 180, generator=generator)) for i in range(4)]
    sides = []
    restorer = Restorer(NoRoom("nearest"), tile=None, on_shrink=sides.append)
    found = list(restorer.run_to_codes(large, 8))
    assert sides == [120] == [restorer.tile]
    wanted = Restorer(BuiltinRunner("nearest"), tile=None).run_to_codes(large, 8)
    for (_, codes), (_, expected) in zip(found, wanted, strict=True):
        assert torch.equal(codes, expected)
