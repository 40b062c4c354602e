import io
import subprocess
from fractions import Fraction
from itertools import pairwise

import av
import clips
import full_clips
import pytest
from av.stream import Disposition
from probing import ffprobe, sound
from restoring import restore_in_segments, restore_nearest

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.info import StreamInfo
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.streams.packet_writer import PacketWriter
from vsrdb_cli.video.streams.plan import StreamAction
from vsrdb_cli.video.streams.policy import plan_streams


def kinds(path):
    return [(s["codec_type"], s.get("codec_name")) for s in ffprobe(path)["streams"]]


def lines(path):
    """The words of the first subtitles and when they are shown, in milliseconds of the video."""
    with av.open(str(path)) as container:
        stream, video = container.streams.subtitles[0], container.streams.video[0]
        begin, shown = video.start_time * video.time_base, []
        for packet in container.demux(stream):
            decoded = stream.codec_context.decode2(packet) if packet.size else None
            for rect in decoded or ():
                text = rect.ass.split(b",", 8)[-1].decode()
                start = packet.pts * packet.time_base - begin
                length = packet.duration * packet.time_base
                shown.append((text, int(start * 1000), int(length * 1000)))
        return shown


@pytest.mark.parametrize("source, target, codec", [
    (".mkv", ".mp4", "mov_text"), (".mkv", ".mov", "mov_text"), (".mkv", ".mkv", "subrip"),
    (".mkv", ".webm", "webvtt"), (".mp4", ".mkv", "subrip"), (".mp4", ".mp4", "mov_text"),
])  # fmt: skip
@pytest.mark.cases
def test_subtitles_keep_their_words_times_and_language(tmp_path, source, target, codec):
    made = full_clips.make(
        tmp_path / f"in{source}", audio=("libopus",) if target == ".webm" else ("aac",),
        subtitles=("mov_text" if source == ".mp4" else "subrip",),
    )  # fmt: skip
    out = tmp_path / f"out{target}"
    restore_nearest(made, out)
    assert ("subtitle", codec) in kinds(out)
    before = full_clips.LINES
    assert [(text, start) for text, start, _ in lines(out)] == [(t, s) for t, s, _ in before]
    assert [length for *_, length in lines(out)] == [length for *_, length in before]
    (stream,) = (s for s in ffprobe(out)["streams"] if s["codec_type"] == "subtitle")
    assert stream["tags"]["language"] == ("fra" if target == ".mov" else "fre")
    if target != ".mov":
        assert stream["disposition"]["forced"] == 1


@pytest.mark.slow
def test_matroska_keeps_everything(tmp_path):
    source = full_clips.make(
        tmp_path / "in.mkv", subtitles=("subrip", "ass"), attachment=True, timecode="10:00:00:00"
    )
    info = probe(source)
    assert [plan.notice for plan in plan_streams(info, ".mkv")] == [None] * 5
    restore_nearest(source, tmp_path / "out.mkv")
    before, after = ffprobe(source), ffprobe(tmp_path / "out.mkv")
    for was, now in zip(before["streams"], after["streams"], strict=True):
        for key in ("codec_type", "codec_name", "disposition"):
            assert now.get(key) == was.get(key)
        for tag in ("language", "title", "filename", "mimetype", "TIMECODE"):
            assert now["tags"].get(tag) == was["tags"].get(tag)
    assert chapters(tmp_path / "out.mkv") == chapters(source) == [(0, 0.5, "One"), (0.5, 1, "Ü")]
    assert after["format"]["tags"]["title"] == "A walk"
    assert sound(tmp_path / "out.mkv") == sound(source)
    with av.open(str(tmp_path / "out.mkv")) as container:
        (attachment,) = (s for s in container.streams if s.type == "attachment")
        assert attachment.data == full_clips.FONT


