"""Encoders in GPUs: their options by FFmpeg's own tables, and how they are refused and chosen."""

import re
from dataclasses import replace

import av
import clips
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from ffmpeg_options import NotShippedError, refused
from restoring import open_sink, restore_nearest

from vsrdb_cli.cli import main
from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.options import EncoderOptions, declared_options
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.pixels.colour import SDR
from vsrdb_cli.video.pixels.from_rgb import FromRgb
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.side_data.attachments import Captioner
from vsrdb_cli.video.writing.encoders import ENCODERS
from vsrdb_cli.video.writing.encoding import choose_encoding
from vsrdb_cli.video.writing.hardware import HARDWARE, why_unavailable

EVERY = [
    pytest.param(hardware, codec, id=encoder.name)
    for hardware, encoders in HARDWARE.items()
    for codec, encoder in encoders.items()
]
INFO = VideoInfo.synthetic(256, 192, 3)


def require_built(encoder):
    if encoder.name not in av.codecs_available:
        pytest.skip(f"FFmpeg was built without {encoder.name}")


def chosen(why_not, suffix=".mkv", height=192, width=256, info=INFO, **options):
    return choose_encoding(EncoderOptions(**options), suffix, info, height, width, why_not=why_not)


def works(*names):
    """Return what stands for a machine where the encoders of these names work, and no others."""
    return lambda encoder, pix_fmt, height, width: None if encoder.name in names else "no GPU"


def test_the_values_of_the_option_are_the_rows_of_the_table():
    (option,) = (entry for entry in declared_options() if entry.name == "hardware")
    assert option.metadata["option"].choices == ("none", "auto", *HARDWARE)


@pytest.mark.parametrize("hardware, codec", EVERY)
def test_ffmpeg_knows_every_option_value_and_preset_that_is_given(hardware, codec):
    encoder = HARDWARE[hardware][codec]
    require_built(encoder)
    try:
        for crf in encoder.crf_range:
            assert refused(encoder.name, encoder.settings(crf=crf)) == []
        for preset in encoder.presets:
            assert refused(encoder.name, encoder.settings(preset=preset)) == []
        assert refused(encoder.name, {"warp": "9", "qp_i": "many"}) != []
    except NotShippedError:
        pytest.skip("FFmpeg is the system's")


@pytest.mark.parametrize("hardware, codec", EVERY)
def test_frames_are_given_in_formats_that_the_encoder_takes(hardware, codec):
    encoder = HARDWARE[hardware][codec]
    require_built(encoder)
    known = {one.name for one in av.Codec(encoder.name, "w").video_formats}
    assert known.issuperset(encoder.pix_fmts)


@pytest.mark.parametrize("hardware, codec, settings", [
    ("nvenc", "hevc", {"cq": "18"}),
    ("qsv", "h264", {"global_quality": "18"}),
    ("qsv", "av1", {"global_quality": "18"}),
    ("amf", "h264", {"rc": "cqp", "qp_i": "18", "qp_p": "18", "qp_b": "18"}),
    ("amf", "hevc", {"rc": "cqp", "qp_i": "18", "qp_p": "18"}),
    ("amf", "av1", {"rc": "cqp", "qp_i": "72", "qp_p": "72", "qp_b": "72"}),  # of 255
    ("videotoolbox", "hevc", {"global_quality": str(65 * 118), "flags": "+qscale"}),
])  # fmt: skip
def test_quality_is_given_as_each_encoder_counts_it(hardware, codec, settings):
    encoder = HARDWARE[hardware][codec]
    assert encoder.settings(crf=18).items() >= settings.items()
    if encoder.name in av.codecs_available:
        encoding = chosen(works(encoder.name), codec=codec, hardware=hardware, crf=18)
        assert encoding.encoder is encoder
        assert encoding.settings.items() >= settings.items()


@pytest.mark.parametrize("hardware, preset, option", [
    ("nvenc", "p7", "preset"), ("qsv", "veryslow", "preset"), ("amf", "balanced", "quality"),
])  # fmt: skip
def test_presets_are_the_encoders_own(hardware, preset, option):
    yes = works(HARDWARE[hardware]["hevc"].name)
    encoding = chosen(yes, codec="hevc", hardware=hardware, preset=preset)
    assert encoding.settings[option] == preset
    with pytest.raises(OptionError, match="no preset 'ultrafast'"):
        chosen(yes, codec="hevc", hardware=hardware, preset="ultrafast")


@pytest.mark.parametrize("names, expected", [
    ((), "libx265"),
    (("hevc_amf",), "hevc_amf"),
    (("hevc_videotoolbox", "hevc_qsv"), "hevc_qsv"),
    (("hevc_qsv", "hevc_nvenc"), "hevc_nvenc"),
    (("h264_qsv",), "libx265"),
])  # fmt: skip
def test_auto_is_the_first_that_works_and_else_the_processor(names, expected):
    assert chosen(works(*names), codec="hevc", hardware="auto").encoder.name == expected


