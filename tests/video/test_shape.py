import struct
import subprocess
from fractions import Fraction
from itertools import islice

import av
import clips
import numpy as np
import pytest
from probing import ffprobe
from restoring import restore_nearest
from sequences import load, save

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.frame_changes import FrameDecoder
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.sampling import detect_interlacing

ONE = 1 << 16
LOSSLESS = {"codec": "ffv1", "options": {}}
# The eight ways to lay a picture on its sides: a, b, c, d of x' = ax + cy, y' = bx + dy.
ORIENTATIONS = {
    "upright": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "flipped": (1, 0, 0, -1),
    "180": (-1, 0, 0, -1),
    "90": (0, -1, 1, 0),
    "270": (0, 1, -1, 0),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}


def matrix(a, b, c, d):
    return (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


def matrix_of(path):
    """What a plain decoder reads of the display matrix: the part that turns and mirrors."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                numbers = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]]
                return tuple(int(number) for number in np.rint(numbers / ONE))
    return ORIENTATIONS["upright"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.cases
def test_the_picture_is_turned_as_it_was(tmp_path, name, suffix):
    source = clips.make(
        tmp_path / "in.mp4", frames=1, height=32, width=48,
        display_matrix=matrix(*ORIENTATIONS[name]),
    )  # fmt: skip
    out = tmp_path / f"out{suffix}"
    restore_nearest(source, out)
    assert matrix_of(out) == ORIENTATIONS[name]
    stream = ffprobe(out)["streams"][0]
    assert (stream["width"], stream["height"]) == (192, 128)
    if suffix == ".mp4":  # an independent reader
        sides = stream.get("side_data_list", [{}])
        before = ffprobe(source)["streams"][0].get("side_data_list", [{}])
        assert sides[0].get("displaymatrix") == before[0].get("displaymatrix")


def test_an_odd_angle_is_kept_and_said(tmp_path):
    turned = (46340, -46340, 0, 46340, 46340, 0, 0, 0, 1 << 30)
    source = clips.make(tmp_path / "in.mp4", frames=1, height=32, width=48, display_matrix=turned)
    restore_nearest(source, tmp_path / "out.mp4")
    assert ffprobe(tmp_path / "out.mp4")["streams"][0]["side_data_list"][0]["rotation"] == 45
    with open_source(source) as reader:
        assert "odd angle" in reader.info.notices[0]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_pictures_made_of_a_turned_video_stand_upright(tmp_path, name):
    a, b, c, d = ORIENTATIONS[name]
    source = clips.make(
        tmp_path / "in.mkv", frames=1, height=32, width=48, codec="libx264rgb", pix_fmt="rgb24",
        options={"qp": "0"}, tagged=False, display_matrix=matrix(a, b, c, d),
    )  # fmt: skip
    restore_nearest(source, tmp_path / "out", scale=1)
    (file,) = (tmp_path / "out").iterdir()
    coded = clips.read(source).images[0]
    height, width = (32, 48) if a else (48, 32)
    wanted = np.empty((height, width, 3), np.uint8)
    for y in range(32):  # by the definition, pixel by pixel
        for x in range(48):
            wanted[(b * x + d * y) % height, (a * x + c * y) % width] = coded[y, x]
    # Minus signs put pixel 0 at place 0 of -n; the modulus rolls it by one.
    rolls = [axis for axis, signs in ((0, (b, d)), (1, (a, c))) if -1 in signs]
    for axis in rolls:
        wanted = np.roll(wanted, -1, axis)
    np.testing.assert_array_equal(load(file), wanted)


@pytest.mark.parametrize("exif, name", [
    (1, "upright"), (2, "mirrored"), (3, "180"), (4, "flipped"), (5, "transposed"), (6, "270"),
    (7, "transversed"), (8, "90"),
])  # fmt: skip
@pytest.mark.slow
def test_photographs_stand_as_the_camera_was_held(tmp_path, exif, name):
    save(tmp_path / "plain.jpg", clips.picture(5, 48, 64))
    plain = (tmp_path / "plain.jpg").read_bytes()
    tiff = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, exif, 0)
    segment = b"Exif\0\0" + tiff
    (tmp_path / "in.jpg").write_bytes(
        plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    )
    with open_source(tmp_path / "plain.jpg") as reader:
        (upright,) = reader.frames()
    image = upright.rgb.permute(1, 2, 0).numpy()
    wanted = {
        "upright": image,
        "mirrored": image[:, ::-1],
        "flipped": image[::-1],
        "180": image[::-1, ::-1],
        "transposed": image.transpose(1, 0, 2),
        "270": np.rot90(image, -1),
        "90": np.rot90(image),
        "transversed": image[::-1, ::-1].transpose(1, 0, 2),
    }[name]
    restore_nearest(tmp_path / "in.jpg", tmp_path / "out.png", scale=1)
    np.testing.assert_array_equal(load(tmp_path / "out.png"), wanted)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_shape_of_pixels_is_kept(tmp_path, suffix):
    source = clips.make(tmp_path / "in.mp4", frames=1, height=32, width=48, sar=Fraction(4, 3))
    out = tmp_path / f"out{suffix}"
    restore_nearest(source, out)
    assert ffprobe(out)["streams"][0]["sample_aspect_ratio"] == "4:3"


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_odd_sizes_are_restored_whole(tmp_path, pix_fmt):
    source = clips.make(
        tmp_path / "in.mkv", frames=2, height=91, width=161, pix_fmt=pix_fmt, **LOSSLESS
    )
    restore_nearest(source, tmp_path / "out.mp4")
    seen = clips.read(tmp_path / "out.mp4")
    assert seen.images[0].shape == (364, 644, 3)
    assert seen.numbers == [0, 1]


@pytest.mark.parametrize("pix_fmt, full", [
    ("yuv420p", False), ("yuv420p", True), ("yuv420p10le", False), ("yuv422p", False),
])  # fmt: skip
@pytest.mark.parametrize("height, width", [(35, 49), (36, 49), (35, 48)])
def test_odd_sizes_may_stay_odd(tmp_path, height, width, pix_fmt, full):
    source = clips.make(
        tmp_path / "in.mkv", frames=2, height=height, width=width, pix_fmt=pix_fmt,
        range=1 + full, **LOSSLESS,
    )  # fmt: skip
    out = tmp_path / "out.mkv"
    restore_nearest(source, out, scale=1, codec="ffv1", pix_fmt=pix_fmt)
    for was, now in zip(frames_of(source), frames_of(out), strict=True):
        assert (now.width, now.height) == (width, height)
        was, now = clips.planes_of(was), clips.planes_of(now)  # noqa: PLW2901
        assert all(a.shape == b.shape for a, b in zip(was, now, strict=True))
        assert np.abs(was[0].astype(int) - now[0]).mean() < 0.1
        assert np.abs(was[1].astype(int) - now[1]).mean() < 1


def frames_of(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def combs(image):
    """How many pixels lie above or below both of their neighbours by much, line after line."""
    steps = np.diff(image[..., 1].astype(int), axis=0)
    return int(((steps[:-1] * steps[1:] < 0) & (np.abs(steps[:-1]) > 25)).sum())


@pytest.mark.parametrize("field_order", [1, 2])
def test_interlaced_video_is_deinterlaced_whatever_its_flags_say(tmp_path, field_order):
    source = clips.make(
        tmp_path / "in.mkv", height=96, woven=True, field_order=field_order, **LOSSLESS
    )
    assert combs(clips.read(source).images[4]) > 50
    with open_source(source) as reader:
        assert "interlaced (top field first)" in reader.info.notices[0]
        frames = list(reader.frames())
        assert reader.report.deinterlaced == 8
    images = [frame.rgb.permute(1, 2, 0).numpy() for frame in frames]
    assert [clips.number_in(image) for image in images] == list(range(8))
    assert [frame.pts for frame in frames] == [40 * i for i in range(8)]
    assert [frame.duration for frame in frames] == [40] * 8
    assert max(combs(image) for image in images) < 20


def pattern_clip(path, *options):
    """A progressive clip of FFmpeg's own, full of fine lines that move."""
    pattern = "testsrc2=size=160x90:rate=25:duration=1"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern, *options, str(path)]
    subprocess.run(command, check=True)
    return path


