import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch
from probing import ffprobe, sound
from restoring import enlarged, open_sink, restore_nearest

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.pixels.from_rgb import FromRgb
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.encoders import ENCODERS
from vsrdb_cli.video.writing.encoding import choose_encoding
from vsrdb_cli.video.writing.frame_encoder import FrameEncoder


@pytest.mark.parametrize("suffix, tolerance", [(".mp4", 0), (".mov", 0), (".mkv", 0.0005)])
@pytest.mark.cases
def test_frames_and_times_out_are_frames_and_times_in(tmp_path, suffix, tolerance):
    source = clips.make(tmp_path / "in.mp4", pts=clips.VARIABLE)
    restore_nearest(source, tmp_path / f"out{suffix}")
    seen = clips.read(tmp_path / f"out{suffix}")
    assert seen.numbers == list(range(6))
    assert seen.images[0].shape == (360, 640, 3)
    wanted = [Fraction(pts, 90000) for pts in clips.VARIABLE]
    error = [abs(a - seen.times[0] - b) for a, b in zip(seen.times, wanted, strict=True)]
    assert max(error) <= tolerance


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_the_last_frame_keeps_its_duration(tmp_path, b_frames):
    source = clips.make(
        tmp_path / "in.mp4", pts=clips.VARIABLE, last_duration=45000, options={"bf": b_frames}
    )
    restore_nearest(source, tmp_path / "out.mp4")
    assert float(ffprobe(tmp_path / "out.mp4")["streams"][0]["duration"]) == 1.5
    with open_source(tmp_path / "out.mp4") as out:
        assert [frame.duration for frame in out.frames()][-1] == 45000


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("codec, suffix", [
    ("h264", ".mp4"), ("hevc", ".mp4"), ("av1", ".mp4"), ("vp9", ".webm"), ("prores", ".mov"),
    ("ffv1", ".mkv"),
])  # fmt: skip
def test_every_codec_keeps_every_frame_of_the_shortest_videos(tmp_path, codec, suffix, count):
    source = clips.make(tmp_path / "in.mp4", frames=count, height=48, width=64)
    out = tmp_path / f"out{suffix}"
    restore_nearest(source, out, codec=codec)
    seen = clips.read(out)
    assert seen.numbers == list(range(count))
    step = Fraction(1, 25)
    assert all(abs(time - i * step) <= Fraction(1, 2000) for i, time in enumerate(seen.times))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_ten_bits_in_are_ten_bits_out(tmp_path, codec):
    source = clips.make(tmp_path / "in.mp4", frames=2, pix_fmt="yuv420p10le")
    out = tmp_path / "out.mkv"
    restore_nearest(source, out, codec=codec)
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.pix_fmt.endswith("10le")


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.cases
def test_colours_and_their_tags_survive(tmp_path, matrix, full):
    source = clips.make(tmp_path / "in.mp4", frames=1, matrix=matrix, range=1 + full)
    out = tmp_path / "out.mp4"
    restore_nearest(source, out, crf=4)
    stream = ffprobe(out)["streams"][0]
    names = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}
    assert stream["color_space"] == names[matrix]
    assert stream["color_range"] == ("pc" if full else "tv")
    assert stream["chroma_location"] == "left"
    error = clips.patches_in(clips.read(out).images[0]) - clips.PATCHES
    assert np.abs(error).max() <= 3


def test_assumed_colours_are_reported_and_no_error_under_strict(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64, tagged=False, matrix=6)
    report = restore_video(
        source, tmp_path / "out.mp4", RestoreOptions(weights="nearest", strict=True)
    )
    assert [line for line in report.notices if "BT.601 is assumed" in line]
    tagged = restore_video(
        tmp_path / "out.mp4", tmp_path / "again.mkv", RestoreOptions(weights="nearest")
    )
    assert not tagged.notices


def test_small_untagged_video_is_tagged_to_keep_its_colours_when_large(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=1, matrix=6, tagged=False)
    restore_nearest(source, tmp_path / "out.mp4", crf=4)
    stream = ffprobe(tmp_path / "out.mp4")["streams"][0]
    assert (stream["color_space"], stream["color_primaries"], stream["color_transfer"]) == (
        "smpte170m",
        "smpte170m",
        "smpte170m",
    )
    error = clips.patches_in(clips.read(tmp_path / "out.mp4").images[0]) - clips.PATCHES
    assert np.abs(error).max() <= 2


def test_all_sound_is_copied_untouched(tmp_path):
    source = clips.make(
        tmp_path / "in.mkv", frames=5, audio=("aac", "libopus"), audio_seconds=1.0,
        metadata={"title": "A walk", "artist": "Nobody"},
    )  # fmt: skip
    restore_nearest(source, tmp_path / "out.mp4")
    assert sound(tmp_path / "out.mp4") == sound(source)
    tags = ffprobe(tmp_path / "out.mp4")["format"]["tags"]
    assert (tags["title"], tags["artist"]) == ("A walk", "Nobody")


def test_without_commit_nothing_is_left(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=3)
    with open_source(source) as frames, open_sink(tmp_path / "out.mp4", frames.info, 4) as sink:
        for frame in frames.frames():
            sink.write(Frame(enlarged(frame.rgb, 4), frame.pts, frame.duration))
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_an_existing_output_is_replaced_only_on_request_and_by_a_whole_one(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2)
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        restore_nearest(source, out)
    assert out.read_bytes() == b"precious"
    with open_source(source) as frames, open_sink(out, frames.info, 4, overwrite=True):
        assert out.read_bytes() == b"precious"
    restore_nearest(source, out, overwrite=True)
    assert clips.read(out).numbers == [0, 1]