def chapters(path):
    with av.open(str(path)) as container:
        return [
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
                chapter["metadata"].get("title"),
            )
            for chapter in container.chapters()
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.cases
def test_mp4_and_mov_keep_sound_chapters_titles_and_timecode(tmp_path, suffix):
    source = full_clips.make(tmp_path / "in.mov", audio=("aac", "aac"), subtitles=("mov_text",),
                       timecode="10:00:00:00")  # fmt: skip
    out = tmp_path / f"out{suffix}"
    restore_nearest(source, out)
    assert sound(out) == sound(source)
    assert chapters(out) == [(0, 0.5, "One"), (0.5, 1, "Ü")]
    streams = ffprobe(out)["streams"]
    assert streams[0]["tags"]["timecode"] == "10:00:00:00"
    audio = [s for s in streams if s["codec_type"] == "audio"]
    assert [s["tags"]["language"] for s in audio] == ["jpn", "eng"]
    assert [s["tags"]["handler_name"] for s in audio] == ["First", "Second"]
    assert [s["disposition"]["default"] for s in audio] == [1, 0]
    # The tracks of chapters and timecode are written anew; nothing is said of them.
    info = probe(source)
    assert [p.action for p in plan_streams(info, suffix)].count(StreamAction.REBUILD) == 2
    assert not any(plan.notice for plan in plan_streams(info, suffix))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.cases
def test_the_cover_is_kept_as_a_cover(tmp_path, suffix):
    source = full_clips.make(tmp_path / "in.mp4", audio=("aac",), subtitles=(), cover=True)
    out = tmp_path / f"out{suffix}"
    restore_nearest(source, out)
    covers = [s for s in ffprobe(out)["streams"] if s["disposition"]["attached_pic"]]
    assert [cover["codec_name"] for cover in covers] == ["mjpeg"]
    assert cover_bytes(out) == cover_bytes(source)


def cover_bytes(path):
    with av.open(str(path)) as container:
        (cover,) = (s for s in container.streams.video if s.disposition & Disposition.attached_pic)
        return next(bytes(packet) for packet in container.demux(cover) if packet.size)


@pytest.mark.parametrize("suffix, words", [
    (".mp4", ["subtitle #4 ass ger is converted to mov_text, which keeps little of its styling; a"
              " .mkv output keeps it",
              "attachment #5 is dropped: .mp4 files cannot hold it; a .mkv output keeps it"]),
    (".mov", ["audio #2 opus eng is re-encoded as aac: .mov files cannot hold it; a .mp4 or .mkv"
              " output keeps it",
              "subtitle #3 subrip fre is no longer marked as forced in .mov files; a .mp4 or .mkv"
              " output keeps it",
              "subtitle #4 ass ger is converted to mov_text, which keeps little of its styling; a"
              " .mkv output keeps it",
              "attachment #5 is dropped: .mov files cannot hold it; a .mkv output keeps it"]),
    (".webm", ["audio #1 aac jpn is re-encoded as opus: .webm files cannot hold it; a .mp4 or"
               " .mkv output keeps it",
               "subtitle #4 ass ger is converted to webvtt, which keeps little of its styling; a"
               " .mkv output keeps it",
               "attachment #5 is dropped: .webm files cannot hold it; a .mkv output keeps it"]),
])  # fmt: skip
def test_what_a_container_cannot_hold_is_said_with_the_one_that_can(tmp_path, suffix, words):
    source = full_clips.make(tmp_path / "in.mkv", subtitles=("subrip", "ass"), attachment=True)
    notices = [p.notice for p in plan_streams(probe(source), suffix) if p.notice]
    assert notices == words


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.cases
def test_metadata_beyond_the_usual_is_kept(tmp_path, suffix):
    metadata = {"title": "A walk", "make": "Camera", "com.apple.quicktime.software": "9.1"}
    source = full_clips.make(tmp_path / "in.mkv", audio=("aac",), subtitles=(), metadata=metadata)
    restore_nearest(source, tmp_path / f"out{suffix}")
    tags = {k.lower(): v for k, v in ffprobe(tmp_path / f"out{suffix}")["format"]["tags"].items()}
    assert {key: tags.get(key) for key in metadata} == metadata


