"""Picture files: whole or named as damaged, all of a picture, and one output for one picture."""

import struct
import subprocess

import av
import numpy as np
import pytest
from pictures_made import WILD, encoded, p3_profile, seen, textured
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from restoring import restore_nearest
from sequences import save, sequence

from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.option_values import read_tile
from vsrdb_cli.options import Hdr, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.pictures.formats import natural_order
from vsrdb_cli.video.pictures.heif import heif_picture
from vsrdb_cli.video.pictures.picture_file import inspect_picture
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.picture_reader import PictureReader
from vsrdb_cli.video.writing.output import resolve_output

IMAGE = textured()
NEAREST = RestoreOptions(weights="nearest")


def animation(frames=4):
    return [Image.fromarray(textured(seed)) for seed in range(frames)]


def by_ffmpeg(kind):
    def make():
        command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x96"]
        command += ["-i", "-", "-frames:v", "1", "-c:v", kind, "-f", "image2pipe", "-"]
        return subprocess.run(
            command, check=True, capture_output=True, input=IMAGE.tobytes()
        ).stdout

    return make


FORMATS = {
    "jpg": lambda: encoded(IMAGE, "JPEG", quality=90),
    "progressive.jpg": lambda: encoded(IMAGE, "JPEG", quality=90, progressive=True),
    "cmyk.jpg": lambda: encoded(Image.fromarray(IMAGE).convert("CMYK"), "JPEG"),
    "png": lambda: encoded(IMAGE, "PNG"),
    "raw.tif": lambda: encoded(IMAGE, "TIFF"),
    "lzw.tif": lambda: encoded(IMAGE, "TIFF", compression="tiff_lzw"),
    "jpeg.tif": lambda: encoded(IMAGE, "TIFF", compression="jpeg"),
    "webp": lambda: encoded(IMAGE, "WEBP"),
    "gif": lambda: encoded(IMAGE, "GIF"),
    "bmp": lambda: encoded(IMAGE, "BMP"),
    "jp2": lambda: encoded(IMAGE, "JPEG2000"),
    "avif": lambda: encoded(IMAGE, "AVIF"),
    "tga": lambda: encoded(IMAGE, "TGA", compression="tga_rle"),
    "qoi": by_ffmpeg("qoi"),
    "exr": by_ffmpeg("exr"),
    "jls": by_ffmpeg("jpegls"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, of TIFF
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.cases
def test_a_picture_that_ends_in_the_middle_is_damaged_whatever_its_format(tmp_path, name):
    whole, path = FORMATS[name](), tmp_path / f"in.{name}"
    path.write_bytes(whole)
    restore_nearest(path, tmp_path / "out.png")
    for share in (0.3, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(VideoError, match=r"damaged|cut off") as raised:
            open_source(path)
        assert str(path) in str(raised.value)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_picture_of_a_folder_that_was_cut_off_is_named_before_the_work(tmp_path, kind):
    source = WILD / f"cut_off_{kind}"
    with pytest.raises(VideoError, match=rf"f002\.{kind} is damaged or was cut off"):
        open_source(source)
    with pytest.raises(VideoError, match=r"damaged|cut off"):
        open_source(source / f"f002.{kind}")
    with open_source(source / f"f001.{kind}") as reader:
        assert len(list(reader.frames())) == 1


def test_a_picture_that_changed_after_it_was_opened_is_inspected_again(tmp_path):
    sequence(tmp_path / "in", range(3))
    inspected = []

    def inspect(path):
        inspected.append(path)
        return inspect_picture(path)

    with PictureReader.of_folder(tmp_path / "in", None, inspect) as reader:
        assert len(list(reader.frames())) == len(inspected) == 3
        whole = inspected[1].read_bytes()
        inspected[1].write_bytes(whole[: len(whole) // 2])
        with pytest.raises(VideoError, match=r"frame_1\.png is damaged"):
            list(reader.frames())


def test_a_jpeg_whose_rest_is_zeros_is_damaged(tmp_path):
    whole = FORMATS["jpg"]()
    (tmp_path / "in.jpg").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    with pytest.raises(VideoError, match="damaged"):
        open_source(tmp_path / "in.jpg")
    (tmp_path / "padded.jpg").write_bytes(whole + bytes(1000))
    restore_nearest(tmp_path / "padded.jpg", tmp_path / "out.png")


def test_a_jpeg_without_its_end_mark_is_whole_if_its_picture_is(tmp_path):
    whole = FORMATS["jpg"]()
    for name, data in (("whole", whole), ("without", whole[:-2])):
        (tmp_path / f"{name}.jpg").write_bytes(data)
        restore_nearest(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png")
    np.testing.assert_array_equal(seen(tmp_path / "whole.png"), seen(tmp_path / "without.png"))


def test_bits_that_changed_in_a_png_are_damage(tmp_path):
    data = bytearray(FORMATS["png"]())
    data[len(data) // 2] ^= 4
    (tmp_path / "in.png").write_bytes(data)
    with pytest.raises(VideoError, match="damaged"):
        open_source(tmp_path / "in.png")


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_an_animation_stays_a_video_and_is_refused_as_one_picture(tmp_path, kind):
    first, *others = animation()
    data = encoded(first, kind, save_all=True, append_images=others, duration=100)
    path = tmp_path / f"in.{kind.lower()}"
    path.write_bytes(data)
    restore_nearest(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 4
    with open_source(path) as reader:
        assert reader.info.frame_count == 4
    with pytest.raises(OutputError, match=r"out\.png is a single picture, but the input has more"):
        restore_video(path, tmp_path / "out.png", NEAREST)
    path.write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(VideoError, match="damaged or was cut off"):
        open_source(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, "out.mp4"]


@pytest.mark.parametrize("source", ["still.avif", "still.gif", "one.png", "photo_grid.heic"])
def test_one_picture_of_any_kind_is_written_as_one_file(tmp_path, source):
    path = WILD / source
    if source == "one.png":
        path = tmp_path / source
        path.write_bytes(encoded(animation(1)[0], "PNG", save_all=True, append_images=[]))
    restore_video(path, tmp_path / "out.png", NEAREST)
    assert (tmp_path / "out.png").is_file()


@pytest.mark.slow
def test_further_pages_and_pictures_are_told_of(tmp_path):
    first, *others = animation(3)
    more = {"save_all": True, "append_images": others}
    (tmp_path / "photo.jpg").write_bytes(encoded(first, "MPO", **more))
    (tmp_path / "icon.ico").write_bytes(encoded(first, "ICO", sizes=[(16, 16), (64, 64)]))
    for path, number in (
        (WILD / "pages.tif", "4 more pictures"),
        (tmp_path / "photo.jpg", "2 more pictures"),
        (tmp_path / "icon.ico", "1 more picture"),
    ):
        with open_source(path) as reader:
            assert reader.info.notices[0].startswith(f"{number} in {path.name} skipped")
    with pytest.raises(OutputError, match="4 more pictures"):
        restore_video(
            WILD / "pages.tif", tmp_path / "out.tif", RestoreOptions(weights="nearest", strict=True)
        )


def test_pages_in_a_folder_of_pictures_are_told_of(tmp_path):
    for number in (1, 2):
        (tmp_path / f"p{number}.tif").write_bytes((WILD / "pages.tif").read_bytes())
    with open_source(tmp_path) as reader:
        assert reader.info.notices[0].startswith("8 more pictures in 2 of the files skipped")


def test_of_an_icon_the_largest_picture_is_restored(tmp_path):
    (tmp_path / "in.ico").write_bytes(encoded(IMAGE, "ICO", sizes=[(16, 12), (64, 48), (32, 24)]))
    with open_source(tmp_path / "in.ico") as reader:
        assert (reader.info.width, reader.info.height) == (64, 48)


def test_an_animated_webp_is_said_to_be_one(tmp_path):
    first, *others = animation()
    data = encoded(first, "WEBP", save_all=True, append_images=others)
    (tmp_path / "in.webp").write_bytes(data)
    with pytest.raises(VideoError, match="is an animated WebP, which FFmpeg cannot decode"):
        open_source(tmp_path / "in.webp")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size, words", [
    ((65535, 60000), "is damaged or was cut off: Image size"),
    ((17000, 9000), "is 17000x9000; at most 142 million pixels can be read"),
])  # fmt: skip
def test_a_frame_of_an_animation_larger_than_the_first_is_refused(tmp_path, size, words):
    first, *others = animation()
    data = bytearray(encoded(first, "GIF", save_all=True, append_images=others))
    descriptor = data.rindex(b"\x2c" + bytes(4) + struct.pack("<HH", *first.size))
    data[descriptor + 5 : descriptor + 9] = struct.pack("<HH", *size)
    (tmp_path / "in.gif").write_bytes(data)
    with pytest.raises(VideoError, match=words):
        open_source(tmp_path / "in.gif")


def test_the_tiles_of_a_photo_are_one_picture(tmp_path):
    restore_nearest(WILD / "photo_grid.heic", tmp_path / "out.png")
    shown = seen(tmp_path / "out.png")[::4, ::4].astype(int)
    assert shown.shape == (128, 128, 3)
    with av.open(str(WILD / "photo_grid.heic")) as file:
        tiles = {}
        for packet in file.demux():
            for frame in packet.decode():
                tiles[packet.stream.index] = frame
    for number, tile in tiles.items():
        row, column = divmod(number, 2)
        part = shown[64 * row :][:64, 64 * column :][:, :64]
        assert np.abs(part.mean((0, 1)) - tile.to_ndarray(format="rgb24").mean((0, 1))).max() < 3
    assert np.abs(np.diff(shown[63:65], axis=0)).mean() < 12  # no seam


def patched_grid(tmp_path, *changes):
    """The tiled photo with some of its bytes changed."""
    data = (WILD / "photo_grid.heic").read_bytes()
    for before, after in changes:
        assert data.count(before) == 1
        data = data.replace(before, after)
    (tmp_path / "in.heic").write_bytes(data)
    return tmp_path / "in.heic"


GRID = bytes.fromhex("0000010100800080")  # rows and columns less one, 128 x 128


def test_a_grid_is_cut_to_its_size(tmp_path):
    path = patched_grid(tmp_path, (GRID, bytes.fromhex("000001010064006e")))
    restore_nearest(path, tmp_path / "out.png")
    restore_nearest(WILD / "photo_grid.heic", tmp_path / "all.png")
    shown, whole = seen(tmp_path / "out.png"), seen(tmp_path / "all.png")
    np.testing.assert_array_equal(shown, whole[: 4 * 110, : 4 * 100])


def test_a_grid_that_cannot_be_put_together_is_refused(tmp_path):
    damaged = patched_grid(
        tmp_path, (b"infe\x02\0\0\0\0\x05\0\0grid", b"infe\x02\0\0\0\0\x05\0\0iovl")
    )
    with pytest.raises(VideoError, match="HEIF item of the kind 'iovl'") as raised:
        open_source(damaged)
    assert "heif-convert" in raised.value.hint
    data = (WILD / "photo_grid.heic").read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="damaged or was cut off"):
        open_source(damaged)


def test_a_grid_without_a_pixel_is_refused(tmp_path):
    path = patched_grid(tmp_path, (GRID, bytes.fromhex("0000010100000080")))
    with pytest.raises(VideoError, match="its picture is 0x128 pixels"):
        open_source(path)


def test_previews_and_further_pictures_of_heif_are_told_apart(tmp_path):
    tile = patched_grid(tmp_path, (b"pitm\0\0\0\0\0\x05", b"pitm\0\0\0\0\0\x01"))
    found = heif_picture(tile)
    assert (found.tiles, found.others) == ((1,), 1)  # the grid is another one
    with open_source(tile) as reader:
        assert (reader.info.width, reader.info.height) == (64, 64)
        assert reader.info.notices[0].startswith("1 more picture in in.heic skipped")
    preview = patched_grid(tmp_path, (b"\0\x14dimg", b"\0\x14thmb"))
    with pytest.raises(VideoError, match="list of pictures"):
        open_source(preview)


def test_of_heif_the_profile_and_camera_data_are_found(tmp_path):
    path = tmp_path / "in.avif"
    path.write_bytes(encoded(IMAGE, "AVIF", exif=described(), icc_profile=p3_profile()))
    found = heif_picture(path)
    assert found.profile == p3_profile()
    exif = Image.Exif()
    exif.load(found.exif)
    assert (exif[271], exif.get_ifd(34665)[36867]) == ("Maker", "2020:01:02 03:04:05")
    assert (found.others, found.auxiliary, found.alpha) == (0, 0, None)


@pytest.mark.parametrize("exif", range(1, 9))
@pytest.mark.cases
def test_avif_pictures_come_out_upright(tmp_path, exif):
    image, data = Image.fromarray(IMAGE), Image.Exif()
    data[274] = exif
    fine = {"quality": 100, "subsampling": "4:4:4"}
    (tmp_path / "in.avif").write_bytes(encoded(image, "AVIF", exif=data, **fine))
    restore_nearest(tmp_path / "in.avif", tmp_path / "out.png")
    image.getexif()[274] = exif
    wanted = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    assert np.abs(seen(tmp_path / "out.png")[::4, ::4] - wanted).max() <= 8


def test_transparency_of_avif_is_told_of_if_it_is_used(tmp_path):
    for alpha in (128, 255):
        image = Image.fromarray(IMAGE)
        image.putalpha(alpha)
        (tmp_path / f"{alpha}.avif").write_bytes(encoded(image, "AVIF"))
        with open_source(tmp_path / f"{alpha}.avif") as reader:
            assert reader.info.transparent == (alpha < 255)
            assert bool(reader.info.notices) == (alpha < 255)


def test_avif_without_colours_is_read_as_other_programs_read_it(tmp_path):
    restore_nearest(WILD / "still.avif", tmp_path / "out.png")
    shown = seen(tmp_path / "out.png")[::4, ::4].astype(int)
    # Chroma is enlarged in different ways, so edges differ.
    assert np.median(np.abs(shown - seen(WILD / "still.avif"))) <= 1


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "WEBP"])
def test_chroma_of_pictures_lies_in_the_middle(tmp_path, kind):
    colours = np.random.default_rng(3).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    image = Image.fromarray(colours).resize((256, 256), Image.Resampling.BICUBIC)
    path = tmp_path / f"in.{kind.lower()}"
    path.write_bytes(encoded(image, kind, quality=95))
    with open_source(path) as reader:
        (frame,) = reader.frames()
    shown = frame.rgb.permute(1, 2, 0).numpy().astype(float)
    # Half a pixel to the left it would be about 3.
    assert np.sqrt(((shown - np.asarray(image)) ** 2).mean()) < 2.2


def test_films_are_no_heif_pictures(tmp_path):
    first, *others = animation()
    data = encoded(first, "AVIF", save_all=True, append_images=others, quality=50)
    (tmp_path / "in.avif").write_bytes(data)
    for path in (tmp_path / "in.avif", WILD / "long.mp4", WILD / "wmav2.wmv"):
        assert heif_picture(path) is None
    with open_source(tmp_path / "in.avif") as reader:
        assert reader.info.kind is Kind.VIDEO
        assert len(list(reader.frames())) == 4


def test_names_with_digits_that_are_no_decimals_are_sorted_and_restored(tmp_path):
    restore_video(WILD / "circled_digits", tmp_path / "out", NEAREST)
    names = sorted(file.name for file in (WILD / "circled_digits").iterdir())
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    arabic = ["f\u0661\u0660.png", "f\u0662.png"]  # 10 and 2
    assert sorted(arabic, key=natural_order) == arabic[::-1]


def test_digits_that_are_no_decimals_are_no_numbers_of_options():
    with pytest.raises(ValueError, match="a side of"):
        read_tile("²00")


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".avif", ".jp2"])
def test_folders_of_pictures_of_other_kinds_are_restored(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        kind = {".jp2": "JPEG2000"}.get(suffix, suffix[1:].upper())
        (tmp_path / "in" / f"f{number}{suffix}").write_bytes(encoded(textured(number), kind))
    restore_nearest(tmp_path / "in", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["f1.png", "f2.png"]


@pytest.mark.parametrize("name", ["mono.png", "mono.tif", "rgb565.bmp"])
@pytest.mark.slow
def test_pictures_of_few_bits_come_out_of_eight(tmp_path, name):
    path = tmp_path / name
    if name == "rgb565.bmp":
        save(tmp_path / "in.png", IMAGE)
        command = ["ffmpeg", "-v", "error", "-i", tmp_path / "in.png", "-pix_fmt", "rgb565le", path]
        subprocess.run(command, check=True)
    else:
        Image.fromarray(IMAGE).convert("1").save(path)
    with open_source(path) as reader:
        assert reader.info.bit_depth == 8
    restore_nearest(path, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[24] == 8
    np.testing.assert_allclose(seen(tmp_path / "out.png")[::4, ::4], seen(path), atol=8)


def test_profiles_are_in_pictures_restored_in_segments(tmp_path):
    options = RestoreOptions(weights="nearest", segment_seconds=0.05)
    restore_video(WILD / "display_p3_png", tmp_path / "out", options)
    for file in (tmp_path / "out").iterdir():
        assert Image.open(file).info["icc_profile"]


def described():
    exif = Image.Exif()
    exif[271], exif[274], exif[306] = "Maker", 6, "2020:01:02 03:04:05"
    exif.get_ifd(34665)[36867] = "2020:01:02 03:04:05"
    exif.get_ifd(34665)[40962] = 128
    exif.get_ifd(34853)[1] = "N"
    return exif


METADATA = {
    "jpg": lambda: encoded(IMAGE, "JPEG", exif=described(), xmp=b"<x:xmpmeta/>", comment=b"hello"),
    "webp": lambda: encoded(IMAGE, "WEBP", exif=described(), xmp=b"<x:xmpmeta/>"),
    "png": lambda: encoded(IMAGE, "PNG", exif=described(), pnginfo=pnginfo()),
    "tif": lambda: encoded(IMAGE, "TIFF", exif=described()),
}


def pnginfo():
    info = PngInfo()
    info.add_text("parameters", "steps: 20")
    return info


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.slow
def test_what_a_picture_says_of_itself_is_in_the_png_made_of_it(tmp_path, kind):
    (tmp_path / f"in.{kind}").write_bytes(METADATA[kind]())
    restore_nearest(tmp_path / f"in.{kind}", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        exif = image.getexif()
        assert (exif[271], exif[306]) == ("Maker", "2020:01:02 03:04:05")
        assert 274 not in exif  # it is upright now
        if kind != "tif":  # Pillow writes none of these
            assert exif.get_ifd(34665)[36867] == "2020:01:02 03:04:05"
            assert 40962 not in exif.get_ifd(34665)  # and larger
            assert exif.get_ifd(34853)[1] == "N"
        image.load()
        if kind in ("jpg", "webp"):
            assert image.info["xmp"] == b"<x:xmpmeta/>"
        if kind == "jpg":
            assert image.text["Comment"] == "hello"
        if kind == "png":
            assert image.text["parameters"] == "steps: 20"


@pytest.mark.slow
def test_metadata_that_is_no_utf8_does_no_harm(tmp_path):
    exif = Image.Exif()
    exif[315] = "Jürgen".encode("latin-1")
    (tmp_path / "in.jpg").write_bytes(encoded(IMAGE, "JPEG", exif=exif))
    broken = encoded(IMAGE, "JPEG", exif=b"Exif\0\0XX*\0nothing that can be read")
    (tmp_path / "broken.jpg").write_bytes(broken)
    for name in ("in", "broken"):
        restore_nearest(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png")
        assert seen(tmp_path / f"{name}.png").shape == (384, 512, 3)


@pytest.mark.slow
def test_metadata_that_an_output_does_not_hold_is_told_of(tmp_path):
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        (tmp_path / "in" / f"f{number}.jpg").write_bytes(METADATA["jpg"]())
    for target in ("out.mp4", "out.tif"):
        with open_source(tmp_path / "in" / "f1.jpg") as reader:
            (line,) = resolve_output(tmp_path / target, reader.info, 4).notices
            assert "metadata (EXIF, XMP, text) is dropped" in line
    with open_source(tmp_path / "in") as reader:
        assert "metadata (EXIF, XMP, text) of 2 pictures dropped" in reader.info.notices


@pytest.mark.slow
def test_an_hdr_picture_is_asked_about_and_converted(tmp_path):
    path, data = tmp_path / "in.avif", (WILD / "still.avif").read_bytes()
    nothing, pq = b"nclx\0\x02\0\x02\0\x02", b"nclx\0\x09\0\x10\0\x09"
    assert data.count(nothing) == 1
    path.write_bytes(data.replace(nothing, pq))
    with pytest.raises(VideoError, match=r"is an HDR picture \(PQ\)"):
        open_source(path)
    with open_source(path, hdr=Hdr.SDR) as reader:
        (converted,) = reader.frames()
        assert not reader.info.colour.hdr
    with open_source(path, hdr=Hdr.KEEP) as reader:
        (kept,) = reader.frames()
        assert reader.info.colour.hdr
    assert (kept.rgb.float() - converted.rgb.float()).abs().mean() > 10


def tiled_tiff(picture):
    """A TIFF file of tiles of 16x16, uncompressed, as maps and scans of slides are."""
    height, width, _ = picture.shape
    tiles = [
        picture[top : top + 16, left : left + 16].tobytes()
        for top in range(0, height, 16)
        for left in range(0, width, 16)
    ]
    body = b"".join(tiles)
    more = 8 + len(body)  # behind the tiles: three bits, then where tiles are, and how long
    places, lengths = more + 6, more + 6 + 4 * len(tiles)
    rows = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, more), (259, 3, 1, 1)]
    rows += [(262, 3, 1, 2), (277, 3, 1, 3), (322, 3, 1, 16), (323, 3, 1, 16)]
    rows += [(324, 4, len(tiles), places), (325, 4, len(tiles), lengths)]
    tables = [8 + 768 * i for i in range(len(tiles))] + [768] * len(tiles)
    begin = lengths + 4 * len(tiles)
    head = struct.pack("<2sHI", b"II", 42, begin)
    entries = b"".join(struct.pack("<HHII", *row) for row in rows)
    behind = struct.pack(f"<3H{len(tables)}I", 8, 8, 8, *tables)
    return head + body + behind + struct.pack("<H", len(rows)) + entries + bytes(4)


MISREAD_BY_FFMPEG = {
    "tiles": lambda: tiled_tiff(IMAGE),
    "JPEG within": lambda: encoded(IMAGE, "TIFF", compression="jpeg"),
    "JPEG of YCbCr": lambda: encoded(
        Image.fromarray(IMAGE).convert("YCbCr"), "TIFF", compression="jpeg"
    ),
    "JPEG within, turned": lambda: encoded(
        IMAGE, "TIFF", compression="jpeg", exif=with_orientation(6)
    ),
}


def with_orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif


@pytest.mark.parametrize("kind", MISREAD_BY_FFMPEG)
@pytest.mark.slow
def test_a_tiff_that_ffmpeg_reads_wrongly_looks_as_others_show_it(kind, tmp_path):
    source = tmp_path / "in.tif"
    source.write_bytes(MISREAD_BY_FFMPEG[kind]())
    restore_nearest(source, tmp_path / "out.png")
    shown = np.asarray(ImageOps.exif_transpose(Image.open(source)).convert("RGB"))
    restored = np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(restored[::4, ::4], shown)


def test_a_tiff_of_a_kind_that_cannot_be_read_is_not_called_damaged(tmp_path):
    source = tmp_path / "in.tif"
    Image.fromarray(IMAGE).convert("LAB").save(source)
    with pytest.raises(VideoError, match="is a kind of TIFF that is not supported"):
        open_source(source)


@pytest.mark.parametrize(("opacity", "told"), [(1.0, False), (0.5, True)])
def test_transparency_in_floating_point_is_seen(opacity, told, tmp_path):
    source = tmp_path / "in.exr"
    pixels = np.zeros((4, 32, 32), "<f4")
    pixels[3] = opacity
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrapf32le", "-s", "32x32"]
    subprocess.run([*command, "-i", "-", str(source)], check=True, input=pixels.tobytes())
    with open_source(source) as opened:
        assert opened.info.transparent is told


@pytest.mark.parametrize("comment", ["Lavc59.37.100", "CREATOR: gd-jpeg v1.0"])
def test_what_a_program_says_of_itself_in_a_jpeg_is_no_metadata(comment, tmp_path):
    source = tmp_path / "in.jpg"
    source.write_bytes(encoded(IMAGE, "JPEG", comment=comment))
    with open_source(source) as opened:
        assert not opened.info.picture_metadata


def test_the_still_of_an_animated_avif_is_its_first_frame_and_no_loss(tmp_path):
    source = tmp_path / "in.avif"
    first, *others = animation()
    first.save(source, save_all=True, append_images=others)
    report = restore_nearest(source, tmp_path / "out.mp4")
    assert report.frames == len([first, *others])
    assert not any("dropped" in notice for notice in report.notices)
