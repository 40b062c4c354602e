"""Closed captions in the pictures of H.264 and MPEG-2 are in the output's, or named."""

from itertools import islice
from pathlib import Path

import av
import pytest
import torch
from av.filter import Graph

from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.pixels.colour import BT709, TV, Colour
from vsrdb_cli.video.pixels.from_rgb import FromRgb
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.side_data.attachments import Captioner

WILD = Path(__file__).parents[1] / "wild"
NEAREST = {"weights": "nearest", "device": "cpu"}
WAYS = [("out.mp4", 10), ("out.mkv", 0.4)]  # in one go and in segments


def captions(path):
    """The caption bytes of every frame."""
    with av.open(str(path)) as container:
        return [
            [bytes(data) for data in frame.side_data if data.type.name == "A53_CC"]
            for frame in container.decode(video=0)
        ]


def restored(source, target, **options):
    said = []
    report = restore_video(
        source, target, RestoreOptions(**NEAREST, **options), on_notice=said.append
    )
    return [line for line in (*said, *report.notices) if "caption" in line]


@pytest.mark.parametrize("target, segment_seconds", WAYS)
@pytest.mark.parametrize("source", ["captions_sei.mp4", "captions_mpeg2.ts"])
@pytest.mark.cases
def test_every_frame_keeps_its_captions(tmp_path, source, target, segment_seconds):
    said = restored(WILD / source, tmp_path / target, segment_seconds=segment_seconds, strict=True)
    assert not said
    assert captions(tmp_path / target) == captions(WILD / source)
    assert sum(map(len, captions(tmp_path / target))) == 25


@pytest.mark.parametrize("options", [{}, {"pix_fmt": "yuv444p"}, {"pix_fmt": "yuv420p10le"}])
@pytest.mark.cases
def test_hevc_keeps_them_too_and_in_every_pixel_format(tmp_path, options):
    encoder = EncoderOptions(codec="hevc", preset="ultrafast", **options)
    assert not restored(WILD / "captions_sei.mp4", tmp_path / "out.mp4", encoder=encoder, end="6f")
    assert captions(tmp_path / "out.mp4") == captions(WILD / "captions_sei.mp4")[:6]


def test_a_part_has_the_captions_of_its_frames(tmp_path):
    assert not restored(WILD / "captions_sei.mp4", tmp_path / "out.mp4", start="5f", end="15f")
    assert captions(tmp_path / "out.mp4") == captions(WILD / "captions_sei.mp4")[5:15]


def test_at_the_same_size_pictures_and_captions_are_right(tmp_path):
    """Where nothing is enlarged a decoder's own memory is not written to."""
    assert not restored(WILD / "captions_sei.mp4", tmp_path / "out.mkv", scale=1)
    assert captions(tmp_path / "out.mkv") == captions(WILD / "captions_sei.mp4")
    with open_source(WILD / "captions_sei.mp4") as a, open_source(tmp_path / "out.mkv") as b:
        for was, now in zip(a.frames(), b.frames(), strict=True):
            assert (was.rgb.float() - now.rgb.float()).abs().mean() < 4


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp"])
def test_the_restored_samples_take_the_place_of_the_carriers(pix_fmt):
    with av.open(str(WILD / "captions_sei.mp4")) as container:
        source = next(container.decode(video=0))
    picture = FromRgb(pix_fmt, Colour(BT709, TV, 1, 1))(
        torch.randint(0, 256, (3, 90, 162), dtype=torch.uint8)
    )
    carried = Captioner(162, 90, pix_fmt)(picture, source)
    assert [d.type.name for d in carried.side_data if d.type.name == "A53_CC"]
    assert (carried.to_ndarray() == picture.to_ndarray()).all()
    assert (carried.format.name, carried.pict_type) == (pix_fmt, 0)
    for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
        assert getattr(carried, tag) == getattr(picture, tag)


