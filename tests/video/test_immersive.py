"""Video around the viewer, or for two eyes, stays so; what cannot is named."""

import struct
from dataclasses import replace
from pathlib import Path

import av
import clips
import pytest
from av.sidedata.sidedata import Type
from probing import ffprobe
from restoring import restore_in_segments, restore_nearest

from vsrdb_cli.errors import OptionError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.side_data.attachments import side_data
from vsrdb_cli.video.side_data.immersive import View, view_of
from vsrdb_cli.video.writing.output import resolve_output

WILD = Path(__file__).parents[1] / "wild"
NEAREST = {"weights": "nearest", "device": "cpu"}
WAYS = [(f"out{ending}", seconds) for ending in (".mp4", ".mkv") for seconds in (10, 0.2)]
TILE = View(projection=2, pose=(30 << 16, -15 << 16, 5 << 16), bounds=(1 << 30, 0, 1 << 29, 0))


def sides(path):
    """What ffprobe says of the first video beside its codec."""
    return {data["side_data_type"]: data for data in ffprobe(path)["streams"][0]["side_data_list"]}


def seen(path):
    with av.open(str(path)) as container:
        return view_of(side_data(next(container.decode(video=0))))


def made(path, view):
    """A clip of our own, which says how it is to be viewed."""
    flat = clips.make(path.with_suffix(".flat.mkv"), clips.Clip(frames=4, height=48, width=64))
    output = resolve_output(path, replace(probe(flat), view=view), 1)
    with open_source(flat) as source, output.open() as sink:
        for frame in source.frames():
            sink.write(frame)
        sink.commit()
    return path


@pytest.mark.parametrize("target, segment_seconds", WAYS)
@pytest.mark.cases
def test_a_360_degree_video_stays_one(tmp_path, target, segment_seconds):
    options = RestoreOptions(**NEAREST, segment_seconds=segment_seconds, strict=True)
    restore_video(WILD / "spherical_v1.mp4", tmp_path / target, options)
    assert sides(tmp_path / target)["Spherical Mapping"]["projection"] == "equirectangular"


@pytest.mark.parametrize("target, segment_seconds", WAYS)
@pytest.mark.cases
def test_two_eyes_stay_side_by_side(tmp_path, target, segment_seconds):
    options = RestoreOptions(**NEAREST, segment_seconds=segment_seconds, strict=True)
    restore_video(WILD / "stereo.mkv", tmp_path / target, options)
    stereo = sides(tmp_path / target)["Stereo 3D"]
    assert (stereo["type"], stereo["inverted"]) == ("side by side", 0)


@pytest.mark.parametrize(
    "target, codec", [("out.mp4", "hevc"), ("out.mp4", "av1"), ("out.mkv", "prores")]
)
@pytest.mark.slow
def test_so_they_do_with_every_codec_and_all_else_is_as_in_flat_video(tmp_path, target, codec):
    streams = []
    for name, view in (("flat", View()), ("deep", TILE)):
        (tmp_path / name).mkdir()
        restore_nearest(
            made(tmp_path / name / "in.mkv", view), tmp_path / name / target, codec=codec
        )
        assert seen(tmp_path / name / target)[0] == view
        streams.append(ffprobe(tmp_path / name / target)["streams"][0])
    own = {"side_data_list", "tags", "bit_rate"}
    flat, deep = ({k: v for k, v in stream.items() if k not in own} for stream in streams)
    assert flat == deep


@pytest.mark.parametrize("view", [
    TILE, View(projection=0, pose=(90 << 16, 0, 0)), View(projection=1, padding=2),
    View(packing=2), View(packing=1, inverted=True), View(packing=2, projection=0),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("ending, codec", [(".mp4", "hevc"), (".mkv", "h264")])
@pytest.mark.cases
def test_each_kind_of_view_is_kept_or_named(tmp_path, view, ending, codec):
    source = made(tmp_path / "in.mkv", view)
    assert seen(source) == (view, None)
    target = tmp_path / f"out{ending}"
    notices = resolve_output(target, probe(source), 4).notices
    joined, _ = restore_in_segments(
        source, tmp_path, tmp_path / f"joined{ending}", [2, 4], codec=codec
    )
    restore_nearest(source, target, codec=codec)
    if view.inverted and ending == ".mp4":
        assert any("3D (both eyes side by side) is dropped" in n for n in notices)
        assert any("a .mkv output keeps it" in n for n in notices)
        return
    assert not notices
    larger = replace(view, padding=view.padding * 4)
    assert seen(target)[0] == seen(joined)[0] == larger


def test_only_what_is_lost_of_a_view_is_named(tmp_path):
    source = made(tmp_path / "in.mkv", View(projection=0))
    (line,) = resolve_output(tmp_path / "out.mov", probe(source), 4).notices
    assert line.startswith("360 degrees (equirectangular) is dropped")


def test_mov_files_and_pictures_say_that_it_is_lost(tmp_path):
    for target in ("out.mov", "pictures"):
        for source, words in (("stereo.mkv", "3D"), ("spherical_v1.mp4", "360 degrees")):
            notices = resolve_output(tmp_path / target, probe(WILD / source), 4).notices
            assert any(words in line and "mkv output keeps it" in line for line in notices)


@pytest.mark.parametrize("kind, words", [
    (3, "both eyes alternating"), (6, "both eyes in every other line"),
    (8, "in an uncommon layout"),
])  # fmt: skip
def test_eyes_that_enlarging_would_mix_are_named(kind, words):
    view, lost = view_of({Type.STEREO3D: struct.pack("<9i", kind, *[0] * 8)})
    assert not view
    assert words in lost


def test_projections_that_no_container_here_tells_are_named():
    assert view_of({Type.SPHERICAL: struct.pack("<9i", 5, *[0] * 8)}) == (
        View(), "360 degree view (fisheye)",
    )  # fmt: skip


def test_h264_says_in_the_stream_itself_where_the_eyes_are(tmp_path):
    restore_nearest(WILD / "stereo.mkv", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert view_of(side_data(next(container.decode(video=0))))[0] == View(packing=1)


def test_options_of_an_encoder_are_refused_as_for_flat_video(tmp_path):
    with pytest.raises(OptionError, match="no option 'nonsense'"):
        resolve_output(
            tmp_path / "out.mp4", probe(WILD / "stereo.mkv"), 4,
            EncoderOptions(extra={"nonsense": "1"}),
        )  # fmt: skip
