"""What asks for more memory than any video needs ends in one line, before it has got it."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from boxes import box_added
from pictures_made import chunk, encoded, with_chunks
from spoiling import CONTAINERS

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.containers import opening
from vsrdb_cli.video.containers.limits import LARGEST_TEXT, MOST_TEXTS, check_texts
from vsrdb_cli.video.containers.structures import element
from vsrdb_cli.video.reading.probe import probe

MEMORY = 1 << 30  # of addresses, beside those of torch's libraries, which depend on its build
# Restores every file that it is given, and tells what was said and how much memory was taken.
RUN = f"""
import json, resource, sys
from pathlib import Path
import torch
def told(what):
    lines = (line.split() for line in open("/proc/self/status"))
    return next(int(words[1]) << 10 for words in lines if words[0] == what + ":")
before = told("VmRSS")
most = told("VmSize") + {MEMORY}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
options, said = RestoreOptions(weights="nearest"), {{}}
for name in sys.argv[1:]:
    try:
        restore_video(Path(name), Path(name + "-out.mkv"), options)
        said[Path(name).name] = "restored"
    except VsrdbError as error:
        said[Path(name).name] = str(error)
print(json.dumps({{"said": said, "taken": told("VmHWM") - before}}))
"""


def coded(codec, height, width, frames, **options):
    """The bytes of grey frames."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.time_base = width, height, Fraction(1, 25)
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.framerate, encoder.options = Fraction(25), options
    frame = av.VideoFrame(width, height, encoder.pix_fmt)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    packets = []
    for number in range(frames):
        frame.pts = number
        packets += encoder.encode(frame)
    return b"".join(map(bytes, (*packets, *encoder.encode(None))))


def turning(height, width, large):
    """H.264 of 64x64 that turns into another size."""
    fast = {"preset": "ultrafast", "x264-params": "threads=1:rc-lookahead=0"}
    return coded("libx264", 64, 64, 25, **fast) + coded("libx264", height, width, large, **fast)


def jpeg_of(height, width):
    """A JPEG that says it is of this size; most of its picture is missing."""
    small = coded("mjpeg", 64, 64, 1)
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


def picture(*chunks):
    return with_chunks(encoded(np.zeros((16, 16, 3), np.uint8), "PNG"), *chunks)


@pytest.fixture(scope="module")
def much():
    return zlib.compress(b"a" * (200 << 20), 9)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory, much):
    folder = tmp_path_factory.mktemp("bombs")
    for name, content in {
        "turns.h264": turning(8192, 8192, 3),
        "large.mjpeg": jpeg_of(12000, 12000),
        "ztxt.png": picture(*(chunk(b"zTXt", b"k%d\0\0" % i + much) for i in range(10))),
        "itxt.png": picture(*(chunk(b"iTXt", b"k%d\0\1\0\0\0" % i + much) for i in range(10))),
        "profile.png": picture(chunk(b"iCCP", b"icc\0\0" + much)),
        "keys.png": picture(*(chunk(b"tEXt", b"k%d\0x" % i) for i in range(100_000))),
    }.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


