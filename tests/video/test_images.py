import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import clips
import numpy as np
import pytest
from PIL import Image, ImageCms
from restoring import open_sink, restore_nearest
from sequences import load, save, sequence

from vsrdb_cli.errors import OptionError, OutputError, VideoError
from vsrdb_cli.video.pictures.formats import natural_order
from vsrdb_cli.video.pixels.colour import PQ
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.picture_writer import join_pictures, picture_notices


def test_names_sort_as_people_count():
    names = ["f10.png", "f9.png", "f1.png", "e2.png"]
    assert sorted(names, key=natural_order) == ["e2.png", "f1.png", "f9.png", "f10.png"]


def test_a_folder_of_pictures_becomes_a_folder_of_pictures_exactly(tmp_path):
    source = sequence(tmp_path / "in")  # 8, 9, 10, 11: by the alphabet 10 would come first
    restore_nearest(source, tmp_path / "out")
    names = sorted((p.name for p in (tmp_path / "out").iterdir()), key=natural_order)
    assert names == ["frame_8.png", "frame_9.png", "frame_10.png", "frame_11.png"]
    for number, name in zip(range(8, 12), names, strict=True):
        wanted = np.kron(clips.picture(number, 48, 64), np.ones((4, 4, 1), np.uint8))
        np.testing.assert_array_equal(load(tmp_path / "out" / name), wanted)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.slow
def test_pictures_become_a_video_with_their_colours(tmp_path, suffix):
    source = sequence(tmp_path / "in", suffix=suffix)
    restore_nearest(source, tmp_path / "out.mp4", crf=4)
    seen = clips.read(tmp_path / "out.mp4")
    assert seen.numbers == [8, 9, 10, 11]
    assert [float(t) for t in seen.times] == pytest.approx([0, 1 / 24, 2 / 24, 3 / 24])
    assert np.abs(clips.patches_in(seen.images[0]) - clips.PATCHES).max() <= 3


def test_a_video_becomes_a_folder_of_pictures(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=3)
    restore_nearest(source, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"frame_00000{i}.png" for i in (1, 2, 3)]
    assert [clips.number_in(load(file)) for file in files] == [0, 1, 2]


def deep_picture(number):
    """Of 16 bits, all of them in use."""
    image = clips.picture(number, 48, 64).astype(np.uint16) * 257
    return image - image // 256 * (np.arange(64) % 7)[:, None].astype(np.uint16)


@pytest.mark.parametrize("before", [".png", ".tif"])
@pytest.mark.parametrize("after", [".png", ".tiff"])
@pytest.mark.slow
def test_sixteen_bits_stay_sixteen_bits(tmp_path, before, after):
    image = deep_picture(5)
    save(tmp_path / f"deep{before}", image)
    restore_nearest(tmp_path / f"deep{before}", tmp_path / f"out{after}")
    out = load(tmp_path / f"out{after}", "rgb48le").astype(int)
    wanted = np.kron(image.astype(int), np.ones((4, 4, 1), int))
    assert np.abs(out - wanted).max() <= 1  # of 65535: white is 65280 on the way


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.slow
def test_a_folder_of_deep_pictures_becomes_one_of_the_same_kind(tmp_path, suffix):
    source = tmp_path / "in"
    source.mkdir()
    for number in (1, 2, 3):
        save(source / f"f{number}{suffix}", deep_picture(number))
    restore_nearest(source, tmp_path / "out")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [f"f{number}{suffix}" for number in (1, 2, 3)]
    out = load(tmp_path / "out" / f"f3{suffix}", "rgb48le").astype(int)
    assert np.abs(out - np.kron(deep_picture(3).astype(int), np.ones((4, 4, 1), int))).max() <= 1


def test_joined_pictures_keep_their_kind_and_are_counted_through(tmp_path):
    segments = [sequence(tmp_path / name, numbers=(1, 2), suffix=".tif") for name in ("a", "b")]
    joined = join_pictures(segments, tmp_path / "joined", named=False)
    names = sorted(file.name for file in joined.iterdir())
    assert names == [f"frame_00000{i}.tif" for i in (1, 2, 3, 4)]


def test_other_programs_read_the_deep_pictures(tmp_path):
    image = deep_picture(5)
    save(tmp_path / "deep.png", image)
    restore_nearest(tmp_path / "deep.png", tmp_path / "out.tif")
    tifffile = pytest.importorskip("tifffile")
    read = tifffile.imread(tmp_path / "out.tif")
    assert read.dtype == np.uint16
    assert np.abs(read[::4, ::4].astype(int) - image).max() <= 1


def test_pictures_are_taken_for_24_a_second_and_that_is_said(tmp_path):
    source = sequence(tmp_path / "in")
    with open_source(source) as frames:
        assert frames.info.rate == 24
        assert "24 frames per second are assumed" in frames.info.assumed[0]
    with open_source(source, rate=Fraction(30000, 1001)) as frames:
        assert frames.info.rate == Fraction(30000, 1001)
        assert frames.info.assumed == ()


def test_a_rate_for_a_video_is_an_error(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2)
    with pytest.raises(OptionError, match="has its own timestamps"):
        open_source(source, rate=Fraction(30))


def test_two_pictures_of_one_name_are_an_error(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1, 2))
    save(source / "frame_2.tif", clips.picture(2, 48, 64))
    save(source / "frame_2.k.png", clips.picture(2, 48, 64))  # between them by the alphabet
    with pytest.raises(VideoError, match=r"the same name: frame_2\.png and frame_2\.tif"):
        open_source(source)


