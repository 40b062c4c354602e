import subprocess
from fractions import Fraction
from itertools import pairwise

import av
import clips
import numpy as np
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.reading.open import open_source

LOSSLESS = {"codec": "ffv1", "options": {}}


def numbers(frames):
    return [clips.number_in(frame.rgb.permute(1, 2, 0).numpy()) for frame in frames]


def test_every_frame_comes_out_once_in_order_with_b_frames(tmp_path):
    path = clips.make(tmp_path / "in.mp4", frames=12)
    with open_source(path) as source:
        assert numbers(source.frames()) == list(range(12))
        assert source.report.frames == 12
        assert not source.report.damaged


def test_times_and_durations_are_those_of_the_file(tmp_path):
    pts = (0, 3003, 6006, 30000, 33003, 90000)
    path = clips.make(tmp_path / "in.mp4", pts=pts, last_duration=45000)
    with open_source(path) as source:
        frames = list(source.frames())
    assert source.info.time_base == Fraction(1, 90000)
    assert tuple(frame.pts for frame in frames) == pts
    assert [frame.duration for frame in frames] == [3003, 3003, 23994, 3003, 56997, 45000]


@pytest.mark.parametrize("first, last", [(0, 3), (3, 7), (5, None), (8, 9), (0, 0)])
def test_a_range_of_frames_is_the_same_part_of_the_whole(tmp_path, first, last):
    path = clips.make(tmp_path / "in.mp4", frames=8)
    with open_source(path) as source:
        whole = list(source.frames())
        part = list(source.frames(first, last))
    assert [(f.pts, f.duration) for f in part] == [(f.pts, f.duration) for f in whole[first:last]]
    assert numbers(part) == list(range(8))[first:last]


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_colours_are_read_by_their_tags(tmp_path, matrix, full, pix_fmt):
    path = clips.make(
        tmp_path / "in.mkv", frames=1, matrix=matrix, range=1 + full, pix_fmt=pix_fmt, **LOSSLESS
    )
    with open_source(path) as source:
        (frame,) = source.frames()
    white = 255 if pix_fmt == "yuv420p" else 65280
    rgb = frame.rgb.numpy().astype(float) * 255 / white
    error = clips.patches_in(np.moveaxis(rgb, 0, 2)) - clips.PATCHES
    # Samples of 8 bits lie within half a code, which the matrix makes up to 1.3 of RGB.
    assert np.abs(error).max() <= (1.6 if white == 255 else 0.4)


def test_the_wrong_matrix_would_be_seen(tmp_path):
    path = clips.make(tmp_path / "in.mkv", frames=1, matrix=6, tagged=False, width=1280, height=720)
    with open_source(path) as source:  # untagged and large: taken as BT.709
        (frame,) = source.frames()
    error = clips.patches_in(frame.rgb.permute(1, 2, 0).numpy()) - clips.PATCHES
    assert np.abs(error).max() > 10


@pytest.mark.parametrize("height, matrix", [(90, 6), (288, 5)])
def test_small_untagged_video_is_bt601_of_its_region(tmp_path, height, matrix):
    path = clips.make(tmp_path / "in.mkv", frames=1, height=height, matrix=6, tagged=False)
    with open_source(path) as source:
        (frame,) = source.frames()
    assert source.info.colour.matrix == matrix
    error = clips.patches_in(frame.rgb.permute(1, 2, 0).numpy()) - clips.PATCHES
    assert np.abs(error).max() <= 1.6


def test_a_file_that_starts_late_is_moved_to_0(tmp_path):
    path = clips.make(tmp_path / "in.mkv", pts=(450000, 453600, 457200))
    with open_source(path) as source:
        assert [f.pts * source.info.time_base for f in source.frames()] == [
            0,
            Fraction(40, 1000),
            Fraction(80, 1000),
        ]
    assert source.info.start_seconds == 5


