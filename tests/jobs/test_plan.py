"""Plans: where a video is divided; the first pass finds the cuts that an unbroken run finds."""

from fractions import Fraction

import clips
import long_jobs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsrdb_cli.jobs.plan import Plan, divide, plan_segments
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.open import open_source


@pytest.mark.parametrize("frames, bounds", [
    (1, (0, 1)), (10, (0, 10)), (11, (0, 10, 11)), (35, (0, 10, 20, 30, 35)),
])  # fmt: skip
def test_a_video_without_cuts_is_divided_evenly_the_rest_last(frames, bounds):
    assert divide(range(frames), range(frames), [0], Fraction(10)) == bounds


@pytest.mark.parametrize("cut, bounds", [
    (7, (0, 10, 20, 25)),  # 3 of 10 away: too far
    (8, (0, 8, 18, 25)),
    (12, (0, 12, 22, 25)),
    (13, (0, 10, 20, 25)),
])  # fmt: skip
def test_a_bound_moves_to_a_scene_cut_that_is_near(cut, bounds):
    assert divide(range(25), range(25), [0, cut], Fraction(10)) == bounds


def test_the_nearest_of_several_cuts_is_taken():
    assert divide(range(25), range(25), [0, 8, 11, 12], Fraction(10)) == (0, 11, 21, 25)


def test_segments_are_as_long_in_time_not_in_frames():
    times = [0, 1, 2, 3, 4, 50, 51, 52, 53, 200]
    assert divide(times, range(len(times)), [0], Fraction(50)) == (0, 5, 9, 10)


times_and_cuts = st.lists(st.integers(1, 30), min_size=1, max_size=200).flatmap(
    lambda steps: st.tuples(
        st.just([sum(steps[:i]) for i in range(len(steps))]),
        st.lists(st.integers(0, len(steps) - 1), unique=True).map(sorted),
    )
)


@given(times_and_cuts, st.integers(1, 100))
def test_segments_hold_every_frame_once_and_are_not_much_too_long(video, length):
    times, cuts = video
    bounds = divide(times, range(len(times)), cuts, Fraction(length))
    assert bounds[0] == 0
    assert bounds[-1] == len(times)
    plan = Plan(bounds, frozenset(cuts), (0,) * (len(bounds) - 1), 1)
    for segment in plan.segments:
        assert segment.count >= 1
        assert segment.count == 1 or times[segment.last - 1] - times[segment.first] <= 1.25 * length


def test_a_plan_survives_its_json():
    plan = Plan((0, 8, 20), frozenset({0, 8}), (0, 5), 1)
    assert Plan.from_json(plan.to_json()) == plan


def test_the_first_pass_finds_the_cuts_of_an_unbroken_run(tmp_path, monkeypatch):
    source = long_jobs.make_shots(tmp_path / "in.mp4", monkeypatch, frames=40, cuts=(9, 24, 25))
    with open_source(source) as reader:
        plan = plan_segments(reader, segment_seconds=0.4, scene_cuts=True, reach=1)
        detector = SceneCutDetector()
        found = {i for i, f in enumerate(reader.frames()) if detector(to_float(f.rgb))}
    assert plan.cuts == found
    assert {0, 9, 24} <= found
    assert plan.frames == 40
    assert plan.bounds[1] == 9  # one frame before 10, where the shot ends


def test_without_scene_cuts_none_are_looked_for(tmp_path, monkeypatch):
    source = long_jobs.make_shots(tmp_path / "in.mp4", monkeypatch, frames=25, cuts=(9,))
    with open_source(source) as reader:
        plan = plan_segments(reader, segment_seconds=0.4, scene_cuts=False, reach=1)
    assert plan.cuts == frozenset()
    assert plan.bounds == (0, 10, 20, 25)


def plan_of(path, reach, lead_in=0):
    with open_source(path) as reader:
        return plan_segments(
            reader, segment_seconds=0.4, scene_cuts=False, reach=reach, lead_in=lead_in
        )


def test_stills_at_both_ends_need_no_more_frames_around_moving_segments(tmp_path):
    """Segments hold as many frames as that, and a cluster sends as many."""
    shows = (*[0] * 30, *range(1, 41), *[41] * 30)
    options = {"codec": "ffv1", "options": {}, "height": 24, "width": 32}
    path = clips.make(tmp_path / "in.mkv", frames=len(shows), shows=shows, **options)
    plan = plan_of(path, reach=1)
    assert len(plan.segments) >= 4
    assert plan.margin == 1


def test_a_still_that_windows_of_five_see_beyond_is_within_the_margin(tmp_path):
    shows = (*range(10), *[10] * 20, *range(11, 21))
    options = {"codec": "ffv1", "options": {}, "height": 24, "width": 32}
    path = clips.make(tmp_path / "in.mkv", frames=len(shows), shows=shows, **options)
    plan = plan_of(path, reach=2)
    # The segment of what moves afterwards begins after the still, and sees the picture before it.
    assert 30 in plan.bounds
    assert plan.margin == 21
