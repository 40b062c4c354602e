import shlex
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from colour_round_trip import CASES, measure

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.reading.open import open_source

CHROMA_RMS = 0.5


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.size[0] < 720],
    ids=lambda case: case.name,
)
@pytest.mark.cases
def test_with_a_network_that_changes_nothing_picture_out_is_picture_in(tmp_path, case):
    result = measure(case, tmp_path)
    assert result.luma.rms <= 0.1
    assert abs(result.chroma.bias) <= 0.05
    assert result.chroma.rms <= CHROMA_RMS
    assert result.chroma_x4.rms <= CHROMA_RMS
    assert result.patch_largest <= 2


@pytest.mark.parametrize("pix_fmt, full, codes, wanted", [
    ("gray", False, (16, 126, 235), (0, 128, 255)),
    ("gray", True, (0, 128, 255), (0, 128, 255)),
    ("gray10le", False, (64, 502, 940), (0, 32640, 65280)),
    ("gray10le", True, (0, 512, 1023), (0, 32672, 65280)),
    ("gray16le", False, (16 << 8, 125 << 8, 235 << 8), (0, 32491, 65280)),
])  # fmt: skip
def test_grey_video_is_read_by_its_range(tmp_path, pix_fmt, full, codes, wanted):
    kind = np.uint8 if pix_fmt == "gray" else np.uint16
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, pix_fmt
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(np.repeat(codes, 16)[None].repeat(32, 0).astype(kind),
                                           format=pix_fmt)  # fmt: skip
        frame.pts, frame.time_base, frame.color_range = 0, Fraction(1, 25), 2 if full else 1
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with open_source(tmp_path / "in.mkv") as reader:
        (frame,) = reader.frames()
    assert (frame.rgb[0] == frame.rgb[1]).all()
    assert (frame.rgb[0] == frame.rgb[2]).all()
    assert [int(v) for v in frame.rgb[0, 5, 8::16]] == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("tagged", [(), ("-color_primaries", "bt2020", "-color_trc", "bt2020-10")])
@pytest.mark.parametrize("matrix", ["ycgco", "bt2020c"])
@pytest.mark.cases
def test_an_unsupported_matrix_is_refused_with_a_command_that_converts_it(tmp_path, matrix, tagged):
    pattern = "testsrc2=size=64x48:duration=0.2"
    source, mended = tmp_path / "in.mkv", tmp_path / "out.mkv"
    made = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern, "-pix_fmt", "yuv420p"]
    subprocess.run([*made, "-colorspace", matrix, *tagged, source], check=True, timeout=60)
    with pytest.raises(VideoError, match="colour matrix") as refused:
        open_source(source)
    words = shlex.split(refused.value.hint.partition(": ")[2])
    given = [{"IN": str(source), "OUT": str(mended)}.get(word, word) for word in words]
    subprocess.run([*given, "-v", "error"], check=True, timeout=60)
    with open_source(mended) as reader:
        assert reader.info.colour.matrix == 1


def test_filters_take_frames_whose_colour_tags_nobody_knows():
    frame = av.VideoFrame(32, 16, "yuv420p")
    frame.colorspace, frame.color_range = 1_437_696_257, 9
    (filtered,) = FilterChain(("null", "")).push(frame)
    assert (filtered.width, filtered.height) == (32, 16)
    assert (frame.colorspace, frame.color_range) == (1_437_696_257, 9)
