"""Pictures come out in the colours they went in with, as a browser shows them."""

import base64
import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from comparison.browser import CHROMIUM, DRIVER, Browser
from pictures_made import (
    WILD,
    adobe_profile,
    chunk,
    chunks_of,
    encoded,
    grey_profile,
    p3_profile,
    patches,
    seen,
    srgb_profile,
    with_chunks,
)
from PIL import Image
from probing import ffprobe
from restoring import open_sink, restore_nearest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.output import resolve_output

SIDE = 32  # of a patch
PQ = bytes((9, 16, 0, 1))
SRGB_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
DARK_16 = {b"gAMA", b"cHRM", b"iCCP", b"cICP"}


def notices(source, target):
    with open_source(source) as reader:
        return (*reader.info.notices, *resolve_output(target, reader.info, 4).notices)


@pytest.mark.parametrize(
    "source", ["grey_ramp_png", "pages.tif", "still.avif", "cut_off_jpg/f000.jpg"]
)
@pytest.mark.slow
def test_pictures_that_say_nothing_come_out_as_srgb(tmp_path, source):
    restore_nearest(WILD / source, tmp_path / "out")
    for file in (tmp_path / "out").glob("*.png"):
        said = chunks_of(file)
        assert said[b"sRGB"] == b"\0"
        assert not said.keys() & DARK_16
    if source == "grey_ramp_png":
        before, after = seen(WILD / source / "f0.png"), seen(tmp_path / "out" / "f0.png")
        np.testing.assert_array_equal(after[::4, ::4], before)


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg"])
@pytest.mark.cases
def test_pictures_of_a_video_are_srgb_with_the_codes_players_show(tmp_path, matrix):
    video(tmp_path / "in.webm", matrix, matrix, matrix.replace("bt470bg", "gamma28"))
    restore_nearest(tmp_path / "in.webm", tmp_path / "out.png")
    said = chunks_of(tmp_path / "out.png")
    assert b"sRGB" in said
    assert not said.keys() & DARK_16
    shown = seen(tmp_path / "out.png")[64, 2 * SIDE :: 4 * SIDE].astype(int)
    assert np.abs(shown - patches()[0, SIDE // 2 :: SIDE]).max() <= 2


def video(path, matrix, primaries, transfer):
    """One frame of `patches`, lossless, tagged so."""
    Image.fromarray(patches(side=SIDE)).save(path.with_suffix(".png"))
    convert = f"scale=out_color_matrix={matrix}:out_range=tv:flags=accurate_rnd+full_chroma_int"
    command = ["ffmpeg", "-v", "error", "-i", path.with_suffix(".png"), "-vf"]
    command += [f"{convert},format=yuv444p", "-c:v", "libvpx-vp9", "-lossless", "1"]
    command += ["-colorspace", matrix, "-color_primaries", primaries, "-color_trc", transfer]
    subprocess.run([*command, "-color_range", "tv", path], check=True)


def test_primaries_wider_than_srgb_are_told_of_a_video_too(tmp_path):
    video(tmp_path / "in.webm", "bt709", "smpte432", "bt709")
    restore_nearest(tmp_path / "in.webm", tmp_path / "out.png")
    assert chunks_of(tmp_path / "out.png")[b"cICP"] == bytes((12, 13, 0, 1))
    assert "primaries 12" in "".join(notices(tmp_path / "in.webm", tmp_path / "out.tif"))


FINE = {"quality": 95, "subsampling": 0}
PROFILED = {
    "p3.png": lambda: encoded(patches(), "PNG", icc_profile=p3_profile()),
    "palette.png": lambda: encoded(
        Image.fromarray(patches()).quantize(16), "PNG", icc_profile=p3_profile()
    ),
    "p3.jpg": lambda: encoded(patches(), "JPEG", **FINE, icc_profile=p3_profile()),
    "p3.tif": lambda: encoded(patches(), "TIFF", icc_profile=p3_profile()),
    "p3.webp": lambda: encoded(patches(), "WEBP", lossless=True, icc_profile=p3_profile()),
    "p3.avif": lambda: encoded(
        patches(), "AVIF", quality=100, subsampling="4:4:4", icc_profile=p3_profile()
    ),
    "adobe.jpg": lambda: encoded(patches(), "JPEG", **FINE, icc_profile=adobe_profile()),
    "srgb.png": lambda: encoded(patches(), "PNG", icc_profile=srgb_profile()),
}


@pytest.mark.parametrize("name", PROFILED)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.slow
def test_a_colour_profile_is_in_the_outputs(tmp_path, name, suffix):
    (tmp_path / name).write_bytes(PROFILED[name]())
    target = tmp_path / f"out{suffix}"
    assert not notices(tmp_path / name, target)
    restore_nearest(tmp_path / name, target)
    with Image.open(tmp_path / name) as before, Image.open(target) as after:
        assert after.info["icc_profile"] == before.info["icc_profile"]
        after.load()
    assert np.abs(seen(target)[::4, ::4].astype(int) - seen(tmp_path / name)).max() <= 2


@pytest.mark.slow
def test_all_pictures_of_a_folder_get_its_profile_deep_ones_too(tmp_path):
    restore_nearest(WILD / "display_p3_png", tmp_path / "out")
    for name in ("f000.png", "f001.png"):
        assert Image.open(tmp_path / "out" / name).info["icc_profile"] == p3_profile()
    deep = np.full((8, 8, 3), 257 * 100, np.uint16)
    tifffile = pytest.importorskip("tifffile")
    profile = (34675, "B", len(p3_profile()), p3_profile(), True)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", extratags=[profile])
    restore_nearest(tmp_path / "deep.tif", tmp_path / "deep.png")
    assert chunks_of(tmp_path / "deep.png")[b"IHDR"][8] == 16
    with tifffile.TiffFile(tmp_path / "deep.tif") as file:
        assert bytes(file.pages[0].tags[34675].value) == p3_profile()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_of_display_p3_pictures_says_so(tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    assert not notices(WILD / "display_p3_png", target)
    restore_nearest(WILD / "display_p3_png", target)
    (stream,) = ffprobe(target)["streams"]
    assert (stream["color_primaries"], stream["color_transfer"]) == ("smpte432", "bt709")


def test_the_profile_of_an_animation_is_in_its_outputs(tmp_path):
    frames = [Image.fromarray(patches()), Image.fromarray(patches()[::-1, ::-1])]
    more = {"save_all": True, "append_images": frames[1:], "icc_profile": p3_profile()}
    (tmp_path / "in.png").write_bytes(encoded(frames[0], "PNG", **more))
    restore_nearest(tmp_path / "in.png", tmp_path / "out.mp4")
    restore_nearest(tmp_path / "in.png", tmp_path / "out")
    assert ffprobe(tmp_path / "out.mp4")["streams"][0]["color_primaries"] == "smpte432"
    for file in (tmp_path / "out").iterdir():
        assert Image.open(file).info["icc_profile"] == p3_profile()


def test_a_profile_that_a_video_cannot_say_is_named(tmp_path):
    (tmp_path / "in.jpg").write_bytes(PROFILED["adobe.jpg"]())
    (line,) = notices(tmp_path / "in.jpg", tmp_path / "out.mp4")
    assert "the colour profile 'sRGB built-in' is dropped" in line
    (tmp_path / "plain.png").write_bytes(PROFILED["srgb.png"]())
    assert not notices(tmp_path / "plain.png", tmp_path / "out.mp4")


def test_pictures_of_other_profiles_than_the_first_are_told_of(tmp_path):
    for number, profile in enumerate((p3_profile(), p3_profile(), srgb_profile())):
        (tmp_path / f"f{number}.png").write_bytes(encoded(patches(), "PNG", icc_profile=profile))
    with open_source(tmp_path) as reader:
        assert "1 picture with another colour profile" in reader.info.notices[0]


def test_code_points_of_a_png_are_kept_and_those_of_hdr_are_asked_about(tmp_path):
    plain = encoded(patches(), "PNG")
    (tmp_path / "p3.png").write_bytes(with_chunks(plain, chunk(b"cICP", bytes((12, 13, 0, 1)))))
    restore_nearest(tmp_path / "p3.png", tmp_path / "out.png")
    assert chunks_of(tmp_path / "out.png")[b"cICP"] == bytes((12, 13, 0, 1))
    (tmp_path / "pq.png").write_bytes(with_chunks(plain, chunk(b"cICP", PQ)))
    for choice in (Hdr.REFUSE, Hdr.SDR):
        with pytest.raises(VideoError, match=r"is an HDR picture \(PQ\)") as raised:
            open_source(tmp_path / "pq.png", hdr=choice)
        assert "--hdr keep" in raised.value.hint
    with (
        open_source(tmp_path / "pq.png", hdr=Hdr.KEEP) as reader,
        open_sink(tmp_path / "kept.png", reader.info, 1) as sink,
    ):
        sink.write(next(iter(reader.frames())))
        sink.commit()
    assert chunks_of(tmp_path / "kept.png")[b"cICP"] == PQ


GAMMAS = {
    "linear": [chunk(b"gAMA", struct.pack(">I", 100000))],
    "2.2 of sRGB's primaries": [
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cHRM", SRGB_PRIMARIES),
    ],
}


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gamma_and_primaries_of_a_png_are_kept(tmp_path, gamma):
    (tmp_path / "in.png").write_bytes(with_chunks(encoded(patches(), "PNG"), *GAMMAS[gamma]))
    restore_nearest(tmp_path / "in.png", tmp_path / "out.png")
    before, after = chunks_of(tmp_path / "in.png"), chunks_of(tmp_path / "out.png")
    said = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
    assert [after.get(kind) for kind in said] == [before.get(kind) for kind in said]
    lines = notices(tmp_path / "in.png", tmp_path / "out.mp4")
    assert bool(lines) == (gamma == "linear")


def test_a_profile_of_grey_is_applied_and_one_that_cannot_be_is_named(tmp_path):
    grey = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    (tmp_path / "in.png").write_bytes(encoded(grey, "PNG", icc_profile=grey_profile(1.8)))
    restore_nearest(tmp_path / "in.png", tmp_path / "out.png")
    light = (np.arange(256) / 255) ** 1.8
    srgb = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    shown = seen(tmp_path / "out.png")[0, ::4]
    assert np.abs(shown - np.rint(255 * srgb)[:, None]).max() <= 1.5
    deep = encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    profile = b"Grey\0\0" + zlib.compress(grey_profile(1.8))
    (tmp_path / "deep.png").write_bytes(with_chunks(deep, chunk(b"iCCP", profile)))
    (line,) = notices(tmp_path / "deep.png", tmp_path / "other.png")
    assert "the colour profile Grey is not applied" in line


@pytest.fixture(scope="module")
def shown_by_a_browser(tmp_path_factory):
    """The middles of the patches of a picture or video file, as chromium shows them."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium: apt-get install chromium chromium-driver")
    folder = tmp_path_factory.mktemp("shown")
    browser = Browser(folder / "profile")

    def show(path):
        kind, ready = (
            ("video", "p.readyState > 1") if path.suffix == ".webm" else ("img", "p.complete")
        )
        style = "margin:0;display:block;width:512px;height:64px;image-rendering:pixelated"
        page = folder / "page.html"
        page.write_text(f"<body style=margin:0><{kind} id=p style='{style}' src='{path.as_uri()}'>")
        browser.emulate(800, 600)
        browser.driver.get(page.as_uri())
        browser.wait(f"return {ready}")
        shot = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
        return np.asarray(image)[32, 32:512:64].astype(int)

    yield show
    browser.driver.quit()


IN_BROWSER = {
    **{name: make for name, make in PROFILED.items() if not name.endswith(".tif")},
    "plain.png": lambda: encoded(patches(), "PNG"),
    "plain.jpg": lambda: encoded(patches(), "JPEG", quality=95),
    "grey.jpg": lambda: encoded(
        Image.fromarray(patches()).convert("L"), "JPEG", icc_profile=grey_profile(1.8)
    ),
    "cicp.png": lambda: with_chunks(
        encoded(patches(), "PNG"), chunk(b"cICP", bytes((12, 13, 0, 1)))
    ),
    **{
        f"gamma{number}.png": lambda chunks=chunks: with_chunks(encoded(patches(), "PNG"), *chunks)
        for number, chunks in enumerate(GAMMAS.values())
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_BROWSER)
def test_a_browser_shows_outputs_as_it_shows_inputs(tmp_path, name, shown_by_a_browser):
    (tmp_path / name).write_bytes(IN_BROWSER[name]())
    restore_nearest(tmp_path / name, tmp_path / "out.png")
    before, after = (shown_by_a_browser(tmp_path / n) for n in (name, "out.png"))
    assert np.abs(after - before).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
def test_a_browser_shows_pictures_of_a_video_as_the_video(tmp_path, matrix, shown_by_a_browser):
    video(tmp_path / "in.webm", matrix, matrix, matrix)
    restore_nearest(tmp_path / "in.webm", tmp_path / "out.png")
    before, after = (shown_by_a_browser(tmp_path / n) for n in ("in.webm", "out.png"))
    assert np.abs(after[3:6] - before[3:6]).max() <= 1  # greys
    # chromium itself shows blue of this kind of video up to 8 too dark.
    assert np.abs(after - before).max() <= 10


def test_pictures_with_and_without_the_profile_of_srgb_are_of_one_kind(tmp_path):
    Image.fromarray(patches()).save(tmp_path / "1.png")
    Image.fromarray(patches()).save(tmp_path / "2.png", icc_profile=srgb_profile())
    Image.fromarray(patches()).save(tmp_path / "3.png", icc_profile=p3_profile())
    with open_source(tmp_path) as source:
        (notice,) = (line for line in source.info.notices if "profile" in line)
    assert notice.startswith("1 picture with another colour profile")
