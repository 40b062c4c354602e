"""What is damaged is left out and counted; the rest comes through."""

from __future__ import annotations

import av
import clips
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

SYNC = b"\xff\xf1"  # of an ADTS header, which tells where a packet of AAC begins


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A transport stream in which three packets of sound have lost their first bytes."""
    path = clips.make(
        tmp_path_factory.mktemp("damage") / "in.ts", frames=50, height=48, width=64,
        audio=("aac",), audio_seconds=2,
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        sounds = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    for sound in sounds[20:80:20]:
        assert sound.startswith(SYNC)
        place = data.find(sound[:12])
        assert place > 0
        data[place : place + 2] = bytes(2)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("segment_seconds", [10, 0.5])
def test_damaged_sound_is_left_out_and_counted(spoilt, tmp_path, segment_seconds):
    options = RestoreOptions(weights="nearest", segment_seconds=segment_seconds)
    report = restore_video(spoilt, tmp_path / "out.mp4", options)
    (line,) = [line for line in report.notices if "audio" in line]
    assert line.endswith("damaged packets of audio #1 aac dropped")
    with av.open(str(spoilt)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        was, now = (
            sum(1 for p in container.demux(audio=0) if p.size) for container in (before, after)
        )
    assert was - now == int(line.split()[0]) > 0
    assert report.frames == 50


@pytest.mark.parametrize("segment_seconds", [10, 0.5])
def test_under_strict_damaged_sound_is_an_error(spoilt, tmp_path, segment_seconds):
    options = RestoreOptions(weights="nearest", segment_seconds=segment_seconds, strict=True)
    with pytest.raises(VideoError, match="damaged packets of audio"):
        restore_video(spoilt, tmp_path / "out.mp4", options)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
