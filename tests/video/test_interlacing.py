"""Interlaced video in any pixel format and order of fields; progressive video is left alone."""

import io
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from probing import ffprobe

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.pixels.fields import Weaver
from vsrdb_cli.video.pixels.interlacing import Planar
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.sampling import detect_interlacing, sample_runs
from vsrdb_cli.video.reading.y4m_reader import PipeReader

WILD = Path(__file__).parents[1] / "wild"
WORD = "the video is interlaced (top field first)"


def combs(image):
    """How many pixels lie above or below both of their neighbours by much, line after line."""
    steps = np.diff(image[..., 1].astype(int), axis=0)
    return int(((steps[:-1] * steps[1:] < 0) & (np.abs(steps[:-1]) > 25)).sum())


def made(path, codec, pix_fmt, images):
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def woven(number, *, bottom_first=False):
    image = clips.picture(number, 96)
    image[1 - bottom_first :: 2] = clips.picture(number, 96, later=2)[1 - bottom_first :: 2]
    return image


def eight_bit(frame):
    codes = frame.rgb.permute(1, 2, 0).numpy()
    return codes if codes.dtype == np.uint8 else np.rint(codes / 256).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seconds", [10, 0.12])
@pytest.mark.cases
def test_packed_samples_of_a_capture_card_are_deinterlaced(tmp_path, suffix, seconds):
    options = RestoreOptions(weights="nearest", segment_seconds=seconds)
    out = tmp_path / f"out{suffix}"
    report = restore_video(WILD / "interlaced_yuyv.avi", out, options)
    assert any(WORD in notice for notice in report.notices)
    assert "7 frames deinterlaced" in report.notices


@pytest.mark.parametrize("name, codec, pix_fmt", [
    ("in.avi", "rawvideo", "yuyv422"), ("in.avi", "rawvideo", "uyvy422"),
    ("in.nut", "rawvideo", "nv12"), ("in.mkv", "ffv1", "yuv444p16le"),
    ("in.mov", "v210", "yuv422p10le"), ("in.nut", "rawvideo", "yuv411p"),
    ("in.nut", "rawvideo", "yuv410p"), ("in.nut", "rawvideo", "gray"),
    ("in.nut", "rawvideo", "gray10le"), ("in.nut", "rawvideo", "rgb24"),
    ("in.nut", "rawvideo", "bgr0"), ("in.mkv", "ffv1", "gbrp10le"),
    ("in.mkv", "ffv1", "yuva420p"), ("in.nut", "rawvideo", "yuv420p10be"),
])  # fmt: skip
def test_any_format_with_luma_is_looked_at(tmp_path, name, codec, pix_fmt):
    images = [woven(number) for number in range(8)]
    path = made(tmp_path / name, codec, pix_fmt, images)
    with open_source(path) as reader:
        assert WORD in "".join(reader.info.notices)
        seen = [eight_bit(frame) for frame in reader.frames()]
        assert reader.report.deinterlaced == 8
    assert [clips.number_in(image) for image in seen] == list(range(8))
    assert max(map(combs, seen)) < 30 < min(map(combs, images))
    if "gray" not in pix_fmt:
        assert np.abs(clips.patches_in(seen[4]) - clips.PATCHES).max() <= 4


@pytest.mark.parametrize("codec, pix_fmt", [("rawvideo", "yuyv422"), ("rawvideo", "rgb24")])
def test_progressive_frames_of_these_formats_are_left_alone(tmp_path, codec, pix_fmt):
    images = [clips.picture(number, 96) for number in range(8)]
    with open_source(made(tmp_path / "in.nut", codec, pix_fmt, images)) as reader:
        assert not reader.info.interlaced
        assert len(list(reader.frames())) == 8
        assert not reader.report.notices


@pytest.mark.slow
def test_a_test_picture_is_not_deinterlaced(tmp_path):
    out = tmp_path / "out.mp4"
    source = WILD / "progressive_testsrc2.mp4"
    report = restore_video(source, out, RestoreOptions(weights="nearest"))
    assert not any("interlaced" in notice for notice in report.notices)


