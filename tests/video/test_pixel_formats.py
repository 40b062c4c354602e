"""Pixel formats are read by FFmpeg's descriptor, right in depth, range and order."""

import io
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from boxes import box_added
from probing import ffprobe
from restoring import y4m_of

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.pixels.colour import colour_of
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, code_depth, is_grey, is_rgb
from vsrdb_cli.video.pixels.to_rgb import EXACT, ToRgb
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.y4m_reader import PipeReader
from vsrdb_cli.video.writing.output import resolve_output

WILD = Path(__file__).parents[1] / "wild"


def restored(source, target, **options):
    return restore_video(source, target, RestoreOptions(weights="nearest", **options))


def luma_of(path, scale=4):
    """The luma of the first frame as ffmpeg, another build, brings it to full range."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo",
               "-pix_fmt", "gray", "-"]  # fmt: skip
    data = subprocess.run(command, check=True, capture_output=True).stdout
    stream = ffprobe(path)["streams"][0]
    return np.frombuffer(data, np.uint8).reshape(stream["height"], stream["width"])[
        ::scale, ::scale
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seconds", [10, 0.05])
@pytest.mark.slow
def test_grey_of_a_machine_camera_is_not_clipped(tmp_path, suffix, seconds):
    out = tmp_path / f"out{suffix}"
    report = restored(WILD / "y800.avi", out, segment_seconds=seconds)
    assert any("does not specify its grey range" in notice for notice in report.notices)
    was, now = luma_of(WILD / "y800.avi", 1), luma_of(out)
    assert (was.min(), was.max()) == (0, 255)
    assert np.abs(was.astype(int) - now).max() <= 2


@pytest.mark.parametrize("range_, black, white", [(1, 16, 235), (2, 0, 255)])
def test_grey_that_says_its_range_is_read_by_it(tmp_path, range_, black, white):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.color_range = range_
        image = np.full((48, 64), black, np.uint8)
        image[:, 32:] = white
        frame = av.VideoFrame.from_ndarray(image, "gray")
        frame.pts, frame.time_base, frame.color_range = 0, Fraction(1, 25), range_
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with open_source(path) as reader:
        (frame,) = reader.frames()
    assert set(frame.rgb.unique().tolist()) == {0, 255}


def test_untagged_grey_of_h264_is_limited_as_its_standard_says(tmp_path):
    path = clips.make(tmp_path / "in.mp4", frames=1, pix_fmt="gray", tagged=False,
                      height=96, options={"qp": "0"})  # fmt: skip
    with open_source(path) as reader:
        (frame,) = reader.frames()
        assert reader.info.colour.range == 1
    luma = clips.to_yuv(clips.picture(0, 96), 1, full=False, depth=8)[0]
    assert np.abs((luma - 16) * 255 / 219 - frame.rgb[0].numpy()).max() <= 1


def test_grey_y4m_on_stdin_is_counted_from_0():
    with PipeReader(io.BytesIO(y4m_of(WILD / "y800.avi"))) as reader:
        assert "does not specify its grey range" in reader.info.assumed[0]
        frame = next(reader.frames())
    assert (frame.rgb[0].numpy() == luma_of(WILD / "y800.avi", 1)).all()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.cases
def test_15_bits_a_pixel_become_8_bits_a_colour(tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    restored(WILD / "rgb555.avi", out)
    stream = ffprobe(out)["streams"][0]
    assert (stream["profile"], stream["pix_fmt"]) == ("High", "yuv420p")


@pytest.mark.parametrize("pix_fmt, levels", [
    ("rgb555le", (32, 32, 32)), ("bgr555be", (32, 32, 32)), ("rgb565le", (32, 64, 32)),
    ("bgr565be", (32, 64, 32)), ("rgb444le", (16, 16, 16)), ("bgr444be", (16, 16, 16)),
    ("rgb8", (8, 8, 4)), ("bgr8", (8, 8, 4)), ("rgb4_byte", (2, 4, 2)), ("bgr4_byte", (2, 4, 2)),
    ("rgb4", (2, 4, 2)), ("bgr4", (2, 4, 2)),
])  # fmt: skip
@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_of_few_bits_reaches_white_and_keeps_its_steps(pix_fmt, levels, depth):
    image = np.zeros((4, 64, 3), np.uint8)
    for channel in range(3):  # each by itself, then all
        image[channel, :, channel] = np.linspace(0, 255, 64)
    image[3] = np.linspace(0, 255, 64)[:, None]
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt)
    assert code_depth(frame.format) == 8
    colour = colour_of(matrix=2, range_=0, primaries=2, transfer=2, rgb=True, height=4, width=64)
    rgb = ToRgb("rawvideo", colour, depth)(frame).numpy() / (255 if depth == 8 else 65280)
    for channel, count in enumerate(levels):
        seen = np.unique(rgb[channel, channel])
        assert (seen[0], seen[-1]) == (0, 1)
        np.testing.assert_allclose(seen * (count - 1), np.rint(seen * (count - 1)), atol=0.13)
        others = [c for c in range(3) if c != channel]
        assert rgb[others, channel].max() <= 1 / 3 + 0.01  # dithered, at the most
    assert rgb[:, 3, 0].max() == 0
    assert rgb[:, 3, -1].min() == 1


def descriptors():
    return [av.VideoFormat(name) for name in sorted(av.video.format.names)]


def test_every_format_that_can_be_made_is_read():
    """By way of swscale and back; what it cannot make is not judged here."""
    image = np.repeat(np.linspace(0, 255, 64)[None, :, None], 32, 0).repeat(3, 2).astype(np.uint8)
    source = av.VideoFrame.from_ndarray(image, "rgb24")
    judged = 0
    for pixels in descriptors():
        try:
            frame = source.reformat(
                format=pixels.name, dst_colorspace=1, dst_color_range=1, interpolation=EXACT
            )
        except (OSError, ValueError):
            continue
        colour = colour_of(
            matrix=1, range_=2 if is_grey(pixels) else 1, primaries=1, transfer=1,
            rgb=is_rgb(pixels), height=720, width=1280,
        )  # fmt: skip
        frame.color_range = 0
        depth = code_depth(pixels)
        rgb = ToRgb("rawvideo", colour, depth)(frame).numpy() / (255 if depth == 8 else 65280)
        wanted = np.moveaxis(image, 2, 0) / 255
        coarse = max(1 / (1 << min(part.bits for part in pixels.components[:3])), 1 / 64)
        error = np.abs(rgb - wanted)
        if bit_depth(pixels) > 1:  # the steps of the format, dithered
            assert error.mean() < coarse, pixels.name
        assert rgb[:, :, 0].max() <= 0.01, pixels.name
        if not pixels.name.startswith("xyz"):  # which has no room for the blue of white
            assert rgb[:, :, -1].min() >= 0.99, pixels.name
        judged += 1
    assert judged > 150


@pytest.mark.parametrize("name, depth", [
    ("rgb555le", 8), ("monob", 8), ("pal8", 8), ("gray", 8), ("ya8", 8), ("bayer_rggb8", 8),
    ("gray9le", 16), ("gray16be", 16), ("x2rgb10le", 16), ("gbrp10le", 16), ("gbrp14le", 16),
    ("xyz12le", 16), ("gbrpf32le", 16), ("grayf32le", 16), ("bayer_rggb16le", 16),
    ("yuv420p9le", 16), ("p010le", 16), ("v30xle", 16), ("yuv444p16le", 16),
])  # fmt: skip
def test_an_output_is_no_deeper_than_its_source(name, depth):
    assert code_depth(av.VideoFormat(name)) == depth


@pytest.mark.parametrize("pix_fmt, target, options, words", [
    ("yuv444p12le", "out.mp4", {}, "source has 12 bits per colour, h264 yuv420p10le has 10"),
    ("gbrp16le", "out.mkv", {"codec": "h264"}, "source has 16 bits per colour"),
    ("yuv420p10le", "out.mp4", {"pix_fmt": "yuv420p"}, "source has 10 bits per colour, h264"),
    ("yuv444p12le", "-", {}, "the source has 12 bits per colour, y4m gets 10"),
    ("yuv420p10le", "out.mp4", {}, None), ("yuv420p9le", "out.mp4", {}, None),
    ("yuv444p12le", "out.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p12le"}, None),
    ("yuv444p12le", "pictures", {}, None), ("yuv420p10le", "-", {}, None),
])  # fmt: skip
def test_finer_steps_that_are_rounded_are_named(tmp_path, pix_fmt, target, options, words):
    path = clips.make(tmp_path / "in.mkv", frames=1, codec="ffv1", pix_fmt="yuv420p10le",
                      height=96, options={})  # fmt: skip
    with open_source(path) as reader:
        info = replace(reader.info, pix_fmt=pix_fmt)
    place = Path("-") if target == "-" else tmp_path / target
    said = " ".join(resolve_output(place, info, 4, EncoderOptions(**options)).notices)
    assert (words in said) if words else ("values are rounded" not in said)


def test_grey_is_what_has_luma_alone():
    assert {pixels.name for pixels in descriptors() if is_grey(pixels)} >= {
        "gray", "gray10le", "ya8", "ya16be", "grayf32le", "monob", "monow",
    }  # fmt: skip
    assert not any(is_grey(av.VideoFormat(name)) for name in ("pal8", "rgb8", "yuv420p", "nv12"))


def test_a_format_that_swscale_cannot_read_is_refused_by_name():
    colour = colour_of(matrix=2, range_=0, primaries=2, transfer=2, rgb=True, height=4, width=64)
    with pytest.raises(VideoError, match="pixel format rgbaf32le is not supported"):
        ToRgb("rawvideo", colour, 16)(av.VideoFrame(16, 16, "rgbaf32le"))


def test_what_a_container_crops_is_left_out(tmp_path):
    path = clips.make(tmp_path / "in.mp4", frames=3, height=96, width=160)
    whole = [frame.rgb for frame in frames_of(path)]
    # 128x64 around a centre 4 to the right of the picture's and 8 below it.
    clap = struct.pack(">I4s8i", 40, b"clap", 128, 1, 64, 1, 4, 1, 8, 1)
    boxes = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
    path.write_bytes(box_added(path.read_bytes(), boxes, clap))
    with open_source(path) as reader:
        assert (reader.info.height, reader.info.width) == (64, 128)
        for frame, other in zip(reader.frames(), whole, strict=True):
            assert (frame.rgb == other[:, 24:88, 20:148]).all()
        assert not reader.report.notices
    restored(path, tmp_path / "out.mp4")
    stream = ffprobe(tmp_path / "out.mp4")["streams"][0]
    assert (stream["width"], stream["height"]) == (512, 256)


def frames_of(path):
    with open_source(path) as reader:
        return list(reader.frames())