def test_auto_leaves_an_encoder_that_has_no_such_preset_size_or_format():
    def encoders(**options):
        tried = []

        def why_not(encoder, pix_fmt, height, width):
            tried.append((encoder.name, pix_fmt, height, width))
            return "too large"

        encoder = chosen(why_not, codec="hevc", hardware="auto", **options).encoder
        assert encoder is ENCODERS["hevc"]
        return tried

    assert encoders(preset="fast") == [("hevc_qsv", "nv12", 192, 256)]
    names = [name for name, *_ in encoders()]
    assert names == [encoders["hevc"].name for encoders in HARDWARE.values()]
    deep = replace(INFO, bit_depth=16)
    assert {pix_fmt for _, pix_fmt, *_ in encoders(info=deep)} == {"p010le"}
    assert {size for *_, size, _ in encoders(height=1080, width=1920)} == {1080}


def test_a_codec_without_a_gpus_encoder_is_refused_by_name_and_left_by_auto():
    with pytest.raises(OptionError, match="videotoolbox does not encode av1") as error:
        chosen(works(), codec="av1", hardware="videotoolbox")
    assert error.value.hint == "choose --codec h264 or hevc"
    assert chosen(works(), codec="ffv1", hardware="auto").encoder is ENCODERS["ffv1"]


def test_a_picture_that_nvidias_never_takes_is_refused_by_its_size():
    with pytest.raises(OutputError, match="h264 allows at most 4096x4096"):
        chosen(works("h264_nvenc"), codec="h264", hardware="nvenc", height=2160, width=7680)


@pytest.mark.parametrize("hardware, codec", EVERY)
def test_what_does_not_work_here_is_refused_in_one_line_with_what_was_tried(
    tmp_path, hardware, codec
):
    encoder = HARDWARE[hardware][codec]
    if why_unavailable(encoder) is None:
        pytest.skip(f"{encoder.name} works here")
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64)
    out = tmp_path / "out.mp4"
    command = ["restore", "--weights", "nearest", "--hardware", hardware, "--codec", codec]
    done = CliRunner().invoke(main, [*command, str(source), str(out)])
    assert done.exit_code == 2
    assert re.fullmatch(
        f".+ -> .+\nerror: {encoder.name} is not available here: .+; tried with three frames of"
        " 256x192\nhint: omit --hardware.+\n",
        done.stderr,
    )
    assert "Unknown error" not in done.stderr
    assert not out.exists()


def test_auto_writes_a_whole_video_whatever_is_here(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64)
    restore_nearest(source, tmp_path / "out.mp4", hardware="auto")
    assert clips.read(tmp_path / "out.mp4").numbers == [0, 1]


def test_a_named_encoder_that_does_not_work_is_no_other_one(tmp_path):
    if why_unavailable(HARDWARE["qsv"]["h264"]) is None:
        pytest.skip("QSV works here")
    source = clips.make(tmp_path / "in.mp4", frames=2, height=48, width=64)
    with (
        open_source(source) as reader,
        pytest.raises(OptionError, match="h264_qsv is not available here"),
    ):
        open_sink(tmp_path / "out.mp4", reader.info, 4, EncoderOptions(hardware="qsv"))


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "prores", "ffv1"])
def test_an_encoder_works_when_it_has_encoded_three_frames(codec):
    assert why_unavailable(ENCODERS[codec]) is None


def test_an_encoder_fails_with_a_format_or_size_it_does_not_take():
    assert "no pixel format 'rgb24'" in why_unavailable(ENCODERS["h264"], "rgb24")
    assert why_unavailable(ENCODERS["h264"], height=0)
    assert why_unavailable(replace(ENCODERS["h264"], name="h264_warp")) == (
        "this FFmpeg was built without it"
    )


@pytest.mark.parametrize("pix_fmt, planar, dtype, white", [
    ("nv12", "yuv420p", torch.uint8, 255), ("p010le", "yuv420p10le", torch.uint16, 65280),
])  # fmt: skip
@pytest.mark.parametrize("size", [(48, 64), (45, 63)])
def test_frames_for_a_gpu_have_the_samples_that_a_planar_frame_has(
    pix_fmt, planar, dtype, white, size
):
    rgb = (torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) * white).to(dtype)
    frames = [FromRgb(name, SDR)(rgb) for name in (pix_fmt, planar)]
    assert [frame.format.name for frame in frames] == [pix_fmt, planar]
    samples = [frame.to_ndarray(format="yuv444p16le") for frame in frames]
    assert np.array_equal(*samples)
    tags = [(f.colorspace, f.color_range, f.color_primaries, f.color_trc) for f in frames]
    assert tags[0] == tags[1]


def test_captions_come_along_in_a_frame_for_a_gpu():
    rgb = (torch.rand(3, 48, 64) * 255).to(torch.uint8)
    picture = FromRgb("nv12", SDR)(rgb)
    carrier = Captioner(64, 48, "nv12")(picture, av.VideoFrame(32, 24, "yuv420p"))
    assert carrier.format.name == "nv12"
    assert np.array_equal(carrier.to_ndarray(), picture.to_ndarray())