@pytest.mark.slow
def test_joined_segments_have_the_same_streams_as_the_unbroken_run(tmp_path):
    source = full_clips.make(
        tmp_path / "in.mkv", subtitles=("subrip", "ass"), timecode="10:00:00:00"
    )
    restore_nearest(source, tmp_path / "whole.mp4")
    restore_in_segments(source, tmp_path, tmp_path / "joined.mp4", [10, 25])
    assert kinds(tmp_path / "joined.mp4") == kinds(tmp_path / "whole.mp4")
    assert lines(tmp_path / "joined.mp4") == lines(tmp_path / "whole.mp4")
    assert chapters(tmp_path / "joined.mp4") == chapters(tmp_path / "whole.mp4")
    assert sound(tmp_path / "joined.mp4") == sound(tmp_path / "whole.mp4")


@pytest.mark.slow
def test_sound_keeps_its_place_beside_the_pictures(tmp_path):
    source = full_clips.make(tmp_path / "in.mkv", audio=("aac",), subtitles=())
    for suffix in (".mp4", ".mov", ".mkv"):
        restore_nearest(source, tmp_path / f"out{suffix}")
        assert abs(offset(tmp_path / f"out{suffix}") - offset(source)) <= 0.001


def offset(path):
    """Seconds from the first picture to the first sound."""
    with av.open(str(path)) as container:
        first = {}
        for packet in container.demux(video=0, audio=0):
            if packet.size:
                time = packet.pts * packet.time_base
                first[packet.stream.type] = min(time, first.get(packet.stream.type, time))
        return float(first["audio"] - first["video"])


CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=700
[CHAPTER]
TIMEBASE=1/1000
START=700
END=1200
"""


def starts(path):
    """Of picture, sound and chapters, in seconds; and the length of the file."""
    found = ffprobe(path)
    (picture,), (sound_,) = (
        [float(s["start_time"]) for s in found["streams"] if s["codec_type"] == kind]
        for kind in ("video", "audio")
    )
    chapters_ = [start for start, _, _ in chapters(path)]
    return picture, sound_, chapters_, float(found["format"]["duration"])


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, arguments)], check=True, timeout=60)


@pytest.fixture
def chaptered(tmp_path):
    """Makes files: 4 s of a clip with key frames a second apart, sound of a codec, chapters."""
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=4")
    sound_ = ("-f", "lavfi", "-i", "sine=duration=4")

    def make(name, codec):
        ffmpeg(*picture, *sound_, "-i", tmp_path / "chapters.txt", "-map_chapters", "2", "-g", "25",
               "-pix_fmt", "yuv420p", "-c:a", codec, tmp_path / name)  # fmt: skip
        return tmp_path / name

    return make


@pytest.mark.slow
def test_what_an_encoder_of_sound_puts_before_it_moves_no_chapters(tmp_path, chaptered):
    source = chaptered("in.avi", "adpcm_ms")
    ffmpeg("-i", source, "-i", tmp_path / "chapters.txt", "-map_chapters", "1", "-c", "copy",
           tmp_path / "in.mkv")  # fmt: skip
    restore_nearest(tmp_path / "in.mkv", tmp_path / "out.mkv")
    (sound,) = [s for s in ffprobe(tmp_path / "out.mkv")["streams"] if s["codec_type"] == "audio"]
    assert sound["codec_name"] == "aac"
    picture, _, starting, _ = starts(tmp_path / "out.mkv")
    assert [start - picture for start in starting] == pytest.approx([0, 0.7], abs=2e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.slow
def test_sound_that_a_trim_has_hidden_stays_hidden(tmp_path, chaptered, suffix):
    whole, cut = chaptered("whole.mp4", "aac"), tmp_path / "cut.mp4"
    ffmpeg("-ss", "1.8", "-i", whole, "-i", tmp_path / "chapters.txt", "-map_chapters", "1",
           "-c", "copy", cut)  # fmt: skip
    with av.open(str(cut)) as container:
        first = next(iter(container.demux(audio=0)))
        assert first.pts * first.time_base < -0.5
        assert first.is_discard
    restore_nearest(cut, tmp_path / f"out{suffix}")
    picture, sound_, starting, seconds = starts(tmp_path / f"out{suffix}")
    assert -0.001 <= picture - sound_ <= 0.13  # no more than a decoder needs
    assert [start - picture for start in starting] == pytest.approx([0, 0.7], abs=2e-3)
    assert seconds - picture == pytest.approx(2.2, abs=0.05)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.slow
def test_chapters_move_with_the_picture_where_sound_begins_before_it(tmp_path, chaptered, suffix):
    source = chaptered("in.mkv", "flac")
    out = tmp_path / f"out{suffix}"
    restore_video(source, out, RestoreOptions(weights="nearest", start=Fraction(13, 25)))
    picture, _, starting, _ = starts(out)
    if suffix == ".mkv":
        assert picture > 0.01
    assert [start - picture for start in starting] == pytest.approx([0, 0.18], abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.slow
def test_cues_that_overlap_keep_their_times(tmp_path, suffix):
    def stamp(second):
        return f"00:00:{second:02d},000"

    cues = [f"{n + 1}\n{stamp(n)} --> {stamp(n + 2)}\nline {n}\n" for n in range(10)]
    (tmp_path / "in.srt").write_text("\n".join(cues))
    clip = clips.make(tmp_path / "clip.mp4", frames=60, rate=5, height=48, width=64)
    source = tmp_path / "in.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-i", str(tmp_path / "in.srt")]
    subprocess.run([*command, "-c:v", "copy", "-c:s", "subrip", str(source)], check=True)
    paths = [tmp_path / f"{name}{suffix}" for name in ("out", "again")]
    for before, after in pairwise([source, *paths]):
        restore_nearest(before, after)
        text = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(after), "-map", "0:s", "-f", "srt", "-"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        shown = [set() for _ in range(11)]  # in each second
        for cue in text.strip().split("\n\n"):
            _, times, *words = cue.splitlines()
            begin, end = (round(float(time[6:].replace(",", "."))) for time in times.split(" --> "))
            for second in range(begin, end):
                shown[second] |= set(words)
        assert shown == [
            {f"line {n}" for n in (second - 1, second) if 0 <= n < 10} for second in range(11)
        ]


def set_back(data, number, ticks):
    """MPEG program stream bytes whose AC-3 has earlier times from one of its packets on."""
    data, place, seen = bytearray(data), 0, 0
    while (place := data.find(b"\0\0\1\xbd", place)) >= 0:
        if data[place + 7] & 0x80:
            seen += 1
            code = int.from_bytes(data[place + 9 : place + 14])
            pts = (code >> 33 & 7) << 30 | (code >> 17 & 0x7FFF) << 15 | code >> 1 & 0x7FFF
            pts -= ticks * (seen > number)
            code = 2 << 36 | pts >> 30 << 33 | (pts >> 15 & 0x7FFF) << 17 | (pts & 0x7FFF) << 1
            data[place + 9 : place + 14] = (code | 0x100010001).to_bytes(5)
        place += 4
    return bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.cases
def test_times_that_do_not_rise_are_mended_in_the_clock_of_the_track(tmp_path, suffix):
    clip = clips.make(tmp_path / "clip.mp4", frames=50, height=48, width=64)
    source = tmp_path / "in.vob"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "lavfi", "-i", "sine=r=48000:d=2"]
    subprocess.run([*command, "-c:v", "mpeg2video", "-c:a", "ac3", str(source)], check=True)
    # Two frames of 2880 ticks and one tick: too little for a new recording.
    source.write_bytes(set_back(source.read_bytes(), 3, 2 * 2880 + 1))
    out = tmp_path / f"out{suffix}"
    report = restore_video(source, out, RestoreOptions(weights="nearest", strict=True))
    assert report.frames == 50
    assert sound(out) == sound(source)


def test_packets_that_the_output_refuses_are_not_counted_as_damaged():
    with av.open(io.BytesIO(), "w", format="matroska") as output:
        target = output.add_stream("aac", rate=48000)
        output.start_encoding()
        writer = PacketWriter(output, {1: StreamInfo(1, "audio", "aac")}, {1: target}, {})
        packet = av.Packet(b"\xff\xf1xxxxx")  # a broken ADTS header
        packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), 0, 0
        writer.write(1, [packet])
    assert (writer.copied.refused[1], writer.copied.damaged[1]) == (1, 0)
    assert writer.copied.lost(1) == 1
