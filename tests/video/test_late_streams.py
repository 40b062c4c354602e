"""Streams that FFmpeg meets only far into a file are known before the work, and keep their time."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import clicks
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.containers import opening
from vsrdb_cli.video.containers.demuxing import Demuxer
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.probe import probe

WILD = Path(__file__).parents[1] / "wild"
BOTH = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])


def starts(path):
    """When each sound track begins after the first picture."""
    with av.open(str(path)) as container:
        first = {}
        for packet in container.demux():
            if packet.size and not packet.is_discard and packet.pts is not None:
                time = packet.pts * packet.time_base
                first[packet.stream_index] = min(time, first.get(packet.stream_index, time))
        picture = first[container.streams.video[0].index]
        return [float(first[s.index] - picture) for s in container.streams.audio]


@pytest.mark.parametrize("name, times", [("multi_edit.mp4", 1), ("late_audio.vob", 4)])
def test_only_files_in_which_streams_may_appear_are_opened_again(
    tmp_path, monkeypatch, name, times
):
    source = shutil.copy(WILD / name, tmp_path / name)  # not met before
    opened, really_open = [], av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(a) or really_open(*a, **k))
    open_input(Path(source)).close()
    assert len(opened) == times


@BOTH
@pytest.mark.parametrize("options, wanted", [
    ({}, [0, 7]),
    ({"segment_seconds": 2.0}, [0, 7]),
    ({"start": Fraction(5)}, [0, 2]),
    ({"start": Fraction(5), "end": Fraction(17, 2), "segment_seconds": 1.0}, [0, 2]),
    ({"devices": ("cpu", "cpu"), "segment_seconds": 4.0}, [0, 7]),
])  # fmt: skip
@pytest.mark.slow
def test_a_track_that_begins_late_is_kept_at_its_time(tmp_path, suffix, options, wanted):
    out = tmp_path / f"out{suffix}"
    report = restore_video(
        WILD / "late_audio.vob", out, RestoreOptions(weights="nearest", **options)
    )
    assert starts(out) == pytest.approx(wanted, abs=0.03)
    assert not [notice for notice in report.notices if "dropped" in notice]


def test_the_dry_run_tells_of_a_track_that_begins_late(tmp_path):
    command = ["restore", str(WILD / "late_audio.vob"), str(tmp_path / "out.mp4"), "--dry-run"]
    result = CliRunner().invoke(main, [*command, "--weights", "nearest", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["inputs"][0]["copied"] == ["audio #1 mp2", "audio #2 mp2"]


@pytest.fixture
def made(tmp_path):
    """Makes the three kinds of files: 7 s, with a track that begins at 6 s."""

    def make(kind):
        path = tmp_path / f"in.{kind}"
        if kind == "flv":  # whose header says that there is no sound
            sound = tmp_path / "sound.flv"
            clicks.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=7", "-itsoffset", 6,
                          "-f", "lavfi", "-i", "sine=d=1", "-c:v", "flv", "-c:a", "mp3",
                          "-ar", 44100, "-flvflags", "no_metadata", sound)  # fmt: skip
            content = bytearray(sound.read_bytes())
            content[4] = 1
            path.write_bytes(content)
        elif kind == "ts":  # whose table of the programme gains a track
            parts = []
            for number, (begin, seconds) in enumerate(((0, 6), (6, 1))):
                parts.append(tmp_path / f"{number}.ts")
                tone = ("-f", "lavfi", "-i", f"sine=d={seconds}")
                clicks.ffmpeg("-f", "lavfi", "-i", f"testsrc=s=64x48:r=25:d={seconds}",
                              *tone * (number + 1), *("-map", "0", "-map", "1"),
                              *("-map", "2") * number, "-c:v", "mpeg2video", "-c:a", "mp2",
                              "-output_ts_offset", begin, parts[-1])  # fmt: skip
            path.write_bytes(b"".join(part.read_bytes() for part in parts))
        else:  # a DVD's subtitle
            clicks.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=7", "-itsoffset", 6,
                          "-i", WILD / "dvdsub_1193h.mkv", "-map", "0:v", "-map", "1:s",
                          "-c:v", "mpeg2video", "-c:s", "copy", "-f", "vob", path)  # fmt: skip
        return path

    return make


@pytest.mark.parametrize("kind, wanted", [
    ("flv", ["audio mp3"]), ("ts", ["audio mp2", "audio mp2"]), ("vob", ["subtitle dvd_subtitle"]),
])  # fmt: skip
@pytest.mark.slow
def test_all_streams_are_known_before_the_first_frame(tmp_path, made, kind, wanted):
    source = made(kind)
    assert [f"{s.type} {s.codec}" for s in probe(source).streams] == wanted
    out = tmp_path / "out.mkv"
    restore_video(source, out, RestoreOptions(weights="nearest"))
    with av.open(str(out)) as container:
        first = {}
        for packet in container.demux():
            if packet.size and packet.stream_index not in first:
                first[packet.stream_index] = float(packet.pts * packet.time_base)
    assert len(first) == len(wanted) + 1
    assert first[max(first)] == pytest.approx(6, abs=0.1)


def test_a_stream_that_nothing_announced_is_survived(made):
    with av.open(str(made("flv"))) as container:
        demuxer = Demuxer(container, *container.streams)
        frames = sum(len(packet.decode()) for packet in demuxer)
    assert frames == 175
    assert not demuxer.is_complete


def test_a_stream_left_out_is_told(made, monkeypatch):
    source = made("flv")
    monkeypatch.setattr(opening, "LATE_STREAMS", set())
    with open_source(source) as reader:
        assert len(list(reader.frames())) == 175
    assert reader.report.changes == ("a stream that begins unannounced in mid-file is dropped",)