@pytest.mark.parametrize("target, codec", [
    ("out.webm", "vp9"), ("out.mkv", "ffv1"), ("out.mov", "prores"), ("out.mp4", "av1"),
    ("pictures", None),
])  # fmt: skip
@pytest.mark.cases
def test_where_they_cannot_be_written_that_is_said_before_the_work(tmp_path, target, codec):
    encoder = EncoderOptions(codec=codec)
    (line, *_) = restored(
        WILD / "captions_sei.mp4", tmp_path / target, encoder=encoder, end="3f", scale=1
    )
    assert "closed captions" in line
    assert "--codec h264 or hevc keeps" in line or "a .mkv output keeps" in line
    with pytest.raises(OutputError, match="closed captions"):
        restored(
            WILD / "captions_sei.mp4", tmp_path / f"strict-{target}", encoder=encoder, strict=True
        )


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_who_asks_for_none_gets_none_with_a_word(tmp_path, codec):
    encoder = EncoderOptions(codec=codec, extra={"a53cc": "0"})
    (line, *_) = restored(
        WILD / "captions_sei.mp4", tmp_path / "out.mp4", encoder=encoder, end="3f", scale=1
    )
    assert line == "closed captions are dropped: a53cc=0 was given"
    assert captions(tmp_path / "out.mp4") == [[]] * 3


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Captions from the sixth frame of ten on."""
    path = tmp_path_factory.mktemp("late") / "late.mp4"
    with av.open(str(WILD / "captions_sei.mp4")) as source, av.open(str(path), "w") as output:
        graph = Graph()
        template = source.streams.video[0]
        begin = graph.add_buffer(template=template)
        without = graph.add("sidedata", "mode=delete:type=A53_CC")
        graph.link_nodes(begin, without, graph.add("buffersink")).configure()
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        for index, frame in enumerate(islice(source.decode(video=0), 10)):
            graph.push(frame)
            bare = graph.pull()
            frame.pict_type = bare.pict_type = 0
            output.mux(video.encode(bare if index < 5 else frame))
        output.mux(video.encode(None))
    assert [len(of) for of in captions(path)] == [0] * 5 + [1] * 5
    return path


@pytest.mark.parametrize("segment_seconds", [10, 0.2])
@pytest.mark.cases
def test_captions_that_begin_later_are_kept_or_told_of_at_the_end(tmp_path, late, segment_seconds):
    options = {"segment_seconds": segment_seconds, "strict": True}
    assert not restored(late, tmp_path / "out.mp4", **options)
    assert captions(tmp_path / "out.mp4") == captions(late)
    with pytest.raises(VideoError, match="closed captions of 5 frames dropped"):
        restored(late, tmp_path / "out.mkv", encoder=EncoderOptions(codec="ffv1"), **options)


def combed(index):
    """A bar that moves from field to field, in gbrp."""
    rgb = torch.full((3, 96, 160), 40, dtype=torch.uint8)
    for field in range(2):
        place = 8 + (2 * index + field) * 4 % 120
        rgb[:, field::2, place : place + 24] = 220
    return rgb


def test_captions_of_interlaced_video_stay_with_their_frames(tmp_path):
    source = tmp_path / "interlaced.mpg"
    to_yuv, captioned = FromRgb("yuv420p", Colour(BT709, TV, 1, 1)), Captioner(160, 96, "yuv420p")
    with av.open(str(WILD / "captions_sei.mp4")) as given, av.open(str(source), "w") as output:
        video = output.add_stream("mpeg2video", rate=25, options={"flags": "+ilme+ildct"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.bit_rate = 4_000_000
        for index, frame in enumerate(given.decode(video=0)):
            picture = captioned(to_yuv(combed(index)), frame)
            picture.pts, picture.time_base = frame.pts, frame.time_base
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    assert sum(map(len, captions(source))) == 25
    report = restore_video(source, tmp_path / "out.mp4", RestoreOptions(**NEAREST))
    assert any("frames deinterlaced" in line for line in report.notices)
    assert captions(tmp_path / "out.mp4") == captions(source)