def test_a_raw_stream_without_times_gets_regular_ones(tmp_path):
    path = clips.make(tmp_path / "in.h264", frames=6)
    with open_source(path) as source:
        frames = list(source.frames())
    seconds = [frame.pts * source.info.time_base for frame in frames]
    assert seconds == [Fraction(i, 25) for i in range(6)]
    assert source.report.repaired_times == 6


def test_glued_recordings_go_on_where_the_first_ended(tmp_path):
    for name in "ab":
        clips.make(tmp_path / f"{name}.ts", frames=20, first=20 * (name == "b"))
    glued = tmp_path / "glued.ts"
    glued.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with open_source(glued) as source:
        frames = list(source.frames())
    assert numbers(frames) == list(range(40))
    assert [f.pts * source.info.time_base for f in frames] == [Fraction(i, 25) for i in range(40)]
    assert source.report.clock_restarts == 1


def test_what_follows_damage_is_still_read_and_the_damage_counted(tmp_path):
    path = clips.make(tmp_path / "in.mkv", frames=9, options={"g": "3", "bf": "0", "crf": "8"})
    data = bytearray(path.read_bytes())
    packet = _packet(path, 4)
    where = data.index(packet) + 4  # behind the length of the slice
    data[where : where + len(packet) - 4] = bytes(len(packet) - 4)
    path.write_bytes(data)
    with open_source(path) as source:
        seen = numbers(source.frames())
    assert seen[-3:] == [6, 7, 8]
    assert source.report.damaged_packets == 1


def _packet(path, index):
    with av.open(str(path)) as container:
        return bytes(list(container.demux(video=0))[index])


@pytest.mark.parametrize("name, data, words", [
    ("empty.mp4", b"", "empty"),
    ("text.mp4", b"this is no video" * 100, "cannot be read"),
])  # fmt: skip
def test_what_is_no_video_is_refused_by_name(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(VideoError, match=words) as caught:
        open_source(path)
    assert name in str(caught.value)
    assert caught.value.hint


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        open_source(tmp_path / "nothing.mp4")


def test_a_song_is_refused(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as output:
        track = output.add_stream("aac", rate=48000, layout="mono")
        clips.write_tone(output, track, 0.2, 440)
    with pytest.raises(VideoError, match="no video stream; it holds only: audio"):
        open_source(path)


@pytest.mark.parametrize("name", ["file:colon.mp4", "a %03d.mp4", "-dash.mp4", "naïve 名 'q'.mp4"])
def test_awkward_names_are_files_like_any_other(tmp_path, name):
    path = clips.make(tmp_path / "in.mp4", frames=2).rename(tmp_path / name)
    with open_source(path) as source:
        assert numbers(source.frames()) == [0, 1]


@pytest.mark.parametrize("lost", ["left out", "overwritten"])
def test_a_transport_stream_with_a_hole_is_damaged(tmp_path, lost):
    path = clips.make(tmp_path / "in.ts", frames=40, height=48, width=64)
    data = path.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    with open_source(path) as whole:
        assert len(list(whole.frames())) == 40
    assert not whole.report.damage
    middle = slice(len(packets) * 2 // 5, len(packets) * 3 // 5)
    noise = np.random.default_rng(0).bytes(188)
    packets[middle] = [] if lost == "left out" else [noise] * len(packets[middle])
    path.write_bytes(b"".join(packets))
    with open_source(path) as holed:
        assert len(list(holed.frames())) < 40
    assert holed.report.damage


def test_an_avi_which_says_only_when_to_decode_is_shown_evenly(tmp_path):
    path = tmp_path / "in.avi"
    clip = clips.make(tmp_path / "in.mp4", frames=12, height=48, width=64)
    subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", str(path)], check=True)
    with open_source(path) as source:
        seen = list(source.frames())
        base = source.info.time_base
    assert [clips.number_in(f.rgb.permute(1, 2, 0).numpy()) for f in seen] == list(range(12))
    gaps = {(after.pts - before.pts) * base for before, after in pairwise(seen[:10])}
    assert gaps == {Fraction(1, 25)}