@pytest.mark.parametrize("pattern", [
    "testsrc2=size=320x180:rate=30", "testsrc2=size=480x270:rate=60", "mandelbrot=size=320x240",
    "smptebars=size=320x240,scroll=h=0.01", "testsrc=size=320x240,scroll=v=0.01",
    "color=white:size=320x240,drawgrid=w=0:h=2:t=1:c=black,scroll=v=0.0041667",
    "color=white:size=320x240,drawgrid=w=0:h=3:t=1:c=black,scroll=v=0.0041667:h=0.01",
])  # fmt: skip
@pytest.mark.cases
def test_fine_patterns_that_move_are_progressive(tmp_path, pattern):
    path = tmp_path / "in.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern, "-frames:v", "50",
               "-pix_fmt", "yuv420p", "-preset", "ultrafast", str(path)]  # fmt: skip
    subprocess.run(command, check=True)
    assert not detect_interlacing(path).found


@pytest.mark.parametrize("pattern", [
    "testsrc2=size=320x180:rate=50", "mandelbrot=size=320x240:rate=50",
    "testsrc=size=320x240:rate=50,rotate=t/2",
])  # fmt: skip
@pytest.mark.cases
def test_the_same_patterns_are_found_where_they_are_interlaced(tmp_path, pattern):
    path = tmp_path / "in.mkv"
    weave = f"{pattern},format=yuv420p,tinterlace=interleave_top"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", weave, "-frames:v", "25",
               "-c:v", "ffv1", "-r", "25", str(path)]  # fmt: skip
    subprocess.run(command, check=True)
    assert set(detect_interlacing(path).orders) == {"top"}


def test_fields_that_change_their_order_are_deinterlaced_before_and_after(tmp_path):
    images = [woven(number, bottom_first=number >= 20) for number in range(40)]
    with open_source(made(tmp_path / "in.mkv", "ffv1", "yuv420p", images)) as reader:
        assert "interlaced (top and bottom field first)" in reader.info.notices[0]
        seen = [eight_bit(frame) for frame in reader.frames()]
    assert max(map(combs, seen)) < 30 < max(map(combs, images[20:]))


def test_interlacing_that_begins_where_the_flags_do_is_undone(tmp_path):
    plain = clips.make(tmp_path / "a.ts", frames=90, height=96)
    fields = clips.make(
        tmp_path / "b.ts", frames=8, first=90, height=96, woven=True, field_order=2,
        options={"crf": "8", "bf": "0", "x264-params": "tff=1"},
    )  # fmt: skip
    both = tmp_path / "both.ts"
    both.write_bytes(plain.read_bytes() + fields.read_bytes())
    with open_source(both) as reader:
        seen = [eight_bit(frame) for frame in reader.frames()]
        assert reader.report.deinterlaced == 8
    assert max(map(combs, seen)) < 30


@pytest.mark.parametrize("pix_fmt, planar", [
    ("p010le", "yuv420p10le"), ("p216le", "yuv422p16le"), ("nv24", "yuv444p"),
    ("yuva422p10le", "yuv422p10le"), ("y210le", "yuv422p10le"), ("vuyx", "yuv444p"),
    ("yuv420p9be", "yuv420p9le"), ("gray16be", "gray16le"), ("ya8", "gray"),
])  # fmt: skip
@pytest.mark.parametrize("range_", [1, 2])
def test_samples_made_planar_stay_as_they_are(pix_fmt, planar, range_):
    plain = av.VideoFrame.from_ndarray(clips.picture(5), "rgb24").reformat(format=planar)
    plain.color_range = range_
    packed = plain.reformat(
        format=pix_fmt, src_color_range=range_, dst_color_range=range_,
        src_colorspace=1, dst_colorspace=1,
    )  # fmt: skip
    packed.color_range = range_
    again = Planar()(packed)
    assert again.format.name == planar
    assert again.color_range == range_
    for plane, other in zip(plain.planes, again.planes, strict=True):
        assert bytes(plane) == bytes(other)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seconds", [10, 0.2])
@pytest.mark.slow
def test_hevc_coded_in_fields_is_woven_to_the_full_height(tmp_path, suffix, seconds):
    out = tmp_path / f"out{suffix}"
    options = RestoreOptions(weights="nearest", segment_seconds=seconds)
    report = restore_video(WILD / "hevc_fields.mkv", out, options)
    assert any(WORD in notice for notice in report.notices)
    stream = ffprobe(out)["streams"][0]
    assert (stream["width"], stream["height"]) == (640, 512)
    with av.open(str(out)) as container:
        times = sorted(float(frame.time) for frame in container.decode(video=0))
    assert times == pytest.approx([number / 25 for number in range(15)], abs=1e-3)