def test_fine_patterns_that_move_are_not_taken_for_interlacing(tmp_path):
    assert not detect_interlacing(pattern_clip(tmp_path / "in.mp4", "-pix_fmt", "yuv420p")).possible


def test_a_palette_is_read(tmp_path):
    source = pattern_clip(tmp_path / "in.avi", "-pix_fmt", "pal8", "-c:v", "rawvideo")
    restore_nearest(source, tmp_path / "out.mp4", scale=1)
    assert len(clips.read(tmp_path / "out.mp4").numbers) == 25


def test_progressive_video_flagged_as_interlaced_is_left_as_it_is(tmp_path):
    wrong = clips.make(tmp_path / "wrong.mkv", height=96, field_order=2, **LOSSLESS)
    right = clips.make(tmp_path / "right.mkv", height=96, **LOSSLESS)
    assert detect_interlacing(wrong).flagged
    with open_source(wrong) as flagged, open_source(right) as plain:
        for a, b in zip(flagged.frames(), plain.frames(), strict=True):
            assert (a.rgb == b.rgb).all()
        assert not flagged.info.notices
        assert not flagged.report.notices


def test_interlacing_that_begins_after_a_still_title_is_found(tmp_path):
    # 100 still frames, then 100 interlaced ones.
    source = tmp_path / "in.mkv"
    clip = clips.Clip(height=96, codec="ffv1", options={"g": "10"}, woven=True)
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25, options=clip.options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(200):
            image = clips.picture(max(0, index - 100), 96)
            if index > 100:
                image[1::2] = clips.picture(index - 100, 96, later=2)[1::2]
            frame = clips.frame_of(image, clip)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert detect_interlacing(source).found


