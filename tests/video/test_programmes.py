"""Of a transport stream with several programmes, the restored video's own comes out whole."""

import subprocess
from pathlib import Path

import av
import pytest
from probing import ffprobe, sound

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.containers.structures import foreign_pids
from vsrdb_cli.video.reading.probe import probe

WILD = Path(__file__).parents[1] / "wild"
NEAREST = {"weights": "nearest", "device": "cpu"}


def mux(path, programmes, *options, late=0):
    """A transport stream; each programme a list of streams: 0 and 1 video, 2 to 4 sound."""
    sources = [
        *("-itsoffset", str(late), "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.6:r=25"),
        *("-f", "lavfi", "-i", "testsrc2=s=128x96:d=0.6:r=25"),
    ]
    for pitch in (300, 400, 500):
        sources += ["-f", "lavfi", "-i", f"sine=f={pitch}:d=0.6"]
    tables = []
    for number, streams in enumerate(programmes, 1):
        members = "".join(f":st={stream}" for stream in streams)
        tables += ["-program", f"program_num={number}:title=P{number}{members}"]
    maps = [word for stream in range(5) for word in ("-map", str(stream))]
    command = ["ffmpeg", "-v", "error", *sources, *maps, "-c:v", "mpeg2video", "-c:a", "mp2"]
    subprocess.run([*command, *tables, *options, str(path)], check=True)
    return path


@pytest.mark.parametrize("segment_seconds", [10, 0.2])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
@pytest.mark.cases
def test_the_other_programmes_sound_is_left_out_with_a_word(tmp_path, target, segment_seconds):
    said = []
    source = WILD / "two_programs.ts"
    options = RestoreOptions(**NEAREST, segment_seconds=segment_seconds)
    restore_video(source, tmp_path / target, options, on_notice=said.append)
    assert "audio #3 mp2 is dropped: it belongs to another programme than the video" in said
    kinds = [stream["codec_type"] for stream in ffprobe(tmp_path / target)["streams"]]
    assert kinds == ["video", "audio"]
    assert sound(tmp_path / target) == sound(source)[:1]
    with pytest.raises(OutputError, match="another programme"):
        restore_video(source, tmp_path / f"s-{target}", RestoreOptions(**NEAREST, strict=True))


@pytest.mark.parametrize("before, after", [(0, 0), (4, 0), (0, 16)])
@pytest.mark.parametrize("programmes, own", [
    ([(0, 2), (1, 3, 4)], {2}),
    ([(0, 2), (1, 3), (4,)], {2}),  # the last is radio
    ([(0, 2, 3), (1, 3, 4)], {2, 3}),  # one sound for two pictures
    ([(0, 1, 2, 3, 4)], {2, 3, 4}),
], ids=str)  # fmt: skip
@pytest.mark.cases
def test_streams_belong_to_the_programmes_whose_tables_name_them(
    tmp_path, programmes, own, before, after
):
    plain = mux(tmp_path / "plain.ts", programmes).read_bytes()
    source = tmp_path / "in.ts"
    packets = (plain[place : place + 188] for place in range(0, len(plain), 188))
    source.write_bytes(b"".join(bytes(before) + packet + bytes(after) for packet in packets))
    info = probe(source)
    with av.open(str(source)) as container:
        numbers = {stream.index: stream.id - 0x100 for stream in container.streams}
    assert numbers[info.stream_index] == 0
    kept = {numbers[s.index] for s in info.streams if s.type == "audio" and not s.foreign}
    assert kept == own


@pytest.mark.slow
def test_the_beginning_of_another_programme_does_not_count(tmp_path):
    """Its video begins half a second before ours."""
    source = mux(tmp_path / "in.ts", [(0,), (1, 2, 3, 4)], late=0.5)
    assert not restore_video(source, tmp_path / "out.mp4", RestoreOptions(**NEAREST)).damage
    assert float(ffprobe(tmp_path / "out.mp4")["streams"][0]["start_time"]) == 0


def test_a_table_may_be_long_and_spread_over_packets(tmp_path):
    """Descriptors of 300 bytes before the first stream's entry."""
    entry = bytes([0x1B, 0xE1, 0x00, 0xF0, 0x00]) + bytes([0x03, 0xE1, 0x01, 0xF0, 0x00])
    body = bytes([0xE1, 0x00, 0xF1, 0x2C]) + bytes([9]) * 300 + entry
    length = 5 + len(body) + 4
    head = bytes([2, 0xB0 | length >> 8, length & 0xFF, 0, 1, 0xC1, 0, 0])
    whole = b"\0" + head + body + bytes(4)
    other = b"\0" + bytes([2, 0xB0, 23, 0, 2, 0xC1, 0, 0, 0xE2, 0, 0xF0, 0])
    other += bytes([0x1B, 0xE2, 0, 0xF0, 0, 0x03, 0xE2, 1, 0xF0, 0]) + bytes(4)
    pat = bytes([0, 0, 0xB0, 17, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0x00, 0, 2, 0xF1, 0x00]) + bytes(4)

    def packets(pid, payload):
        for place in range(0, len(payload), 184):
            begins = 0x40 if place == 0 else 0
            part = payload[place : place + 184].ljust(184, b"\xff")
            yield bytes([0x47, begins | pid >> 8, pid & 0xFF, 0x10]) + part

    file = tmp_path / "tables.ts"
    tables = [*packets(0, pat), *packets(0x1000, whole), *packets(0x1100, other)]
    file.write_bytes(b"noise" + b"".join(tables * 2))
    assert foreign_pids(file, 0x100) == {0x200, 0x201}
    assert foreign_pids(file, 0x200) == {0x100, 0x101}
    assert foreign_pids(file, 0x300) == frozenset()