def test_woven_fields_are_the_lines_of_one_frame():
    with av.open(str(WILD / "hevc_fields.mkv")) as container:
        decoded = list(container.decode(video=0))
    fields = [frame.to_ndarray()[:64] for frame in decoded]
    frames = list(Weaver("hevc").frames(decoded))
    with open_source(WILD / "hevc_fields.mkv") as reader:
        assert (reader.info.height, reader.info.frame_count, reader.info.rate) == (128, 15, 25)
        (glimpse,) = sample_runs(reader, 4, 10)
        assert len(glimpse) == 15
    for number, frame in enumerate(frames):
        lines = frame.to_ndarray()[:128]
        np.testing.assert_array_equal(lines[::2], fields[2 * number])
        np.testing.assert_array_equal(lines[1::2], fields[2 * number + 1])


@pytest.mark.parametrize(
    "part, frames",
    [
        ({"start": "5f"}, 10),
        ({"start": "2f", "end": "7f"}, 5),
    ],
)
@pytest.mark.cases
def test_a_part_of_a_video_in_fields_counts_frames(tmp_path, part, frames):
    options = RestoreOptions(weights="nearest", **part)
    report = restore_video(WILD / "hevc_fields.mkv", tmp_path / "out.mp4", options)
    assert report.frames == frames
    assert not report.damage


def test_a_field_without_the_other_is_shown_and_named(tmp_path):
    path = tmp_path / "in.mkv"
    with av.open(str(WILD / "hevc_fields.mkv")) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0], opaque=True)
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for packet in packets[:-1]:
            packet.stream = stream
            output.mux(packet)
    with open_source(path) as reader:
        frames = list(reader.frames())
        assert {tuple(frame.rgb.shape) for frame in frames} == {(3, 128, 160)}
        assert "1 field of the interlaced source" in "".join(reader.report.damage)


def test_interlaced_y4m_that_does_not_say_so_is_refused():
    def sent(images):
        header = b"YUV4MPEG2 W160 H96 F25:1 C420mpeg2\n"
        frames = [av.VideoFrame.from_ndarray(i, "rgb24").reformat(format="yuv420p") for i in images]
        return io.BytesIO(header + b"".join(b"FRAME\n" + f.to_ndarray().tobytes() for f in frames))

    with PipeReader(sent([clips.picture(number, 96) for number in range(14)])) as reader:
        assert len(list(reader.frames())) == 14
        assert not reader.report.damage
    with pytest.raises(VideoError, match="the video on stdin is interlaced"):
        PipeReader(sent([woven(number) for number in range(14)]))


@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".hevc"])
def test_fields_have_the_rate_of_their_frames_in_any_container(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    with av.open(str(WILD / "hevc_fields.mkv")) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with open_source(path) as reader:
        assert reader.info.rate == 25
        times = [frame.pts * reader.info.time_base for frame in reader.frames()]
    assert times == [Fraction(number, 25) for number in range(15)]


def by_ffmpeg(path, *arguments):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", *arguments, str(path)]
    subprocess.run(command, check=True)
    return path


def deinterlaced(path):
    with open_source(path) as source:
        for _ in source.frames():
            pass
        return source.report.deinterlaced


@pytest.mark.slow
def test_text_that_scrolls_is_progressive(tmp_path):
    text = "drawtext=text='over EEEE ==== HHHH':fontcolor=white:fontsize=14:y=h-40*t:x=5"
    more = "drawtext=text='amet == EE ZZ':fontcolor=white:fontsize=10:y=h-40*t+20:x=w-90*t"
    graph = f"color=black:s=320x240:r=25:d=3,{text},{more}"
    source = by_ffmpeg(tmp_path / "in.mp4", "-i", graph, "-pix_fmt", "yuv420p")
    assert not detect_interlacing(source).found
    assert deinterlaced(source) == 0


@pytest.mark.slow
def test_patterns_of_progressive_video_flagged_as_interlaced_are_kept(tmp_path):
    graph = "testsrc2=s=320x240:r=25:d=2"
    source = by_ffmpeg(
        tmp_path / "in.vob", "-i", graph, "-c:v", "mpeg2video", "-flags", "+ildct+ilme"
    )
    assert detect_interlacing(source).flagged
    assert deinterlaced(source) == 0


@pytest.mark.slow
def test_of_film_and_video_only_the_video_is_deinterlaced(tmp_path):
    film, video = "testsrc2=s=320x240:r=25:d=1", "testsrc2=s=320x240:r=50:d=1.2,tinterlace=4"
    graph = f"{film}[film];{video}[video];[film][video]concat"
    source = by_ffmpeg(tmp_path / "in.mkv", "-i", graph, "-c:v", "ffv1")
    assert deinterlaced(source) == 30
