"""Rates and ratios that a benchmark derives from its times."""

import pytest

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.bench.clock import Seconds
from vsrdb_cli.bench.network import Steps, operations
from vsrdb_cli.bench.results import Machine, SizeReport
from vsrdb_cli.bench.video import VideoStages
from vsrdb_cli.bench.whole_run import WholeRun
from vsrdb_cli.network.config import FMANetConfig


def of(wall):
    return Seconds(wall, 2 * wall)


def report(whole, *, network=(6.0, 8.0), video=2.0, **more):
    """The network alone took 6 s a frame before the run and 8 s after; all else 2 s."""
    alone = tuple(Steps(of(seconds / 2), of(seconds / 2)) for seconds in network)
    stages = VideoStages(*(of(video / 4) for _ in range(4)))
    values = {"operations": None, "convolution_rate": None, "memory_before": 0} | more
    return SizeReport(
        32, 24, 4, Machine("", 2, 2, "", None), RunnerInfo("", "", "torch", "cpu", "float32"),
        alone, stages, whole and WholeRun(9, of(whole), 99.0, 700),
        memory_estimate=0, backends=(), problems=(), **values,
    )  # fmt: skip


def test_stages_come_in_the_order_a_frame_goes_through_them():
    found = [(stage.name, stage.seconds.wall) for stage in report(7.0).stages()]
    assert found == [
        ("read", 0.5), ("to RGB", 0.5), ("encode step", 3.5), ("restore step", 3.5),
        ("from RGB", 0.5), ("write", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("whole, ratio, overlap", [
    (7.0, 1.0, 1.0),  # all else is hidden behind the network
    (8.0, 8 / 7, 0.5),
    (9.0, 9 / 7, 0.0),  # one stage after another
    (12.0, 12 / 7, 0.0),  # even slower
    (6.5, 6.5 / 7, 1.0),  # other programs disturbed what was timed alone
])  # fmt: skip
def test_overlap_follows_from_the_whole_run_and_the_stages_alone(whole, ratio, overlap):
    assert report(whole).ratio == pytest.approx(ratio)
    assert report(whole).overlap == pytest.approx(overlap)


def test_a_network_faster_than_all_else_is_what_is_hidden():
    assert report(2.0, network=(1.0, 1.0)).overlap == pytest.approx(1.0)
    assert report(2.5, network=(1.0, 1.0)).overlap == pytest.approx(0.5)


def test_nearness_is_the_networks_best_rate_over_that_of_a_convolution():
    found = report(7.0, operations=600, convolution_rate=200.0)
    assert found.network_rate == pytest.approx(100)
    assert found.nearness == pytest.approx(0.5)


def test_memory_is_what_the_run_added():
    assert report(7.0, memory_before=500).memory == 200


def test_without_a_whole_run_its_fields_are_null():
    values = report(None).to_json()
    assert [values[name] for name in ("whole_seconds", "whole_over_network", "overlap")] == [
        None
    ] * 3


def test_operations_are_the_released_networks_without_those_spared():
    # A forward of the released network is 17.1 million multiply-adds a pixel where features are
    # used again. Frames beyond the ends are skipped (2 of 9 products of K^D's two convolutions),
    # and K^D's last and Net^R's first, 90 to 400 to 90 channels, become one of 5x5.
    skipped = 2 * 9 * 90 * (400 + 90)
    fused_away = 9 * 90 * 400 * (3 + 7) - 25 * 90 * 90 * 7
    found = operations(FMANetConfig(), 90, 160) / 2 / (90 * 160)
    assert found == pytest.approx(17.1e6 - skipped - fused_away, rel=0.015)