def test_a_gap_in_the_numbers_is_an_error(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1, 2, 4))
    with pytest.raises(VideoError, match=r"after number 2 comes frame_4\.png"):
        open_source(source)


def test_two_pictures_of_one_number_are_an_error(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1, 2))
    save(source / "frame_02.png", clips.picture(2, 48, 64))
    with pytest.raises(VideoError, match="two pictures have the number 2"):
        open_source(source)


def test_another_size_is_an_error_that_names_the_file(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1, 2))
    save(source / "frame_3.png", clips.picture(3, 50, 64))
    with pytest.raises(VideoError, match=r"frame_3\.png is 64x50, but the first .* 64x48"):
        open_source(source)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(VideoError, match="contains no pictures"):
        open_source(tmp_path)


def test_other_files_in_the_folder_are_told_of(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1,))
    (source / "notes.txt").write_text("hello")
    with open_source(source) as frames:
        assert "one other file in" in frames.info.notices[0]


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1,))
    out = sequence(tmp_path / "out", numbers=(7,))
    with pytest.raises(OutputError, match="not empty"):
        restore_nearest(source, out)
    restore_nearest(source, out, overwrite=True)
    assert [p.name for p in out.iterdir()] == ["frame_1.png"]
    (out / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        restore_nearest(source, out, overwrite=True)
    assert (out / "diary.txt").exists()


def test_a_video_does_not_fit_one_picture(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2)
    with pytest.raises(OutputError, match="is a single picture"):
        restore_nearest(source, tmp_path / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_what_pictures_cannot_hold_is_said(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=2, audio=("aac",), audio_seconds=1)
    with open_source(source) as opened:
        info = opened.info
        assert not list(picture_notices(replace(info, streams=())))
    full = replace(
        info,
        chapters=2,
        timecode="01:00:00:00",
        metadata={"title": "A"},
        sample_aspect_ratio=Fraction(4, 3),
        colour=replace(info.colour, transfer=PQ),
    )
    beside, ratio, light = picture_notices(full)
    assert "audio #1 aac, 2 chapters, timecode 01:00:00:00, title; a .mkv" in beside
    assert "4:3: they look too narrow" in ratio
    assert "HDR (PQ)" in light


def test_a_files_chapters_are_counted(tmp_path):
    chapters = [f"[CHAPTER]\nTIMEBASE=1/1\nSTART={n}\nEND={n + 1}\n" for n in (0, 1)]
    (tmp_path / "c.txt").write_text(";FFMETADATA1\n" + "".join(chapters))
    clip = clips.make(tmp_path / "in.mkv", frames=50, height=24, width=32)
    command = ["ffmpeg", "-v", "error", "-i", clip, "-i", tmp_path / "c.txt", "-map_metadata", "1"]
    subprocess.run([*command, "-c", "copy", tmp_path / "out.mkv"], check=True)
    with open_source(tmp_path / "out.mkv") as source:
        assert source.info.chapters == 2


def test_the_folder_a_picture_lies_in_is_never_replaced(tmp_path):
    source = sequence(tmp_path / "in")
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    for path in (source, source / "frame_8.png"):
        with open_source(path) as reader, pytest.raises(OutputError, match="the input itself"):
            open_sink(source, reader.info, 4, overwrite=True)
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.slow
def test_grey_pictures_keep_their_brightness(tmp_path, suffix):
    grey = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    quality = {"quality": 100} if suffix == ".jpg" else {}
    Image.fromarray(grey).save(tmp_path / f"in{suffix}", **quality)
    with open_source(tmp_path / f"in{suffix}") as source:
        (frame,) = source.frames()
    for plane in frame.rgb.numpy():
        assert np.abs(plane.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["ya8", "ya16be", "rgba", "rgba64be"])
@pytest.mark.parametrize("alpha", [1, 0.5])
@pytest.mark.cases
def test_transparency_is_told_of_pictures_of_any_depth(tmp_path, pix_fmt, alpha):
    path = tmp_path / "in.png"
    source = f"color=red:s=32x24,format=rgba,colorchannelmixer=aa={alpha}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", "1"]
    subprocess.run([*command, "-pix_fmt", pix_fmt, str(path)], check=True)
    with open_source(path) as reader:
        assert len(list(reader.frames())) == 1
        assert reader.info.transparent == (alpha < 1)


def test_of_a_folder_the_deepest_picture_and_every_transparent_one_count(tmp_path):
    source = sequence(tmp_path / "in", numbers=(1, 2, 3))
    image = Image.fromarray(clips.picture(2, 48, 64)).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(source / "frame_2.png")
    save(source / "frame_3.png", clips.picture(3, 48, 64).astype(np.uint16) * 257)
    with open_source(source) as reader:
        assert reader.info.bit_depth == 16
        assert len(list(reader.frames())) == 3
        assert reader.report.opaque_again == 1


@pytest.mark.slow
def test_a_colour_profile_does_no_harm(tmp_path):
    # Freed twice it would end the process, sooner or later: so it is another one.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(clips.picture(1, 24, 32))
    (tmp_path / "in").mkdir()
    for number in range(30):
        image.save(tmp_path / "in" / f"{number}.png", icc_profile=profile)
    program = [sys.executable, "-c", "from vsrdb_cli.cli import main; main()", "restore"]
    done = subprocess.run(
        [*program, tmp_path / "in", tmp_path / "out", "--weights", "nearest"], check=False
    )
    assert done.returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 30
