"""What is damaged is left out and counted; the rest comes through."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from types import SimpleNamespace

import av
import clips
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.containers.demuxing import Holes

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
@pytest.mark.slow
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
@pytest.mark.cases
def test_under_strict_damaged_sound_is_an_error(spoilt, tmp_path, segment_seconds):
    options = RestoreOptions(weights="nearest", segment_seconds=segment_seconds, strict=True)
    with pytest.raises(VideoError, match="damaged packets of audio"):
        restore_video(spoilt, tmp_path / "out.mp4", options)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def transport_stream(path, **changes):
    return clips.make(path, frames=30, height=48, width=64, audio=("mp2",), audio_seconds=1.2,
                      **changes)  # fmt: skip


def restored(source, target):
    return restore_video(source, target, RestoreOptions(weights="nearest"))


def holes_in(times, *, marked):
    """Packets of 10 ticks, in the order of the file; some marked by FFmpeg."""
    holes = Holes()
    for index, time in enumerate(times):
        holes.look(
            SimpleNamespace(
                pts=time, dts=None, duration=10, is_corrupt=index in marked,
                time_base=Fraction(1, 1000),
            )
        )  # fmt: skip
    holes.end()
    return holes.count


def reordered(times):
    """As frames with two B-frames between others lie in a file."""
    order = [0, *(i for start in range(1, len(times), 3) for i in (start + 2, start, start + 1))]
    return [times[i] for i in order if i < len(times)]


def test_a_marked_packet_is_a_hole_only_where_times_are_missing_near_by():
    times = [10 * n for n in range(301)]
    assert holes_in(times, marked=[100]) == 0
    assert holes_in(reordered(times), marked=[100, 290]) == 0
    missing = [*times[:105], *times[125:]]
    assert holes_in(missing, marked=[100]) == 1
    assert holes_in(missing, marked=[103, 104, 105]) == 1
    assert holes_in(missing, marked=[]) == 0  # sound may pause
    assert holes_in([*times, *times], marked=[300, 301]) == 0  # glued
    assert holes_in([*times, *missing], marked=[300, 405]) == 1


@pytest.mark.parametrize("offset", ["0", "50", "100"])
@pytest.mark.slow
def test_glued_recordings_are_not_damaged_whichever_clock_is_ahead(tmp_path, offset):
    first = transport_stream(tmp_path / "first.ts")
    command = ["ffmpeg", "-v", "error", "-i", str(first), "-c", "copy"]
    later = tmp_path / "later.ts"
    subprocess.run([*command, "-output_ts_offset", offset, str(later)], check=True)
    (tmp_path / "in.ts").write_bytes(later.read_bytes() + first.read_bytes())
    report = restored(tmp_path / "in.ts", tmp_path / "out.mkv")
    assert not report.damage
    assert report.frames == 60
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.duration / 1e6 == pytest.approx(2.4, abs=0.1)


def test_a_trimmed_file_of_variable_rate_is_not_cut_off(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6, pts=clips.VARIABLE, height=48, width=64,
                        options={"bf": "0", "g": "1"})  # fmt: skip
    trimmed = tmp_path / "trimmed.mp4"
    command = ["ffmpeg", "-v", "error", "-ss", "0.5", "-i", str(source), "-c", "copy"]
    subprocess.run([*command, str(trimmed)], check=True)
    assert not restored(trimmed, tmp_path / "out.mp4").damage
