"""When frames are shown and how long they stay, where files guess, round or do not say it."""

import io
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import clips
import pytest
from probing import ffprobe
from restoring import enlarged

from vsrdb_cli.errors import OutputError, VsrdbError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.writing.y4m_writer import PipeWriter

WILD = Path(__file__).parents[1] / "wild"
# In one go, and in segments.
ALL_RUNS = pytest.mark.parametrize(
    "suffix, segment_seconds", [(".mp4", 10.0), (".mkv", 10.0), (".mp4", 0.3), (".mkv", 0.3)]
)
RUNS = pytest.mark.parametrize("suffix, segment_seconds", [(".mp4", 0.3), (".mkv", 10.0)])


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def restored(tmp_path, source, suffix, segment_seconds=10.0, **options):
    """Under --strict: the notices, and where each frame of the output begins and ends."""
    notices = []
    out = tmp_path / f"out{suffix}"
    options = {"strict": True, "segment_seconds": segment_seconds, **options}
    restore_video(
        source, out, RestoreOptions(weights="nearest", **options), on_notice=notices.append
    )
    return notices, shown(out)


def shown(path):
    """Begin and end of each frame, in seconds, as FFmpeg's own tool reads them."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-of", "csv=p=0"]
    command += ["-show_entries", "packet=pts_time", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    begins = sorted(float(line.strip(",")) for line in text.split())
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        ends = [(p.pts + p.duration) * p.time_base for p in container.demux(video) if p.size]
        end = float(max(ends))
        if container.format.name.startswith("mov"):
            end = float((video.start_time + video.duration) * video.time_base)
    return [*begins, end]


def every(step, count):
    """So many frames, each `step` seconds long, to the end of the last."""
    return pytest.approx([step * i for i in range(count + 1)], abs=1e-3)


@ALL_RUNS
@pytest.mark.slow
def test_b_frames_without_composition_times_are_shown_evenly(tmp_path, suffix, segment_seconds):
    source = WILD / "no_ctts.mp4"
    assert restored(tmp_path, source, suffix, segment_seconds)[1] == every(0.04, 20)


def test_times_of_what_an_edit_list_leaves_out_are_nobodys(tmp_path):
    source = tmp_path / "in.mp4"
    ffmpeg("-ss", "0.08", "-i", WILD / "no_ctts.mp4", "-c", "copy", source)
    with open_source(source) as reader:
        assert reader.info.in_decode_order
        assert [frame.pts * reader.info.time_base for frame in reader.frames()] == [
            Fraction(index, 25) for index in range(18)
        ]


@pytest.mark.parametrize("suffix", [".avi", ".flv", ".ts", ".mkv", ".mov"])
@pytest.mark.cases
def test_so_are_they_in_other_containers(tmp_path, suffix):
    source = tmp_path / f"in{suffix}"
    ffmpeg("-i", WILD / "no_ctts.mp4", "-c", "copy", source)
    with open_source(source) as reader:
        frames = list(reader.frames())
        steps = [(b.pts - a.pts) * reader.info.time_base for a, b in pairwise(frames)]
        assert steps == [Fraction(1, 25)] * 19
        assert frames[-1].duration * reader.info.time_base == Fraction(1, 25)
        assert not reader.report.notices


def test_a_rate_that_no_output_holds_is_not_said_to_be_the_disk(tmp_path):
    frames = b"".join(b"FRAME\n" + bytes(16 * 16 * 3 // 2) for _ in range(3))
    source = tmp_path / "slow.y4m"
    source.write_bytes(b"YUV4MPEG2 W16 H16 F1:1000000000 Ip A1:1 C420jpeg\n" + frames)
    with pytest.raises(OutputError, match="cannot be written: Invalid argument") as refused:
        restore_video(source, tmp_path / "out.mp4", RestoreOptions(weights="nearest"))
    assert "another rate" in refused.value.hint


def test_times_of_decoding_pass_over_what_cannot_be_decoded(tmp_path):
    source = tmp_path / "in.flv"
    ffmpeg("-i", WILD / "no_ctts.mp4", "-c", "copy", source)
    with open_source(source) as reader:
        whole = [(frame.pts, frame.rgb) for frame in reader.frames()]
    data = source.read_bytes()
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    # A frame that no other needs, made into what is none.
    at = data.index(packets[4])
    source.write_bytes(data[: at + 4] + b"\0" * 40 + data[at + 44 :])
    with open_source(source) as reader:
        holed = {frame.pts: frame.rgb for frame in reader.frames()}
    assert len(holed) in (19, 20)
    same = [pts for pts, rgb in whole if pts in holed and (holed[pts] == rgb).all()]
    assert len(same) >= 18


def test_from_where_composition_times_end_those_of_decoding_count(tmp_path):
    clip = clips.make(
        tmp_path / "in.mp4", frames=40, height=48, width=64,
        options={"bf": "3", "g": "20", "x264-params": "open-gop=0:scenecut=0"},
    )  # fmt: skip
    half = tmp_path / "half.mp4"
    with av.open(str(clip)) as source, av.open(str(half), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        for index, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if index >= 20:
                packet.pts = packet.dts = round(Fraction(index, 25) / packet.time_base)
            packet.stream = stream
            output.mux(packet)
    times = restored(tmp_path, half, ".mp4")[1]
    steps = [after - before for before, after in pairwise(times)]
    assert sorted(steps)[:39] == pytest.approx([0.04] * 39, abs=1e-4)
    assert max(steps) < 0.2  # where they change


def test_b_frames_with_composition_times_keep_them(tmp_path):
    pts = (0, 3000, 6006, 30000, 33003, 90000)
    source = clips.make(tmp_path / "in.mp4", pts=pts, frames=6, last_duration=45000)
    assert not probe(source).in_decode_order
    assert restored(tmp_path, source, ".mp4")[1] == pytest.approx(
        [*(time / 90000 for time in pts), 1.5], abs=1e-4
    )


@RUNS
@pytest.mark.slow
def test_a_guessed_rate_is_not_believed_over_the_times(tmp_path, suffix, segment_seconds):
    source = WILD / "mediarecorder_jitter.webm"
    assert 29 < probe(source).rate < 31
    _, times = restored(tmp_path, source, suffix, segment_seconds)
    assert len(times) == 46
    assert times[-1] - times[-2] == pytest.approx(1 / 30, abs=0.004)
    (video,) = (s for s in ffprobe(tmp_path / f"out{suffix}")["streams"] if "width" in s)
    assert video["level"] <= 31


def test_a_pipe_lasts_as_long_as_the_times_say(tmp_path):
    with open_source(WILD / "mediarecorder_jitter.webm") as source:
        sent = io.BytesIO()
        sink = PipeWriter(source.info, 4, sent)
        for frame in source.frames():
            sink.write(Frame(enlarged(frame.rgb, 4), frame.pts, frame.duration))
    header = sent.getvalue().split(b"\n")[0].split()
    (rate,) = (word[1:].decode().replace(":", "/") for word in header if word[:1] == b"F")
    assert 45 / Fraction(rate) == pytest.approx(1.49, abs=0.01)


@pytest.mark.parametrize(
    "times, rate, usual",
    [
        ((0, 33, 67, 100, 133, 167, 200), 30, Fraction(33, 1000)),
        ((0, 42, 83, 125, 167, 208, 250), Fraction(24000, 1001), Fraction(42, 1000)),
        ((0, 40, 80, 1080, 2080, 2120, 2160), Fraction(7 * 1000, 2200), Fraction(40, 1000)),
        ((0, 3_600_000, 7_200_000), Fraction(1, 3600), Fraction(3600)),
        ((0, 1, 2, 3, 4), 1000, Fraction(1, 1000)),
    ],
    ids=["30 fps", "23.976 fps", "a screen that stands still", "a time-lapse", "1000 fps"],
)
def test_the_rate_is_the_nominal_one_if_frames_keep_to_it_else_their_mean(
    tmp_path, times, rate, usual
):
    clip = clips.Clip(
        frames=len(times), pts=times, time_base=Fraction(1, 1000), height=48, width=64
    )
    # The header claims 25 frames a second, whatever there is.
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = clip.time_base
        for index, pts in enumerate(times):
            frame = clips.frame_of(clips.picture(index, 48, 64), clip)
            frame.pts, frame.time_base = pts, clip.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    info = probe(path)
    assert float(info.rate) == pytest.approx(float(rate), rel=0.02)
    assert info.usual_seconds == usual
    assert info.frame_count == len(times)


@pytest.mark.slow
def test_a_gif_keeps_the_delays_of_its_pictures(tmp_path):
    source = tmp_path / "in.gif"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=50:d=0.4", source)
    assert probe(source).rate == 50
    assert restored(tmp_path, source, ".mp4")[1] == every(0.02, 20)


@ALL_RUNS
@pytest.mark.slow
def test_nanoseconds_are_put_into_ticks_that_a_container_holds(tmp_path, suffix, segment_seconds):
    times = [0, 0.04, 0.08, 6, 6.04, 6.08, 20, 20.04, 20.08]
    found = restored(tmp_path, WILD / "ns_gap.mkv", suffix, segment_seconds)[1]
    assert found == pytest.approx(times, abs=1e-5)


def test_ticks_that_fit_stay_as_they_are(tmp_path):
    assert probe(clips.make(tmp_path / "in.mp4", frames=2)).output_time_base == Fraction(1, 90000)


@pytest.mark.parametrize("suffix, rate", [(".mkv", 600), (".mkv", 2000), (".webm", 10_000)])
@pytest.mark.slow
def test_high_speed_is_told_that_milliseconds_are_too_coarse(tmp_path, suffix, rate):
    clip = clips.make(tmp_path / "in.mp4", frames=30, rate=Fraction(rate), height=48, width=64)
    assert probe(clip).rate == rate
    notices, times = restored(tmp_path, clip, suffix, strict=False)
    assert any("1 ms" in notice and ".mp4" in notice for notice in notices)
    assert times[:-1] == pytest.approx([i / rate for i in range(30)], abs=0.6e-3)
    with pytest.raises(VsrdbError, match="1 ms"):
        restored(tmp_path, clip, suffix, overwrite=True)


@pytest.mark.parametrize("rate, segment_seconds", [(2000, 0.003), (10_000, 10.0)])
@pytest.mark.slow
def test_mp4_holds_high_speed_exactly(tmp_path, rate, segment_seconds):
    clip = clips.make(tmp_path / "in.mp4", frames=30, rate=Fraction(rate), height=48, width=64)
    found = restored(tmp_path, clip, ".mp4", segment_seconds)[1]
    assert found == pytest.approx([i / rate for i in range(31)], abs=2e-6)


def test_so_does_av1_whose_encoder_knows_no_such_rates(tmp_path):
    clip = clips.make(tmp_path / "in.mp4", frames=6, rate=Fraction(2000), height=48, width=64)
    found = restored(tmp_path, clip, ".mp4", encoder=EncoderOptions(codec="av1"))[1]
    assert found == pytest.approx([i / 2000 for i in range(7)], abs=2e-6)


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60), Fraction(240), 500])
@pytest.mark.cases
def test_usual_rates_in_matroska_make_no_noise(tmp_path, rate):
    clip = clips.make(tmp_path / "in.mp4", frames=12, rate=Fraction(rate), height=48, width=64)
    assert not restored(tmp_path, clip, ".mkv")[0]


@RUNS
@pytest.mark.slow
def test_empty_packets_show_the_picture_before_once_more(tmp_path, suffix, segment_seconds):
    source = WILD / "theora_duplicates.ogv"
    _, times = restored(tmp_path, source, suffix, segment_seconds)
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    pictures = [packet.pts for packet in packets if packet.size]
    assert len(pictures) == 20
    assert times == pytest.approx([*(pts / 25 for pts in pictures), 1.2], abs=1e-3)


def test_the_gaps_that_avi_fills_with_nothing_stay(tmp_path):
    source = tmp_path / "in.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.8",
           "-vf", "select=not(between(n\\,4\\,7))",
           "-fps_mode", "vfr", "-enc_time_base", "1/25", "-r", 25,
           "-c:v", "mpeg4", source)  # fmt: skip
    times = restored(tmp_path, source, ".mp4")[1]
    assert times == pytest.approx([i / 25 for i in range(21) if not 4 <= i <= 7], abs=1e-3)


@RUNS
@pytest.mark.slow
def test_a_subtitle_without_an_end_does_not_make_the_video_longer(
    tmp_path, suffix, segment_seconds
):
    source = WILD / "dvdsub_1193h.mkv"
    info = probe(source)
    assert (info.frame_count, info.duration_seconds) == (25, 1.0)
    times = restored(tmp_path, source, suffix, segment_seconds, strict=suffix == ".mkv")[1]
    assert times == every(0.04, 25)
    if suffix == ".mkv":
        kinds = [stream["codec_type"] for stream in ffprobe(tmp_path / "out.mkv")["streams"]]
        assert kinds == ["video", "subtitle"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".avi", ".flv"])
@pytest.mark.cases
def test_sound_that_goes_on_does_not_make_the_video_longer(tmp_path, suffix):
    source = tmp_path / f"in{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=d=20",
           "-c:v", "flv1" if suffix == ".flv" else "mpeg4",
           "-c:a", "mp2" if suffix == ".ts" else "mp3",
           "-ar", 44100, source)  # fmt: skip
    info = probe(source)
    assert info.duration_seconds == pytest.approx(1, abs=0.05)
    assert info.frame_count in (25, 26)


def test_a_wrong_length_in_a_header_is_not_believed(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=10, height=48, width=64)
    data = source.read_bytes()
    at = data.index(b"\x44\x89\x88")  # Duration, a float of 8 bytes
    source.write_bytes(data[: at + 3] + b"\x41\xf0" + bytes(6) + data[at + 11 :])
    assert probe(source).duration_seconds == pytest.approx(0.4)
    assert restored(tmp_path, source, ".mp4")[1] == every(0.04, 10)


def test_a_file_that_is_still_being_written_has_the_frames_it_has(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=40, height=48, width=64)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 2 // 3])
    info = probe(source)
    with open_source(source) as reader:
        assert abs(len(list(reader.frames())) - info.frame_count) <= 1
    assert info.frame_count < 40


def test_fragments_are_counted(tmp_path):
    source = clips.make(tmp_path / "whole.mp4", frames=30, height=48, width=64, options={"g": "10"})
    fragments = tmp_path / "in.mp4"
    ffmpeg("-i", source, "-c", "copy", "-movflags", "frag_keyframe", fragments)
    assert probe(fragments).frame_count == 30
    assert restored(tmp_path, fragments, ".mp4")[1] == every(0.04, 30)


@pytest.mark.slow
def test_hidden_frames_of_vp8_are_not_counted(tmp_path):
    source = tmp_path / "in.webm"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "libvpx", "-auto-alt-ref", 1,
           "-lag-in-frames", 16, "-b:v", "100k", source)  # fmt: skip
    assert (probe(source).frame_count, probe(source).rate) == (50, 25)
    assert restored(tmp_path, source, ".mp4")[1] == every(0.04, 50)


def test_a_part_of_a_video_without_composition_times_begins_at_its_frame(tmp_path):
    times = restored(tmp_path, WILD / "no_ctts.mp4", ".mp4", start="5f", end="15f")[1]
    assert times == every(0.04, 10)
