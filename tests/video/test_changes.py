"""What changes inside a video is handled or named; the first frame does not stand for all."""

import re
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from probing import ffprobe

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import Hdr, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source

WILD = Path(__file__).parents[1] / "wild"
OTHER_SHAPE = (
    "15 frames shown in the first one's aspect ratio, not in their own (16:9 instead of 4:3)"
)
HDR = {"codec": "libx265", "pix_fmt": "yuv420p10le", "matrix": 9, "primaries": 9, "options": {
    "x265-params": "log-level=error", "crf": "8"}}  # fmt: skip


def glued(folder, first, second):
    """A transport stream of two clips of six frames, one after the other."""
    parts = [
        clips.make(folder / f"{number}.ts", frames=6, first=6 * number, **clip)
        for number, clip in enumerate((first, second))
    ]
    path = folder / "glued.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def read(path, **options):
    with open_source(path, **options) as reader:
        return [frame.rgb.permute(1, 2, 0).numpy() for frame in reader.frames()], reader.report


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.cases
def test_other_pixels_from_the_middle_on_are_named(tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    report = restore_video(WILD / "sar_change.ts", out, RestoreOptions(weights="nearest"))
    assert any(OTHER_SHAPE in notice for notice in report.notices)
    assert ffprobe(out)["streams"][0]["sample_aspect_ratio"] == "12:11"


@pytest.mark.slow
def test_other_pixels_are_named_before_a_long_work(tmp_path):
    said = []
    options = RestoreOptions(weights="nearest", segment_seconds=0.4)
    begun = []
    restore_video(
        WILD / "sar_change.ts", tmp_path / "out.mp4", options, on_notice=said.append,
        on_progress=lambda step: begun.append(len(said)) if step.phase == "restore" else None,
    )  # fmt: skip
    place = next(i for i, notice in enumerate(said) if OTHER_SHAPE in notice)
    assert place < begun[0]
    assert sum(OTHER_SHAPE in notice for notice in said) == 1


@pytest.mark.slow
def test_other_pixels_fail_a_strict_run(tmp_path):
    with pytest.raises(VideoError, match=re.escape(OTHER_SHAPE)):
        restore_video(
            WILD / "sar_change.ts", tmp_path / "out.mp4",
            RestoreOptions(weights="nearest", strict=True),
        )  # fmt: skip


@pytest.mark.parametrize("part, ratio", [
    ({"end": "15f"}, "12:11"), ({"start": "15f"}, "16:11"),
    ({"start": "20f", "end": "25f"}, "16:11"),
])  # fmt: skip
@pytest.mark.slow
def test_a_part_of_one_shape_has_its_own_and_no_word(tmp_path, part, ratio):
    out = tmp_path / "out.mp4"
    options = RestoreOptions(weights="nearest", **part)
    report = restore_video(WILD / "sar_change.ts", out, options)
    assert not any("aspect ratio" in notice for notice in report.notices)
    assert ffprobe(out)["streams"][0]["sample_aspect_ratio"] == ratio


def test_a_container_that_contradicts_its_video_is_believed_and_reported(tmp_path):
    path = clips.make(tmp_path / "in.mp4", frames=3, height=96, width=128, sar=Fraction(4, 3))
    data = path.read_bytes()
    with open_source(path) as reader:
        assert not reader.info.assumed
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + struct.pack(">2I", 1, 1) + data[place + 8 :])
    with open_source(path) as reader:
        assert reader.info.sample_aspect_ratio == 1
        assert "aspect ratio as 4:3, its video stream as 16:9" in reader.info.assumed[0]


def test_a_size_of_another_shape_is_named_and_one_of_the_same_is_not(tmp_path):
    (tmp_path / "a").mkdir()
    squeezed = glued(tmp_path / "a", {}, {"height": 64, "width": 96})
    assert read(squeezed)[1].shapes == "3:2 instead of 16:9"
    assert read(squeezed)[1].reshaped == 6
    half = glued(tmp_path, {"height": 96, "width": 128},
                 {"height": 96, "width": 64, "sar": Fraction(2)})  # fmt: skip
    report = read(half)[1]
    assert (report.resized, report.reshaped) == (6, 0)


def test_frames_of_more_bits_than_the_first_are_named(tmp_path):
    images, report = read(glued(tmp_path, {}, {"pix_fmt": "yuv420p10le"}))
    assert report.rounded == 6
    assert any("6 frames with more bits per colour" in line for line in report.changes)
    assert [clips.number_in(image) for image in images] == list(range(12))
    assert np.abs(clips.patches_in(images[11]) - clips.PATCHES).max() <= 4


def test_frames_of_less_bits_than_the_first_lose_nothing(tmp_path):
    path = glued(tmp_path, {"pix_fmt": "yuv420p10le"}, {})
    images, report = read(path)
    assert not report.changes
    assert np.abs(clips.patches_in(images[11] / 256.0) - clips.PATCHES).max() <= 4


def test_each_frame_is_read_by_its_own_matrix_and_range(tmp_path):
    images, _ = read(glued(tmp_path, {"matrix": 1}, {"matrix": 6, "range": 2}))
    for image in images[2], images[9]:
        assert np.abs(clips.patches_in(image) - clips.PATCHES).max() <= 4


def test_other_primaries_are_named(tmp_path):
    _, report = read(glued(tmp_path, {"matrix": 1}, {"matrix": 1, "primaries": 6}))
    assert report.recoloured == 6
    assert any("other primaries or transfer" in line for line in report.changes)


@pytest.mark.parametrize("first, second, hdr, words", [
    ({}, {"transfer": 16}, Hdr.REFUSE, r"turns into HDR \(PQ\) video after 6 frames"),
    ({"transfer": 16}, {}, Hdr.KEEP, "turns into SDR video after 6 frames"),
    ({"transfer": 16}, {"transfer": 18}, Hdr.KEEP, r"turns into HDR \(HLG\) video"),
])  # fmt: skip
@pytest.mark.cases
def test_light_of_another_kind_ends_the_run(tmp_path, first, second, hdr, words):
    path = glued(tmp_path, HDR | {"transfer": 14} | first, HDR | {"transfer": 14} | second)
    with pytest.raises(VideoError, match=words):
        read(path, hdr=hdr)


def test_a_camera_that_is_turned_while_it_records_is_named(tmp_path):
    path = glued(tmp_path, {}, {"options": {"g": "1", "crf": "8"}})
    turned = tmp_path / "turned.ts"
    turning = "h264_metadata=display_orientation=insert:rotate=90"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(tmp_path / "1.ts"), "-c", "copy", "-bsf:v", turning,
         str(turned)], check=True,
    )  # fmt: skip
    assert not read(path)[1].turned
    path.write_bytes((tmp_path / "0.ts").read_bytes() + turned.read_bytes())
    assert any("rotated like the first" in line for line in read(path)[1].changes)