@pytest.mark.linux
@pytest.mark.slow
def test_bombs_end_in_one_line_within_a_gigabyte(bombs):
    run = subprocess.run([sys.executable, "-c", RUN, *map(str, bombs)],
                         capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    text = "holds more metadata than any picture needs"
    for name, words in {
        "turns.h264": "changes to 8192x8192, far larger than at its beginning",
        "large.mjpeg": "is 12000x12000; at most 142 million pixels can be read",
        **dict.fromkeys(("ztxt.png", "itxt.png", "profile.png", "keys.png"), text),
    }.items():
        assert words in told["said"][name]
        assert "\n" not in told["said"][name]
    assert told["taken"] < 1 << 28


def restored(source, target, scale=4):
    return restore_video(source, target, RestoreOptions(weights="nearest", scale=scale))


def test_a_video_that_changes_its_size_as_broadcasts_do_is_restored(tmp_path):
    source = tmp_path / "in.h264"
    source.write_bytes(turning(720, 1280, 2))
    assert restored(source, tmp_path / "out.mkv").frames == 27


def test_what_no_encoder_can_write_is_refused_before_it_is_decoded(tmp_path):
    source = tmp_path / "in.mjpeg"
    source.write_bytes(coded("mjpeg", 5000, 5000, 1, qscale="31"))
    with pytest.raises(VideoError, match="the output would be 20000x20000, larger than any"):
        probe(source, 4)
    assert probe(source, 2).width == 5000


def test_texts_and_profiles_of_ordinary_size_pass(tmp_path):
    source = tmp_path / "in.png"
    text = zlib.compress(b"a" * (LARGEST_TEXT // 4))
    texts = [chunk(b"tEXt", b"k%d\0x" % i) for i in range(MOST_TEXTS - 2)]
    source.write_bytes(picture(*texts, chunk(b"zTXt", b"k\0\0" + text)))
    check_texts(source)


def test_a_picture_within_another_file_is_measured_too(tmp_path, much):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(picture(chunk(b"zTXt", b"k\0\0" + much)))
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        packet = av.Packet(bomb.read_bytes())
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.time_base, packet.is_keyframe = Fraction(1, 25), True
        container.mux(packet)
    with pytest.raises(VideoError, match="more metadata than"):
        restored(source, tmp_path / "out.mkv")


def test_pictures_that_lie_in_each_other_take_no_time(tmp_path):
    # Each begins a row of chunks that reaches to the end.
    source = tmp_path / "in.bin"
    source.write_bytes((b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x04abcd") * 100_000)
    with pytest.raises(VideoError):
        check_texts(Path(source))


def matroska_with(clip, tags, *, indexed=False):
    """A Matroska file with tags before its pictures, or at its end, where an index says so."""
    data = clip.read_bytes()
    segment = data.index(bytes.fromhex("18538067")) + 12
    data = data[: segment - 8] + b"\x01" + b"\xff" * 7 + data[segment:]  # of a length not known
    if not indexed:
        return data[:segment] + tags + data[segment:]
    at = element("53ac", (len(data) - segment + 100).to_bytes(8))
    index = element("114d9b74", element("4dbb", element("53ab", bytes.fromhex("1254c367")), at))
    filled = index + element("ec", bytes(100 - len(index) - 9))
    return data[:segment] + filled + data[segment:] + tags


def matroska_tags(count, size=1):
    tag = element("67c8", element("45a3", b"K"), element("4487", b"v" * size))
    return element("1254c367", element("7373", element("63c0"), tag * count))


def mp4_with(clip, count, size=1):
    def box(kind, content):
        return struct.pack(">I4s", len(content) + 8, kind) + content

    value = box(b"\xa9xyz", struct.pack(">HH", min(size, 0xFFFF), 0) + b"v" * size)
    return box_added(clip.read_bytes(), (b"moov",), box(b"udta", value * count))


def ogg_with(count, size=1):
    """Of sound alone: headers, and nothing after them."""
    texts = (struct.pack("<I", size + 2) + b"K=" + b"v" * size) * count
    header = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", count) + texts
    lengths = [19, *[255] * (len(header) // 255), len(header) % 255]
    content = b"OpusHead\1\2\0\0\x80\xbb\0\0\0\0\0" + header
    pages, place = [], 0
    for at in range(0, len(lengths), 255):
        page = lengths[at : at + 255]
        head = b"OggS" + bytes(10) + b"once" + struct.pack("<I", len(pages)) + bytes(4)
        pages.append((head + bytes([len(page), *page]), content[place : place + sum(page)]))
        place += sum(page)
    if count * size > 1 << 20:  # whose checksums take long
        return b"".join(map(b"".join, pages))
    return b"".join(CONTAINERS["ogg"].whole(*page, len(page[1])) for page in pages)


@pytest.fixture(scope="module")
def clip_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    shape = {"frames": 3, "height": 32, "width": 32}
    return {ending: clips.make(folder / f"in.{ending}", **shape) for ending in ("mkv", "mp4")}


@pytest.mark.parametrize("count, size", [(MOST_TEXTS + 1, 1), (40, LARGEST_TEXT // 39)])
@pytest.mark.parametrize("kind", ["before", "at the end", "mp4", "ogg"])
def test_more_metadata_than_any_video_needs_is_refused_before_it_is_read(
    tmp_path, clip_in, kind, count, size
):
    source = tmp_path / "in.mkv"
    source.write_bytes({
        "before": lambda: matroska_with(clip_in["mkv"], matroska_tags(count, size)),
        "at the end": lambda: matroska_with(
            clip_in["mkv"], matroska_tags(count, size), indexed=True
        ),
        "mp4": lambda: mp4_with(clip_in["mp4"], count, size),
        "ogg": lambda: ogg_with(count, size),
    }[kind]())  # fmt: skip
    with pytest.raises(VideoError, match="more metadata than any video needs"):
        probe(source)


def avi_with(clip, count):
    """With tags of different names before the pictures."""
    data = clip.read_bytes()
    names = itertools.islice(itertools.product(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=4), count)
    tags = b"INFO" + b"".join(bytes(name) + struct.pack("<I", 2) + b"v\0" for name in names)
    at = data.index(b"movi") - 8
    return data[:at] + b"LIST" + struct.pack("<I", len(tags)) + tags + data[at:]


def test_a_file_that_takes_ffmpeg_too_long_to_open_is_refused(tmp_path, monkeypatch):
    """In formats whose tags nobody counts beforehand."""
    clip = clips.make(tmp_path / "clip.avi", frames=3, height=32, width=32)
    source = tmp_path / "in.avi"
    source.write_bytes(avi_with(clip, 8000))
    with av.open(str(source)) as container:
        assert len(container.metadata) > 8000
    monkeypatch.setattr(opening, "OPENING_SECONDS", 0.05)
    with pytest.raises(VideoError, match=r"cannot be opened within 0\.05 seconds"):
        probe(source)


def test_an_index_that_leads_nowhere_is_not_followed(tmp_path, clip_in):
    source = tmp_path / "in.mkv"
    data = matroska_with(clip_in["mkv"], matroska_tags(1), indexed=True)
    at = data.index(bytes.fromhex("53ac")) + 2 + 8
    source.write_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])
    assert probe(source).frame_count


def test_much_metadata_is_read(tmp_path, clip_in):
    source = tmp_path / "in.mkv"
    for indexed in (False, True):
        data = matroska_with(clip_in["mkv"], matroska_tags(500, 1000), indexed=indexed)
        source.write_bytes(data)
        assert probe(source).metadata["K"] == "v" * 1000
    source.write_bytes(mp4_with(clip_in["mp4"], 500, 10))
    assert probe(source).frame_count == 3
    source.write_bytes(ogg_with(500, 1000))
    with pytest.raises(VideoError, match="no video stream"):
        probe(source)
