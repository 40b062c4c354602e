"""What every source promises, whatever it reads: a file, a part of one, pictures, or a pipe."""

import io
import pickle
from itertools import pairwise

import clips
import pytest
from restoring import y4m_of
from sequences import sequence

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.frame import SeekableSource
from vsrdb_cli.video.reading.open import open_again, open_requested, open_source
from vsrdb_cli.video.reading.y4m_reader import PipeReader


def video(folder):
    return open_source(clips.make(folder / "in.mp4", frames=8, height=48, width=64))


def video_without_a_rate(folder):
    pts = tuple(3003 * i + 7 * (i % 3) + (40000 if i > 4 else 0) for i in range(8))
    return open_source(clips.make(folder / "in.mkv", frames=8, height=48, width=64, pts=pts))


def part(folder):
    path = clips.make(folder / "in.mp4", frames=20, first=0, height=48, width=64)
    return open_requested(path, RestoreOptions(start="5f", end="13f"))


def pictures(folder):
    return open_source(sequence(folder / "in", range(8)))


def part_of_pictures(folder):
    return open_requested(sequence(folder / "in", range(12)), RestoreOptions(start="2f", end="10f"))


def pipe(folder):
    path = clips.make(folder / "in.mp4", frames=8, height=48, width=64)
    return PipeReader(io.BytesIO(y4m_of(path)))


def filtered_part(folder):
    path = clips.make(folder / "in.mp4", frames=20, first=0, height=48, width=64)
    return open_requested(path, RestoreOptions(start="5f", end="13f", prefilter="null"))


def filtered_pictures(folder):
    return open_requested(sequence(folder / "in", range(8)), RestoreOptions(prefilter="null"))


FIRST = {part: 5, part_of_pictures: 2}  # the number of the first frame, where it is not 0
SEEKABLE = [video, video_without_a_rate, part, pictures, part_of_pictures]
EVERY = pytest.mark.parametrize("opened", [*SEEKABLE, pipe])
EVERY_SEEKABLE = pytest.mark.parametrize("opened", SEEKABLE)


def numbers(frames):
    return [clips.number_in(frame.rgb.permute(1, 2, 0).numpy()) for frame in frames]


@EVERY
def test_its_frames_come_once_in_order_and_are_counted(tmp_path, opened):
    with opened(tmp_path) as source:
        first = FIRST.get(opened, 0)
        assert numbers(source.frames()) == list(range(first, first + 8))
        assert source.report.frames == 8
        assert not source.report.damaged


@EVERY
def test_what_it_says_before_is_true_of_its_frames(tmp_path, opened):
    with opened(tmp_path) as source:
        info = source.info
        for frame in source.frames():
            assert tuple(frame.rgb.shape) == (3, info.height, info.width) == (3, 48, 64)
            assert frame.rgb.element_size() * 8 == info.bit_depth


@EVERY
def test_times_begin_at_0_and_each_frame_ends_where_the_next_begins(tmp_path, opened):
    with opened(tmp_path) as source:
        frames = list(source.frames())
    assert frames[0].pts == 0
    for frame, following in pairwise(frames):
        assert frame.duration > 0
        assert frame.pts + frame.duration == following.pts


@EVERY_SEEKABLE
def test_it_can_be_read_again_and_gives_the_same(tmp_path, opened):
    with opened(tmp_path) as source:
        assert isinstance(source, SeekableSource)
        assert numbers(source.frames()) == numbers(source.frames())


@pytest.mark.parametrize("opened", [*SEEKABLE, filtered_part, filtered_pictures])
def test_opened_again_in_another_process_it_gives_the_same(tmp_path, opened):
    with opened(tmp_path) as source, open_again(pickle.loads(pickle.dumps(source.info))) as again:
        assert again.info == source.info
        first, second = list(source.frames()), list(again.frames())
    assert [(f.pts, f.duration) for f in first] == [(f.pts, f.duration) for f in second]
    assert numbers(first) == numbers(second)


@EVERY_SEEKABLE
@pytest.mark.parametrize("first, last", [(0, 3), (3, 7), (5, None), (7, 8), (0, 0)])
@pytest.mark.cases
def test_a_range_is_that_part_of_the_whole(tmp_path, opened, first, last):
    with opened(tmp_path) as source:
        whole = list(source.frames())
        some = list(source.frames(first, last))
    assert [(f.pts, f.duration) for f in some] == [(f.pts, f.duration) for f in whole[first:last]]
    assert numbers(some) == numbers(whole[first:last])


@pytest.mark.parametrize("opened", [video, video_without_a_rate, pictures])
def test_times_and_sizes_without_pictures_are_those_of_the_frames(tmp_path, opened):
    with opened(tmp_path) as source:
        pts = [frame.pts for frame in source.frames()]
        assert list(source.times()) == pts
        assert sorted(time for time, _ in source.sizes()) == [
            time * source.info.time_base for time in pts
        ]
        assert all(size > 0 for _, size in source.sizes())


@pytest.mark.parametrize("opened, outside", [(part, [3, 4, 5]), (part_of_pictures, [0, 1, 2])])
def test_a_part_has_the_frames_around_it_for_context(tmp_path, opened, outside):
    with opened(tmp_path) as source:
        assert numbers(source.frames(-2, 1)) == outside
        assert numbers(source.frames(7, 10))[1:] == [FIRST[opened] + 8, FIRST[opened] + 9]


def test_a_pipe_is_no_source_to_be_read_twice(tmp_path):
    with pipe(tmp_path) as source:
        assert not isinstance(source, SeekableSource)