def moving_with_alpha(path, codec, pix_fmt, opaque_frames=0, options=None):
    """Four pictures, the right half half transparent from some frame on."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for index in range(4):
            alpha = np.full((48, 64, 1), 255, np.uint8)
            if index >= opaque_frames:
                alpha[:, 32:] = 90
            image = np.concatenate([clips.picture(index, 48, 64), alpha], 2)
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name, codec, pix_fmt", [
    ("in.webm", "libvpx-vp9", "yuva420p"), ("in.apng", "apng", "rgba"),
    ("in.mov", "prores_ks", "yuva444p10le"), ("in.mkv", "ffv1", "yuva420p"),
])  # fmt: skip
def test_transparency_is_left_out_and_said(tmp_path, name, codec, pix_fmt):
    source = moving_with_alpha(tmp_path / name, codec, pix_fmt)
    with open_source(source) as reader:
        assert reader.info.transparent
        assert "transparency (alpha) is dropped" in reader.info.notices[0]
    restore_nearest(source, tmp_path / "out.mp4")
    assert clips.read(tmp_path / "out.mp4").numbers == list(range(4))


def test_an_unused_alpha_channel_is_no_news_until_it_is_used(tmp_path):
    opaque = moving_with_alpha(tmp_path / "opaque.mkv", "ffv1", "yuva420p", opaque_frames=4)
    later = moving_with_alpha(tmp_path / "later.mkv", "ffv1", "yuva420p", opaque_frames=3)
    for source, count in ((opaque, 0), (later, 1)):
        with open_source(source) as reader:
            assert not reader.info.notices
            list(reader.frames())
            assert reader.report.opaque_again == count


@pytest.mark.parametrize("name, codec, pix_fmt", [
    ("in.gif", "gif", "rgb8"), ("in.apng", "apng", "rgb24"),
])  # fmt: skip
def test_moving_pictures_keep_their_own_times(tmp_path, name, codec, pix_fmt):
    pts = (0, 5, 15, 45)
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream(codec, rate=100)
        stream.width, stream.height, stream.pix_fmt = 160, 90, pix_fmt
        stream.codec_context.time_base = Fraction(1, 100)
        for number, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(clips.picture(number), "rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 100)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    restore_nearest(tmp_path / name, tmp_path / "out.mp4")
    seen = clips.read(tmp_path / "out.mp4")
    assert seen.numbers == [0, 1, 2, 3]
    assert [float(time) for time in seen.times] == pytest.approx([t / 100 for t in pts], abs=1e-9)


def test_frames_of_another_size_are_restored_at_the_first_size(tmp_path):
    first = clips.make(tmp_path / "a.ts", frames=6)
    second = clips.make(tmp_path / "b.ts", frames=6, first=6, height=64, width=96)
    glued = tmp_path / "glued.ts"
    glued.write_bytes(first.read_bytes() + second.read_bytes())
    report = restore_video(glued, tmp_path / "out.mp4", RestoreOptions(weights="nearest"))
    assert any("6 frames of another size" in notice for notice in report.notices)
    seen = clips.read(tmp_path / "out.mp4")
    assert seen.numbers == list(range(12))
    assert {image.shape for image in seen.images} == {(360, 640, 3)}
    assert np.abs(clips.patches_in(seen.images[11]) - clips.PATCHES).max() <= 4


def test_a_decoder_that_is_given_up_holds_nothing_more(tmp_path):
    """Its threads would wait for Python to let that go, and Python for them."""
    with av.open(clips.make(tmp_path / "in.mp4", frames=12)) as container:
        with FrameDecoder(container.streams.video[0]) as shapes:
            for packet in islice(container.demux(shapes.stream), 4):
                shapes.decode(packet)
        assert shapes.stream.codec_context.decode(None) == []


def test_the_smallest_picture_is_restored(tmp_path):
    save(tmp_path / "in.png", np.full((1, 1, 3), 90, np.uint8))
    restore_nearest(tmp_path / "in.png", tmp_path / "out.mp4")
    stream = ffprobe(tmp_path / "out.mp4")["streams"][0]
    assert (stream["width"], stream["height"], stream["nb_frames"]) == (4, 4, "1")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_size_that_cuts_chroma_in_half_is_refused_before_the_work(tmp_path, codec):
    source = clips.make(tmp_path / "in.mkv", frames=1, height=65, width=91, codec="ffv1",
                        pix_fmt="yuv444p", options={})  # fmt: skip
    with pytest.raises(OutputError, match=f"273x195, but {codec} in yuv420p needs even sizes"):
        restore_nearest(source, tmp_path / "out.mp4", codec=codec, scale=3)
    restore_nearest(source, tmp_path / "out.mp4", codec=codec, scale=3, pix_fmt="yuv444p")
    assert clips.read(tmp_path / "out.mp4").images[0].shape == (195, 273, 3)
