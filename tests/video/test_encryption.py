"""Encrypted files are refused by that name, before anything is written."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import clips
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source

WILD = Path(__file__).parents[1] / "wild"
KEY = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb",
       "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")  # fmt: skip


def copy(source, target, *options):
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", *options, str(target)]
    subprocess.run(command, check=True)
    return target


def clip_with_sound(path):
    return clips.make(path, frames=12, height=48, width=64, audio=("aac",))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_download_of_a_streaming_service_is_refused(tmp_path, suffix):
    with pytest.raises(VideoError, match=r"cenc\.mp4 is encrypted") as caught:
        restore_video(
            WILD / "cenc.mp4", tmp_path / f"out{suffix}", RestoreOptions(weights="nearest")
        )
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_sound_that_is_encrypted_beside_clear_video_is_named(tmp_path):
    clear = clip_with_sound(tmp_path / "clear.mp4")
    open_source(clear)
    secret = copy(clear, tmp_path / "secret.mp4", *KEY)
    # The sound of the one with the video of the other.
    mixed = tmp_path / "mixed.mp4"
    mixed.write_bytes(clear.read_bytes().replace(b"mp4a", b"drms", 1))
    with pytest.raises(VideoError, match=r"the sound of .*mixed\.mp4 is encrypted"):
        open_source(mixed)
    with pytest.raises(VideoError, match=r"^[^ ]*secret\.mp4 is encrypted"):
        open_source(secret)


def test_a_film_bought_in_a_shop_is_encrypted_and_not_of_an_unknown_codec(tmp_path):
    path = clip_with_sound(tmp_path / "in.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"drmi"))
    with pytest.raises(VideoError, match="is encrypted"):
        open_source(path)


def crc_32(data):
    """Of MPEG-2 systems (ISO/IEC 13818-1, Annex A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def with_stream_type(path, old, new):
    """A transport stream whose programme table calls a stream by another type."""
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x40 and (data[at + 1] & 0x1F, data[at + 2]) == (0x10, 0x00):
            end = at + 8 + ((data[at + 6] & 15) << 8 | data[at + 7]) - 4
            place = at + 17 + ((data[at + 15] & 15) << 8 | data[at + 16])
            while place < end:
                data[place] = new if data[place] == old else data[place]
                place += 5 + ((data[place + 3] & 15) << 8 | data[place + 4])
            data[end : end + 4] = struct.pack(">I", crc_32(data[at + 5 : end]))
    path.write_bytes(data)


@pytest.mark.parametrize("old, new, words", [
    (0x1B, 0xDB, r"^[^ ]*in\.ts is encrypted"), (0x0F, 0xCF, r"the sound of .*in\.ts is encrypted"),
])  # fmt: skip
def test_segments_of_hls_with_sample_aes_are_refused(tmp_path, old, new, words):
    path = clip_with_sound(tmp_path / "in.ts")
    open_source(path)
    with_stream_type(path, old, new)
    with pytest.raises(VideoError, match=words):
        open_source(path)


def test_a_scrambled_broadcast_is_refused(tmp_path):
    path = clip_with_sound(tmp_path / "in.ts")
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x1F == 1:  # the programme's streams
            data[at + 3] |= 0x80
    path.write_bytes(data)
    with pytest.raises(VideoError, match="is encrypted"):
        open_source(path)


def test_a_scrambled_dvd_is_refused(tmp_path):
    path = clips.make(tmp_path / "in.mpg", frames=12, codec="mpeg2video", options={},
                      time_base=Fraction(1, 25))  # fmt: skip
    disc = copy(path, tmp_path / "disc.vob")
    open_source(disc)
    data = bytearray(disc.read_bytes())
    for at in range(0, len(data), 2048):
        if data[at + 17] == 0xE0:
            data[at + 20] |= 0x10
    disc.write_bytes(data)
    with pytest.raises(VideoError, match="is encrypted"):
        open_source(disc)


def element(name, *parts):
    """Of Matroska: its name, the length in 8 bytes, what it holds."""
    data = b"".join(parts)
    return bytes.fromhex(name) + (1 << 56 | len(data)).to_bytes(8, "big") + data


def test_encrypted_matroska_is_refused(tmp_path):
    path = clips.make(tmp_path / "in.mkv", frames=2, codec="ffv1", options={})
    encryption = element("5035", element("47e1", b"\x05"), element("47e2", bytes(16)))
    encoding = element("6240", element("5031", b"\0"), element("5032", b"\1"),
                       element("5033", b"\1"), encryption)  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(with_child(data, ("18538067", "1654ae6b", "ae"), element("6d80", encoding)))
    with pytest.raises(VideoError, match="is encrypted"):
        open_source(path)


def with_child(data, names, child):
    """Matroska with one more element in the element at a path of names."""
    heads, at, end = [], 0, len(data)
    for name in map(bytes.fromhex, names):
        at += 6 * data.startswith(b"\xbf\x84", at)  # a checksum comes first
        # The index names elements, too.
        at = data.index(name, at, end) if len(name) == 1 else data.rindex(name, at, end)
        place = at + len(name)
        width = 9 - data[place].bit_length()
        heads.append((place, width))
        at = place + width
        size = int.from_bytes(data[place:at], "big") & (1 << 7 * width) - 1
        end = at + size if size != (1 << 7 * width) - 1 else len(data)
    whole = bytearray(data[:end] + child + data[end:])
    for place, width in heads:
        size = int.from_bytes(whole[place : place + width], "big")
        if size & (1 << 7 * width) - 1 != (1 << 7 * width) - 1:  # else: to the end
            whole[place : place + width] = (size + len(child)).to_bytes(width, "big")
    return bytes(whole)
