"""A restored picture becomes codes where it was computed, and only if its numbers are finite."""

import math
from types import SimpleNamespace

import pytest
import torch

from vsrdb_cli.errors import BackendError
from vsrdb_cli.pipeline.pending import Pending, reached
from vsrdb_cli.video.pixels.colour import WHITE_8, WHITE_16

# Beyond both ends, and halves of a code.
RESTORED = torch.linspace(-0.1, 1.1, 3 * 8 * 10, dtype=torch.float64).float().reshape(1, 3, 8, 10)
RESTORED[0, 0, 0, :4] = torch.tensor([0.5, 1.5, 2.5, 254.5]) / 255


@pytest.mark.parametrize("depth, white", [(8, WHITE_8), (16, WHITE_16)])
def test_the_codes_are_the_nearest_ones_up_to_white_halves_rounded_to_even(depth, white):
    codes = Pending(RESTORED, depth, "a runner").result()
    exact = (RESTORED[0].clamp(0, 1) * white).flatten().tolist()
    assert codes.int().flatten().tolist() == [round(number) for number in exact]
    assert codes.dtype == (torch.uint8 if depth == 8 else torch.uint16)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_an_error_never_a_picture(value):
    restored = RESTORED.clone()
    restored[0, 2, 3, 4] = value
    with pytest.raises(BackendError, match="results of a runner are not finite") as caught:
        Pending(restored, 8, "a runner").result()
    assert caught.value.hint == "use --precision float32"


def test_a_picture_is_waited_for_asleep():
    events = []

    class Event:
        def __init__(self, **how):
            self.how, self.recorded = how, False
            events.append(self)

        def record(self):
            self.recorded = True

    assert reached(SimpleNamespace(Event=Event)) is events[0]
    assert events[0].how == {"blocking": True}
    assert events[0].recorded
