from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from probing import ffprobe
from restoring import enlarged

from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.options import EncoderOptions, Hdr
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.output import resolve_output

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def hdr_clip(path, transfer=16):
    return clips.make(
        path, frames=5, height=48, width=64, codec="libx265", pix_fmt="yuv420p10le", matrix=9,
        primaries=9, transfer=transfer,
        options={"crf": "8", "x265-params": "log-level=error:hdr10=1:repeat-headers=1:"
                 f"master-display={MASTERING}:max-cll=1000,400"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pq(tmp_path_factory):
    return hdr_clip(tmp_path_factory.mktemp("hdr") / "in.mp4")


def restore(source, target, hdr, **options):
    with open_source(source, hdr=hdr) as reader:
        output = resolve_output(target, reader.info, 4, EncoderOptions(**options))
        with output.open() as sink:
            for frame in reader.frames():
                sink.write(Frame(enlarged(frame.rgb, 4), frame.pts, frame.duration))
            sink.commit()
        return output.notices


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_with_the_choices_named(tmp_path, transfer, name):
    source = hdr_clip(tmp_path / "in.mp4", transfer)
    with pytest.raises(VideoError, match=f"is HDR video \\({name}\\)") as caught:
        open_source(source)
    assert "--hdr sdr" in caught.value.hint
    assert "--hdr keep" in caught.value.hint


@pytest.mark.parametrize("codec, suffix", [
    (None, ".mp4"), (None, ".mkv"), ("h264", ".mp4"), ("av1", ".mp4"),
])  # fmt: skip
@pytest.mark.cases
def test_kept_hdr_has_its_signal_tags_and_light(pq, tmp_path, codec, suffix):
    out = tmp_path / f"out{suffix}"
    assert not restore(pq, out, Hdr.KEEP, codec=codec, crf=4)
    stream = ffprobe(out)["streams"][0]
    assert stream["codec_name"] == (codec or "hevc")
    assert stream["pix_fmt"] == "yuv420p10le"
    tags = (stream["color_space"], stream["color_primaries"], stream["color_transfer"])
    assert tags == ("bt2020nc", "bt2020", "smpte2084")
    with open_source(out, hdr=Hdr.KEEP) as reader:
        light = reader.info.light
        image, *_ = (frame.rgb.permute(1, 2, 0).numpy() for frame in reader.frames())
    green, blue, red, white = (
        (Fraction(x, 50000), Fraction(y, 50000))
        for x, y in ((13250, 34500), (7500, 3000), (34000, 16000), (15635, 16450))
    )
    seen = np.array(light.primaries, float)
    np.testing.assert_allclose(seen, np.array([red, green, blue, white], float), atol=2e-5)
    # AV1 has the darkest in steps of 1/16384.
    assert [float(v) for v in light.luminance] == pytest.approx([0.0001, 1000], abs=4e-5)
    assert light.content == (1000, 400)
    patches = clips.patches_in(image.astype(float) / 256)
    assert np.abs(patches - clips.PATCHES).max() <= 4  # of patches 8 pixels wide, encoded twice


def test_hdr_is_not_squeezed_into_8_bits(pq, tmp_path):
    for name, codec in (("out.webm", "vp9"), ("out.mp4", "h264")):
        with pytest.raises(OptionError, match="needs 10 bits"):
            restore(pq, tmp_path / name, Hdr.KEEP, codec=codec, pix_fmt="yuv420p")


def test_a_codec_without_a_place_for_the_light_says_so(pq, tmp_path):
    (notice,) = restore(pq, tmp_path / "out.mkv", Hdr.KEEP, codec="ffv1")
    assert "HDR mastering metadata is dropped: ffv1" in notice


def pq_code(nits):
    """SMPTE ST 2084, 0 to 1."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


@pytest.mark.slow  # swscale's table takes seconds to build
def test_sdr_is_bt709_with_mid_tones_where_they_belong(tmp_path):
    nits = (0, 10, 50, 100, 203, 1000)
    clip = clips.Clip(codec="ffv1", options={}, pix_fmt="yuv420p10le")
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 32, clip.pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, 16
        frame = av.VideoFrame(96, 32, clip.pix_fmt)
        luma = np.repeat([round(64 + 876 * pq_code(n)) if n else 64 for n in nits], 16)
        for plane, values in zip(frame.planes, (luma, *[np.full(48, 512)] * 2), strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : plane.width] = values
            plane.update(rows.tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with open_source(tmp_path / "in.mkv", hdr=Hdr.SDR) as reader:
        (frame,) = reader.frames()
        colour = reader.info.colour
    assert (colour.matrix, colour.primaries, colour.transfer) == (1, 1, 1)
    levels = [int(v) / 65280 for v in frame.rgb[1, 16, 8::16]]
    # Diffuse white is 203 cd/m2 in HDR (ITU-R BT.2408) and 1 in SDR; BT.1886 displays have a
    # gamma of 2.4.
    wanted = [min(1, (n / 203) ** (1 / 2.4)) for n in nits]
    assert levels == pytest.approx(wanted, abs=0.02)