@pytest.mark.parametrize("name, options, words", [
    ("in.mp4", {}, "is the input itself"),
    ("link.mp4", {}, "is the input itself"),
    ("out.xyz", {}, "unsupported output extension '.xyz'"),
    ("nowhere/out.mp4", {}, "folder .* does not exist"),
    ("out.webm", {"codec": "h264"}, ".webm files cannot hold h264 video"),
    ("out.mp4", {"codec": "vvc"}, "codec 'vvc' is not valid"),
    ("out.mp4", {"crf": 99}, "crf 99 is not valid"),
    ("out.mp4", {"preset": "warp"}, "no preset 'warp'"),
    ("out.mp4", {"codec": "av1", "preset": "11"}, "no preset '11'"),
    ("out.mp4", {"pix_fmt": "rgb24"}, "no pixel format 'rgb24'"),
    ("out.mp4", {"extra": {"warp": "9"}}, "libx264: no option 'warp'"),
    ("out.mp4", {"extra": {"x264-params": "warp=9"}}, "libx264: Error parsing option 'warp = 9'"),
    ("out.mp4", {"codec": "hevc", "extra": {"x265-params": "warp=9"}}, "Unknown option: warp"),
    ("out.mkv", {"codec": "av1", "extra": {"svtav1-params": "warp=9"}}, "Error parsing option"),
    ("out.mp4", {"extra": {"aq-mode": "many"}}, "cannot be written"),
    ("out.mkv", {"codec": "ffv1", "crf": 3}, "ffv1 does not support --crf"),
    ("out.mkv", {"codec": "ffv1", "preset": "fast"}, "ffv1 has no preset"),
    ("out.mkv", {"codec": "prores", "hardware": "nvenc"}, "nvenc does not encode prores"),
])  # fmt: skip
@pytest.mark.cases
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, name, options, words):
    source = clips.make(tmp_path / "in.mp4", frames=1)
    (tmp_path / "link.mp4").symlink_to(source)
    before = source.read_bytes(), sorted(p.name for p in tmp_path.iterdir())
    with (
        open_source(source) as frames,
        pytest.raises((OutputError, OptionError), match=words) as caught,
    ):
        open_sink(tmp_path / name, frames.info, 4, EncoderOptions(**options), overwrite=True)
    assert caught.value.hint
    assert (source.read_bytes(), sorted(p.name for p in tmp_path.iterdir())) == before


def test_sizes_at_which_x265_breaks_the_process_are_refused(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=64, width=48)
    with (
        open_source(source) as reader,
        pytest.raises(OutputError, match="48x64, but hevc needs at least 64x64"),
    ):
        open_sink(tmp_path / "out.mp4", reader.info, 1, EncoderOptions(codec="hevc"))


def test_a_picture_beyond_the_encoder_is_refused(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=1, width=4098, height=16)
    with (
        open_source(source) as frames,
        pytest.raises(OutputError, match="16392x64, but h264 allows at most"),
    ):
        open_sink(tmp_path / "out.mp4", frames.info, 4)


def test_a_frame_of_another_size_is_our_own_mistake(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=1)
    with (
        open_source(source) as frames,
        open_sink(tmp_path / "out.mp4", frames.info, 4) as sink,
        pytest.raises(ValueError, match="frame of"),
    ):
        sink.write(Frame(torch.zeros(3, 90, 160, dtype=torch.uint8), 0, 1))


def test_options_of_the_encoder_are_passed_on(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=10, height=48, width=64)
    restore_nearest(
        source, tmp_path / "out.mp4", extra={"g": "2", "x264-params": "bframes=0:scenecut=0"}
    )
    with av.open(str(tmp_path / "out.mp4")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [True, False] * 5


@pytest.mark.parametrize("codec, tag", [("hevc", "hvc1"), ("h264", "avc1"), ("av1", "av01")])
@pytest.mark.cases
def test_players_find_the_codec_under_the_name_they_know(tmp_path, codec, tag):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64)
    restore_nearest(source, tmp_path / "out.mp4", codec=codec)
    assert ffprobe(tmp_path / "out.mp4")["streams"][0]["codec_tag_string"] == tag


@pytest.mark.linux
def test_no_encoder_leaves_the_process_on_real_time_priority(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64)
    with (
        open_source(source) as reader,
        open_sink(tmp_path / "out.mp4", reader.info, 4, EncoderOptions(codec="av1")),
    ):
        policies = {os.sched_getscheduler(int(t.name)) for t in Path("/proc/self/task").iterdir()}
    assert policies == {os.SCHED_OTHER}


def test_every_encoder_named_is_in_the_wheel():
    for encoder in ENCODERS.values():
        assert av.Codec(encoder.name, "w").name == encoder.name


def test_a_frame_is_converted_beside_the_encoding_of_the_one_before(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32)
    threads = []
    with open_source(source) as reader, av.open(tmp_path / "out.mkv", "w") as container:
        encoding = choose_encoding(EncoderOptions(codec="ffv1"), ".mkv", reader.info, 24, 32)
        convert = FromRgb(encoding.pix_fmt, reader.info.colour)

        def noted(rgb):
            threads.append(threading.current_thread())
            return convert(rgb)

        encoder = FrameEncoder(container, reader.info, encoding, noted)
        packets = [list(encoder.encode(frame)) for frame in reader.frames()]
        packets.append(list(encoder.finish()))
    assert [len(ready) for ready in packets] == [0, 1, 1, 1]  # FFV1 itself holds nothing back
    assert len(threads) == 3 and threading.main_thread() not in threads
