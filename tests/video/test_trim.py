"""Parts of a video: exact frames, context from outside, sound cut alike."""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from fractions import Fraction

import av
import clicks
import clips
import full_clips
import pytest
from restoring import enlarged, open_sink
from sequences import sequence

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import FrameNumber, read_position
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.trim import busiest, trim


@pytest.mark.parametrize("text, position", [
    ("90", Fraction(90)), ("90.5s", Fraction(181, 2)), ("1:30", Fraction(90)),
    ("0:01:30.25", Fraction(361, 4)), ("1:00:00", Fraction(3600)), ("2250f", FrameNumber(2250)),
])  # fmt: skip
def test_places_are_times_or_frames(text, position):
    assert read_position(text) == position
    assert type(read_position(text)) is type(position)


@pytest.mark.parametrize("text", ["", "-3", "1:75:00", "3 s", "f", "1e3", "12:34:56:07"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(ValueError, match="write a time"):
        read_position(text)


def numbers(frames):
    return [clips.number_in(frame.rgb.permute(1, 2, 0).numpy()) for frame in frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.make(tmp_path_factory.mktemp("trim") / "in.mp4", frames=20, height=48, width=64)


@pytest.mark.parametrize("start, end, wanted", [
    (5, 9, range(5, 9)),
    (Fraction(1, 5), Fraction(9, 25), range(5, 9)),
    (Fraction(19, 100), Fraction(33, 100), range(5, 9)),  # from the first frame not before it
    (None, 3, range(3)),
    (17, None, range(17, 20)),
    (17, 99, range(17, 20)),
])  # fmt: skip
def test_the_part_has_exactly_its_frames_and_begins_at_0(clip, start, end, wanted):
    with trim(open_source(clip), start=start, end=end) as part:
        frames = list(part.frames())
        assert numbers(frames) == list(wanted)
        assert [f.pts * part.info.time_base for f in frames] == [
            Fraction(i, 25) for i in range(len(wanted))
        ]
        assert part.info.frame_count == part.report.frames == len(wanted)
        assert frames[-1].duration * part.info.time_base == Fraction(1, 25)


def test_the_frames_around_it_are_there_as_context(clip):
    with trim(open_source(clip), start=5, end=9) as part:
        assert part.info.frames_before == 5
        assert numbers(part.frames(-2, 6)) == list(range(3, 11))
        assert part.report.frames == 6  # those of context after the part were asked for
        assert numbers(part.frames(1, 3)) == [6, 7]


@pytest.mark.parametrize("start, end", [(30, None), (9, 5), (5, 5), (Fraction(3), Fraction(4))])
def test_a_part_without_frames_is_refused(clip, start, end):
    with open_source(clip) as source, pytest.raises(OptionError, match="no frames from") as caught:
        trim(source, start=start, end=end)
    assert "the last one seen" in caught.value.hint


def test_pictures_are_cut_by_their_number(tmp_path):
    folder = sequence(tmp_path / "in", numbers=range(10, 20))
    with trim(open_source(folder), start=3, end=6) as part:
        assert part.info.pictures == ("frame_13.png", "frame_14.png", "frame_15.png")
        assert numbers(part.frames()) == [13, 14, 15]
        assert numbers(part.frames(-1, 4)) == [12, 13, 14, 15, 16]


def test_variable_times_and_late_starts_are_cut_at_the_right_frame(tmp_path):
    pts = tuple(450000 + t for t in (0, 3003, 6006, 30000, 33003, 90000))
    source = clips.make(tmp_path / "in.mkv", pts=pts, height=48, width=64)
    with trim(open_source(source), start=Fraction(3, 10)) as part:
        assert numbers(part.frames()) == [3, 4, 5]
        times = [float(f.pts * part.info.time_base) for f in part.frames()]
        assert times == pytest.approx([0, 0.0334, 0.6666], abs=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_subtitles_and_chapters_are_cut_alike(tmp_path, suffix):
    source = full_clips.make(tmp_path / "in.mkv", audio=("aac",), timecode="10:00:00:00")
    out = tmp_path / f"out{suffix}"
    with trim(open_source(source), start=Fraction(2, 5), end=Fraction(4, 5)) as part:
        assert "timecode is dropped" in part.info.notices[0]
        with open_sink(out, part.info, 4) as sink:
            for frame in part.frames():
                sink.write(Frame(enlarged(frame.rgb, 4), frame.pts, frame.duration))
            sink.commit(part.report.frames)
    with av.open(str(out)) as container:
        video = container.streams.video[0]
        begin = video.start_time * video.time_base
        spans = {"audio": [], "subtitle": []}
        for packet in container.demux(*(s for s in container.streams if s.type in spans)):
            if packet.size > 2:
                shown = packet.pts * packet.time_base - begin
                spans[packet.stream.type].append(
                    (float(shown), float(shown + packet.duration * packet.time_base))
                )
        chapters = [
            tuple(float(c[edge] * c["time_base"] - begin) for edge in ("start", "end"))
            for c in container.chapters()
        ]
    assert clips.read(out).numbers == list(range(10, 20))
    one_packet = 1024 / 48000 + 0.001
    assert -one_packet <= min(spans["audio"])[0] <= 0.001
    assert 0.4 - one_packet <= max(end for _, end in spans["audio"]) <= 0.4 + one_packet
    # In the source a text is shown from 0.2 to 0.5 s, and another from 0.6 to 0.85.
    assert spans["subtitle"] == [
        pytest.approx((0, 0.1), abs=2e-3),
        pytest.approx((0.2, 0.4), abs=2e-3),
    ]
    assert chapters == [pytest.approx((0, 0.1), abs=2e-3), pytest.approx((0.1, 0.4), abs=2e-3)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
@pytest.mark.parametrize("start, end", [(Fraction(1), Fraction(3, 2)), (Fraction(0), None)])
@pytest.mark.cases
def test_a_track_without_sound_in_the_part_is_no_fault(tmp_path, suffix, start, end):
    name = "libopus" if suffix == ".webm" else "aac"
    source = clips.make(
        tmp_path / "in.mkv", frames=50, height=48, width=64, audio=(name, name), audio_seconds=0.3
    )
    silent = clicks.change_sound(  # a track that was never filled
        source, tmp_path / "silent.mkv", lambda packet: packet if packet.stream.index != 2 else None
    )
    out = tmp_path / f"out{suffix}"
    options = RestoreOptions(weights="nearest", start=start, end=end)
    restore_video(silent, out, options)
    with av.open(str(out)) as container:
        sounds = Counter(p.stream.index for p in container.demux(audio=0)) if (
            container.streams.audio) else Counter()  # fmt: skip
    assert (sounds.total() > 10) == (start == 0)
    assert clips.read(out).numbers == list(range(25 * int(start), 38 if end else 50))


def test_the_sample_is_the_part_with_the_most_bytes(tmp_path):
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            number = index if 50 <= index < 75 else 0  # the bar moves only here
            frame = clips.frame_of(clips.picture(number, 48, 64), clips.Clip(height=48, width=64))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with open_source(source) as whole:
        # The very first picture costs much as well, but once.
        assert Fraction(3, 2) <= busiest(whole, Fraction(1)) <= Fraction(21, 10)
        with trim(whole, sample=Fraction(1)) as part:
            assert part.info.frame_count == 25
        with pytest.raises(OptionError, match="cannot be combined with --start or --end"):
            trim(whole, sample=Fraction(1), start=3)


def test_a_sample_longer_than_the_video_is_all_of_it(clip):
    with open_source(clip) as whole, trim(whole, sample=Fraction(60)) as part:
        assert numbers(part.frames()) == list(range(20))


def pgs(*, shown, number, seconds):
    """A display set of Blu-ray subtitles: a white box, or nothing; it has no duration."""

    def segment(kind, data):
        return b"PG" + struct.pack(">IIBH", int(seconds * 90000), 0, kind, len(data)) + data

    width, height = 16, 8
    begin = struct.pack(">HHBHBBBB", 64, 48, 0x10, number, 0x80 * shown, 0, 0, shown)
    objects = struct.pack(">HBBHH", 0, 0, 0, 4, 4) if shown else b""
    data = segment(0x16, begin + objects)
    data += segment(0x17, b"\x01" + struct.pack(">BHHHH", 0, 4, 4, width, height))
    if shown:
        picture = struct.pack(">HH", width, height) + (b"\x01" * width + bytes(2)) * height
        data += segment(0x14, b"\x00\x00\x01\xff\x80\x80\xff")
        size = struct.pack(">I", len(picture))[1:]
        data += segment(0x15, struct.pack(">HBB", 0, 0, 0xC0) + size + picture)
    return data + segment(0x80, b"")


def with_subtitles(folder, clip, suffix, sets):
    """A clip with subtitles that are pictures, each shown until the next set."""
    data = [pgs(shown=s, number=n, seconds=t) for n, (s, t) in enumerate(sets)]
    (folder / "in.sup").write_bytes(b"".join(data))
    source = folder / f"in{suffix}"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-i", str(folder / "in.sup")]
    subprocess.run([*command, "-map", "0", "-map", "1", "-c", "copy", str(source)], check=True)
    return source


@pytest.mark.parametrize("suffix", [".mkv", ".m2ts"])
@pytest.mark.cases
def test_picture_subtitles_without_a_duration_are_cut(tmp_path, clip, suffix):
    sets = [(True, 0.08), (False, 0.24), (True, 0.4), (False, 0.56)]
    source = with_subtitles(tmp_path, clip, suffix, sets)
    with open_source(source) as opened:
        start = opened.info.start_seconds
    was = [time - float(start) for time in subtitle_times(source)]
    assert was[0] < 0.12 < was[1] < was[2] < 0.48
    options = RestoreOptions(weights="nearest", start=Fraction(3, 25), end=Fraction(12, 25))
    restore_video(source, tmp_path / "out.mkv", options)
    # What is on the screen as the part begins, whole; and what comes.
    now = subtitle_times(tmp_path / "out.mkv")
    assert now == pytest.approx([0, *(t - 0.12 for t in was if 0.12 <= t < 0.48)], abs=3e-3)


def test_a_subtitle_that_is_never_taken_away_stands_where_the_part_begins(tmp_path, clip):
    source = with_subtitles(tmp_path, clip, ".mkv", [(True, 0.04)])
    options = RestoreOptions(weights="nearest", start=Fraction(1, 5))
    restore_video(source, tmp_path / "out.mkv", options)
    with av.open(str(tmp_path / "out.mkv")) as container:
        kinds = [p.stream.type for p in container.demux() if p.size]
    assert kinds.index("subtitle") < 8


def subtitle_times(path):
    """Of those that begin a picture or take one away."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(subtitles=0) if bytes(p)[:1] == b"\x16"]
    return [float(p.pts * p.time_base) for p in packets]
