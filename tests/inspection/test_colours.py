"""Flow in the usual colours, weights in red and blue."""

from __future__ import annotations

import numpy as np
import pytest

from vsrdb_cli.inspection.colours import flow_colours, flow_legend, flow_reach, grey, signed


def colour_of(dx: float, dy: float) -> tuple[int, ...]:
    flow = np.array([dx, dy], np.float32).reshape(2, 1, 1)
    return tuple(flow_colours(flow, 1.0)[0, 0].tolist())


@pytest.mark.parametrize(
    ("dx", "dy", "colour"),
    [
        # From Baker's own program: no motion white, right red, down yellow, left cyan, up violet.
        (0, 0, (255, 255, 255)),
        (1, 0, (255, 0, 0)),
        (0, 1, (255, 229, 0)),
        (-1, 0, (0, 209, 255)),
        (0, -1, (88, 0, 255)),
    ],
)
def test_directions_have_the_colours_of_the_middlebury_wheel(dx, dy, colour):
    np.testing.assert_allclose(colour_of(dx, dy), colour, atol=12)


def test_half_as_long_a_flow_is_half_as_strong_and_a_longer_one_is_darker():
    assert colour_of(0.5, 0) == (255, 128, 128)
    assert max(colour_of(2, 0)) < 200


def test_the_legend_shows_at_its_rim_what_the_reach_looks_like():
    legend = flow_legend(101)
    np.testing.assert_allclose(legend[50, 100], colour_of(1, 0), atol=3)
    np.testing.assert_allclose(legend[100, 50], colour_of(0, 1), atol=3)
    np.testing.assert_allclose(legend[50, 50], 255)


def test_the_reach_is_a_round_number_that_nearly_all_flow_stays_within():
    flow = np.zeros((2, 20, 20), np.float32)
    flow[0] = 3.1
    assert flow_reach(flow) == 5
    flow[0, 0, 0] = 80  # one pixel
    assert flow_reach(flow) == 5


def test_red_adds_blue_takes_away_and_grey_runs_from_black_to_white():
    red, white, blue = signed(np.array([[1.0, 0.0, -1.0]], np.float32), 1.0)[0].astype(int)
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert (white == 255).all()
    assert grey(np.array([[0.0, 2.0]], np.float32), 2.0)[0].tolist() == [[0] * 3, [255] * 3]
