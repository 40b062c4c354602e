from fractions import Fraction

import av
import clips
import pytest
from probing import ffprobe, sound
from restoring import restore_in_segments, restore_nearest

from vsrdb_cli.errors import OutputError
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.join import join


def facts(path):
    """What must not depend on how a file was written: times, durations, streams, tags."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        packets.sort(key=lambda packet: packet.pts)
        times = [packet.pts for packet in packets]
    wanted = (
        *("codec_name", "codec_tag_string", "profile", "width", "height", "pix_fmt", "time_base"),
        *("sample_aspect_ratio", "color_range", "color_space", "color_transfer"),
        *("color_primaries", "chroma_location", "field_order", "r_frame_rate", "avg_frame_rate"),
        *("start_pts", "duration_ts", "nb_frames", "disposition", "tags", "has_b_frames"),
    )
    streams = [{key: s.get(key) for key in wanted} for s in ffprobe(path)["streams"]]
    return times, streams


@pytest.mark.parametrize("ends", [[5, 12], [11, 12], [1, 2, 12], [12]])
@pytest.mark.parametrize("pts", [None, (*clips.VARIABLE, *(91000 + 3000 * i**2 for i in range(6)))])
@pytest.mark.cases
def test_joined_segments_are_the_unbroken_run(tmp_path, pts, ends):
    source = clips.make(
        tmp_path / "in.mp4", frames=12, height=48, width=64, pts=pts, last_duration=45000,
        audio=("aac",),
    )  # fmt: skip
    whole = tmp_path / "whole.mp4"
    restore_nearest(source, whole)
    joined, _ = restore_in_segments(source, tmp_path, tmp_path / "joined.mp4", ends)
    assert facts(joined) == facts(whole)
    assert clips.read(joined).numbers == list(range(12))
    assert sound(joined) == sound(source)


@pytest.mark.parametrize("codec, suffix", [
    ("h264", ".mkv"), ("hevc", ".mp4"), ("av1", ".mp4"), ("vp9", ".webm"), ("prores", ".mov"),
    ("ffv1", ".mkv"),
])  # fmt: skip
@pytest.mark.cases
def test_every_codec_joins(tmp_path, codec, suffix):
    source = clips.make(tmp_path / "in.mp4", frames=7, height=48, width=64)
    whole = tmp_path / f"whole{suffix}"
    restore_nearest(source, whole, codec=codec)
    target = tmp_path / f"joined{suffix}"
    joined, _ = restore_in_segments(source, tmp_path, target, [3, 6, 7], codec=codec)
    assert facts(joined) == facts(whole)
    assert clips.read(joined).numbers == list(range(7))


def test_the_place_of_a_segment_is_exact_after_a_day(tmp_path):
    # mp4 has no longer step of time than 6.6 hours at this time base.
    pts = tuple(6 * 3600 * 90000 * i + i for i in range(5))
    source = clips.make(tmp_path / "in.mp4", pts=pts, options={"bf": "0"})
    target = tmp_path / "joined.mp4"
    restore_in_segments(source, tmp_path, target, [2, 3, 5], extra={"bf": "0"})
    assert clips.read(target).times == [Fraction(time, 90000) for time in pts]


def test_segments_of_other_settings_are_refused_and_kept(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=4)
    _, (first, _) = restore_in_segments(source, tmp_path, tmp_path / "a.mp4", [2, 4])
    (tmp_path / "b").mkdir()
    _, (_, second) = restore_in_segments(
        source, tmp_path / "b", tmp_path / "b.mp4", [2, 4], preset="slow"
    )
    with open_source(source) as reader, pytest.raises(OutputError, match="other settings"):
        join([first, second], reader.info, tmp_path / "joined.mp4")
    assert first.exists()
    assert second.exists()
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".part" or p.name == "joined.mp4"]


def test_segments_in_the_wrong_order_are_refused(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=4)
    _, segments = restore_in_segments(source, tmp_path, tmp_path / "a.mp4", [2, 4])
    with open_source(source) as reader, pytest.raises(OutputError, match="does not come after"):
        join(segments[::-1], reader.info, tmp_path / "joined.mp4")


@pytest.mark.parametrize("ending", [".mov", ".mkv"])
@pytest.mark.parametrize("preset", ["proxy", "hq"])
@pytest.mark.cases
def test_joined_prores_is_of_the_kind_it_was_encoded_as(tmp_path, ending, preset):
    source = clips.make(tmp_path / "in.mp4", frames=4, height=48, width=64)
    options = {"codec": "prores", "preset": preset}
    whole = tmp_path / f"whole{ending}"
    restore_nearest(source, whole, **options)
    joined, _ = restore_in_segments(
        source, tmp_path, tmp_path / f"joined{ending}", [2, 4], **options
    )
    assert facts(joined) == facts(whole)
    assert ffprobe(joined)["streams"][0]["profile"] == {"proxy": "Proxy", "hq": "HQ"}[preset]
