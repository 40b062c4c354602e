"""Sound is judged by what it sounds like: clicks lie where they lay, and last as long."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import clicks
import numpy as np
import pytest

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.streams.plan import nearest_target
from vsrdb_cli.video.streams.sound import (
    Loudness,
    SoundDecoder,
    describe_difference,
    match_tracks,
    measure_loudness,
)
from vsrdb_cli.video.streams.sound_converter import SoundConverter

WILD = Path(__file__).parents[1] / "wild"
BOTH = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
# Where a window of an encoder, or two clocks of milliseconds, may move a click.
NEAR = 0.025


def restored(source, target, **options):
    """The output, and the notices of the run."""
    notices = []
    options = RestoreOptions(weights="nearest", **options)
    restore_video(source, target, options, on_notice=notices.append)
    return target, [n for n in notices if "does not specify its colours" not in n]


def codecs(path):
    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams.audio]


@BOTH
@pytest.mark.parametrize("segment_seconds", [10.0, 0.3])
@pytest.mark.slow
def test_what_an_edit_list_of_several_parts_hides_stays_hidden(tmp_path, suffix, segment_seconds):
    out, notices = restored(
        WILD / "multi_edit.mp4", tmp_path / f"out{suffix}", segment_seconds=segment_seconds
    )
    assert clicks.heard(out) == pytest.approx([0, 0.2, 0.4, 0.6], abs=NEAR)
    assert clicks.length(out) == pytest.approx(0.8, abs=0.04)
    (notice,) = notices
    assert notice.startswith("audio #1 aac is re-encoded as aac: a copy plays")


def test_sound_that_has_to_be_encoded_anew_is_refused_under_strict(tmp_path):
    with pytest.raises(OutputError, match="is re-encoded as aac"):
        restored(WILD / "multi_edit.mp4", tmp_path / "out.mp4", strict=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name, suffix, codec, seconds", [
    *[("phone_amr.3gp", s, c, 1.0) for s, c in ((".mp4", "aac"), (".mkv", "aac"),
                                                 (".mov", "amr_nb"), (".webm", "opus"))],
    *[("wmav2.wmv", s, "aac", 0.4) for s in (".mp4", ".mkv")],
    *[("camera_ima.avi", s, "aac", 0.42) for s in (".mp4", ".mkv")],
    *[("nellymoser.flv", s, "aac", 0.41) for s in (".mp4", ".mkv")],
    *[("lpcm.vob", s, c, 0.4) for s, c in ((".mp4", "flac"), (".mkv", "flac"), (".mov", "alac"))],
])  # fmt: skip
@pytest.mark.cases
def test_the_only_sound_of_old_files_is_kept(tmp_path, name, suffix, codec, seconds):
    out, notices = restored(WILD / name, tmp_path / f"out{suffix}")
    assert codecs(out) == [codec]
    assert clicks.length(out) == pytest.approx(seconds, abs=0.13)
    anew = [notice for notice in notices if f"is re-encoded as {codec}" in notice]
    assert len(anew) == (codec != "amr_nb")


def test_uncompressed_sound_that_a_container_does_not_hold_loses_nothing(tmp_path):
    out, _ = restored(WILD / "lpcm.vob", tmp_path / "out.mkv")

    def samples(path):
        with av.open(str(path)) as container:
            frames = [f.to_ndarray().reshape(-1, 2) for f in container.decode(audio=0)]
        return np.concatenate(frames)

    np.testing.assert_array_equal(samples(out), samples(WILD / "lpcm.vob"))


@BOTH
@pytest.mark.slow
def test_aac_that_turns_mono_is_encoded_anew_since_a_copy_says_stereo(tmp_path, suffix):
    parts = [
        clicks.make(tmp_path / f"{n}.ts", "-ac", 2 - n, "-c:a", "aac", "-output_ts_offset", 2 * n,
                    video="mpeg2video")
        for n in (0, 1)
    ]  # fmt: skip
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    out, notices = restored(source, tmp_path / f"out{suffix}")
    assert any("a copy does not change its channels" in notice for notice in notices)
    found = clicks.heard(out)
    assert found[:4] == pytest.approx([0, 0.5, 1, 1.5], abs=NEAR)
    assert found[-3:] == pytest.approx([2.5, 3, 3.5], abs=0.06)  # the recordings overlap by 0.04 s


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.slow
def test_where_recordings_overlap_less_sound_is_no_lack(tmp_path, suffix):
    parts = [
        clicks.make(tmp_path / f"{n}.ts", "-c:a", "aac", "-ar", 44100 + 3900 * (n % 2),
                    "-output_ts_offset", n, video="mpeg2video", seconds=1)
        for n in range(6)
    ]  # fmt: skip
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    out, _ = restored(source, tmp_path / f"out{suffix}")
    assert clicks.length(out) == pytest.approx(6, abs=0.1)


@pytest.mark.slow
def test_sound_with_more_samples_than_its_times_have_room_for_is_no_lack(tmp_path):
    sound = clicks.make(tmp_path / "sound.mkv", "-c:a", "aac", seconds=5)
    source = tmp_path / "in.mkv"
    clicks.ffmpeg("-i", sound, "-itsscale", 0.97, "-i", sound, "-map", "0:v", "-map", "1:a",
                  "-c", "copy", source)  # fmt: skip
    out, _ = restored(source, tmp_path / "out.webm")
    assert clicks.length(out) == pytest.approx(4.85, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.slow
def test_sound_whose_times_fall_is_not_squeezed_into_what_is_left(tmp_path, suffix):
    source = clicks.make(tmp_path / "in.ts", "-c:a", "mp2", video="mpeg2video", seconds=2)
    data = bytearray(source.read_bytes())
    # The first time that is told of sound: 0.4 s later.
    at = next(at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x01")
    at = data.index(b"\0\0\1\xc0", at) + 9
    high, middle, low = data[at], *struct.unpack_from(">HH", data, at + 1)
    pts = (high >> 1 & 7) << 30 | middle >> 1 << 15 | low >> 1
    pts += 36_000
    struct.pack_into(">BHH", data, at, 0x21 | pts >> 30 << 1, pts >> 14 & 0xFFFE | 1,
                     pts << 1 & 0xFFFE | 1)  # fmt: skip
    source.write_bytes(data)
    out = tmp_path / f"out{suffix}"
    report = restore_video(source, out, RestoreOptions(weights="nearest"))
    assert any("re-encoded" in notice for notice in report.notices)
    assert any("dropped: there is other sound at its time" in lost for lost in report.damage)
    assert clicks.length(out) == pytest.approx(1.6, abs=0.1)  # from where it is first heard


def test_ticks_of_any_length_are_divided_exactly(tmp_path):
    """Ticks that are coarse are made finer, and FFmpeg counts them in whole numbers of 32 bits."""
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "aac")
    scale, ticks = b"\x2a\xd7\xb1\x83", (1_000_000, 1_026_406)  # nanoseconds
    usual, odd = (scale + number.to_bytes(3) for number in ticks)
    data = source.read_bytes()
    assert data.count(usual) == 1
    source.write_bytes(data.replace(usual, odd))
    restore_video(source, tmp_path / "out.mkv", RestoreOptions(weights="nearest"))
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size]
    assert times[-1] == pytest.approx(2 * 1.026, abs=0.05)


def test_times_that_jump_by_days_are_damaged_and_the_sound_goes_on(tmp_path):
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "flac")
    decode, begins = SoundDecoder(), []
    with av.open(source) as container:
        for packet in container.demux(audio=0):
            if packet.pts is not None and packet.pts > 1000:
                packet.pts += 9 * 24 * 3600 * 1000
            begins += [float(begin) for _, begin in decode(packet)]
    assert begins == pytest.approx(np.arange(len(begins)) * begins[1], abs=0.002)
    assert begins[-1] > 1.8
    assert decode.failed == 1


@BOTH
@pytest.mark.parametrize("codec", ["flac", "pcm_s16le"])
@pytest.mark.slow
def test_times_that_jump_past_the_end_of_the_video_are_damaged(tmp_path, suffix, codec):
    source = clicks.make(tmp_path / "in.mkv", "-c:a", codec, seconds=3)

    def jump(packet):
        if packet.pts > 1200:
            packet.pts = packet.dts = packet.pts + 16_777_216  # milliseconds
        return packet

    bad = clicks.change_sound(source, tmp_path / "bad.mkv", jump)
    out, _ = restored(bad, tmp_path / f"out{suffix}")
    assert clicks.heard(out) == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=NEAR)


@BOTH
@pytest.mark.slow
def test_sound_that_says_itself_how_many_channels_it_has_is_copied(tmp_path, suffix):
    parts = [
        clicks.make(tmp_path / f"{n}.ts", "-ac", 6 if n else 2, "-c:a", "ac3",
                    "-output_ts_offset", 2 * n, video="mpeg2video")
        for n in (0, 1)
    ]  # fmt: skip
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    out, _ = restored(source, tmp_path / f"out{suffix}")
    assert codecs(out) == ["ac3"]
    assert len(clicks.heard(out)) == 8


@BOTH
@pytest.mark.cases
def test_undecodable_packets_leave_a_gap_and_the_rest_in_place(tmp_path, suffix):
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "ac3")

    def spoil(packet):
        if not 0.7 < packet.pts * packet.time_base < 0.9:
            return packet
        bad = av.Packet(b"\xff" * packet.size)
        bad.pts, bad.dts, bad.time_base = packet.pts, packet.dts, packet.time_base
        return bad

    bad = clicks.change_sound(source, tmp_path / "bad.mkv", spoil)
    out = tmp_path / f"out{suffix}"
    report = restore_video(bad, out, RestoreOptions(weights="nearest"))
    assert clicks.heard(out) == pytest.approx([0, 0.5, 1, 1.5], abs=NEAR)
    assert codecs(out) == ["ac3"]
    with av.open(str(out)) as container:  # nothing in it fails
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0
    assert report.damage == ("7 damaged packets of audio #1 ac3 dropped",)


@pytest.mark.parametrize(
    "suffix, codec", [(".mkv", "pcm_s16le"), (".mp4", "flac"), (".mov", "alac")]
)
@pytest.mark.cases
def test_a_gap_in_uncompressed_sound_stays_though_no_packet_has_a_time(tmp_path, suffix, codec):
    gap = "aselect='not(between(t,0.6,1.3))'"
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "pcm_s16le", "-af", gap)
    out, notices = restored(source, tmp_path / f"out{suffix}")
    assert clicks.heard(out) == pytest.approx([0, 0.5, 1.5], abs=NEAR)
    assert codecs(out) == [codec]
    assert all("a copy ends at 1.3" in notice for notice in notices)
    assert len(notices) == (codec != "pcm_s16le")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.cases
def test_a_packet_of_priming_long_before_the_sound_is_not_heard(tmp_path, suffix):
    quiet = "volume=0:enable='lt(t,0.4)'"
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "pcm_s16le", "-af", quiet)
    late = tmp_path / "late.mkv"
    with av.open(str(source)) as whole, av.open(str(late), "w") as made:
        video, sound = whole.streams.video[0], whole.streams.audio[0]
        pictures = made.add_stream_from_template(video, opaque=True)
        coded = made.add_stream("aac", rate=48000)
        for packet in whole.demux(video):
            if packet.size:
                packet.stream = pictures
                made.mux(packet)
        whole.seek(0)
        packets = [p for frame in whole.decode(sound) for p in coded.encode(frame)]
        # Matroska names the priming, and of the first packet, whichever it is, hides as much.
        made.mux([packets[5], *packets[15:], *coded.encode(None)])
    out, _ = restored(late, tmp_path / f"out{suffix}")
    assert clicks.heard(out) == pytest.approx([0.5, 1, 1.5], abs=NEAR)


def with_rate(path, rate):
    """A video whose header gives another number of samples a second."""
    data = bytearray(clicks.make(path, "-c:a", "pcm_s16le").read_bytes())
    place = data.find(b"strf", data.find(b"auds")) + 12
    assert struct.unpack_from("<I", data, place) == (48000,)
    struct.pack_into("<I", data, place, rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
@pytest.mark.parametrize("rate", [1, 16_777_216, 2**31 - 1])
@pytest.mark.cases
def test_sound_at_a_rate_that_no_sound_has_is_dropped_by_name(tmp_path, suffix, rate):
    out, (notice,) = restored(with_rate(tmp_path / "in.avi", rate), tmp_path / f"out{suffix}")
    assert notice == f"audio #1 pcm_s16le is dropped: no sound has {rate:,} samples a second"
    assert codecs(out) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
@pytest.mark.parametrize("rate", [300, 384_000, 2_822_400])
@pytest.mark.slow
def test_sound_at_a_strange_rate_is_kept(tmp_path, suffix, rate):
    out, _ = restored(with_rate(tmp_path / "in.avi", rate), tmp_path / f"out{suffix}")
    assert len(codecs(out)) == 1


@BOTH
@pytest.mark.slow
def test_sound_encoded_anew_is_cut_to_the_sample(tmp_path, suffix):
    source = clicks.make(tmp_path / "in.avi", "-c:a", "adpcm_ms", seconds=3)
    options = {"start": Fraction(1, 4), "end": Fraction(9, 4)}
    out, _ = restored(source, tmp_path / f"out{suffix}", **options)
    assert clicks.heard(out) == pytest.approx([0.22, 0.72, 1.22, 1.72], abs=0.005)
    assert clicks.length(out) == pytest.approx(2, abs=0.06)


@pytest.mark.parametrize("encoder", ["aac", "libopus", "alac", "flac"])
def test_samples_that_no_encoder_takes_leave_the_others_as_they_are(tmp_path, encoder):
    wave = np.sin(np.arange(48000, dtype=np.float32))[None] / 2
    expected = wave.copy()
    wave[0, 10_000:10_100], wave[0, 20_000], wave[0, 30_000] = np.nan, np.inf, -1e30
    with av.open(str(tmp_path / "in.mkv"), "w") as file:
        track = file.add_stream("pcm_f32le", rate=48000, layout="mono")
        for first in range(0, 48000, 4800):
            frame = av.AudioFrame.from_ndarray(wave[:, first : first + 4800].copy(), "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, first, Fraction(1, 48000)
            file.mux(track.encode(frame))
    target = nearest_target(encoder, 48000, "mono", "flt")
    with av.open(str(tmp_path / "in.mkv")) as source, av.open(str(tmp_path / "o.mkv"), "w") as out:
        convert = SoundConverter(source.streams.audio[0], out, target, SoundDecoder())
        for packet in source.demux():
            out.mux(list(convert(packet) if packet.size else convert.finish()))
    with av.open(str(tmp_path / "o.mkv")) as out:
        (heard,) = measure_loudness(out, Fraction(0))
    clean = Loudness()
    clean.add(expected, 48000, Fraction(0))
    assert describe_difference(clean, heard, None, None) is None
    # What was infinite is a click; a tenth of a second from it, all is as it was.
    near = heard.levels(70, 90) - clean.levels(70, 90)
    assert abs(near).max() < 1


@pytest.mark.parametrize("codec, kind, suffix, became", [
    ("aac", ".mp4", ".mp4", "aac"),
    ("aac", ".mp4", ".webm", "opus"),
    ("flac", ".mkv", ".mov", "aac"),
])  # fmt: skip
@pytest.mark.slow
def test_eight_channels_are_heard_and_written(tmp_path, codec, kind, suffix, became):
    source = clicks.make(tmp_path / f"in{kind}", "-af", "aformat=cl=7.1", "-c:a", codec)
    out, _ = restored(source, tmp_path / f"out{suffix}")
    assert codecs(out) == [became]
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.layout.name == "7.1"


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
@pytest.mark.slow
def test_channels_in_an_order_of_their_own_are_heard(tmp_path, suffix):
    source = clicks.make(
        tmp_path / "in.mov", "-af", "aformat=cl=6.1", "-c:a", "pcm_s24le", video="mjpeg"
    )
    out, _ = restored(source, tmp_path / f"out{suffix}")
    clicks.ffmpeg("-i", out, "-ac", 1, tmp_path / "heard.wav")  # PyAV crashes here
    assert clicks.length(tmp_path / "heard.wav") == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("layout, suffix, became", [
    ("quad", ".mov", "5.0"),  # beside a silent one
    ("2.1", ".webm", "5.1"),
    ("5.1(side)", ".mov", "5.1"),
])  # fmt: skip
@pytest.mark.slow
def test_no_channel_is_mixed_with_another_while_there_is_a_place_for_each(
    tmp_path, layout, suffix, became
):
    source = clicks.make(tmp_path / "in.mkv", "-af", f"aformat=cl={layout}", "-c:a", "flac")
    out, (notice,) = restored(source, tmp_path / f"out{suffix}")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.layout.name == became
    assert "mixed" not in notice


@pytest.mark.posix
@pytest.mark.parametrize("channels, words", [
    (16, "is re-encoded as aac: vsrdb cannot copy it into .mp4 files; a .mkv output keeps it; its"
         " channels (16 channels) are mixed to 7.1"),
    (9, "is dropped: no encoder supports 9 channels"),
])  # fmt: skip
@pytest.mark.cases
def test_more_channels_than_can_be_encoded_are_told_of(tmp_path, channels, words):
    clicks.ffmpeg(
        "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=1",
        "-f", "s16le", "-ac", channels, "-t", 1, "-i", "/dev/urandom",
        "-c:v", "mpeg4", "-c:a", "pcm_s16le", tmp_path / "in.mkv",
    )  # fmt: skip
    _, (notice,) = restored(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert words in notice


def track(*sounding, rate=8000, gap_from=None):
    """A track that is loud in the given stretches, (begin, end) in seconds."""
    loudness = Loudness()
    for begin, end in sounding:
        count = round((end - begin) * rate)
        wave = 0.5 * np.sin(np.arange(count, dtype=np.float32))
        loudness.add(wave[None], rate, Fraction(begin).limit_denominator(rate))
    return loudness


@pytest.mark.parametrize("output, words", [
    (track((0, 1), (3, 4)), None),
    (track((0, 1), (3, 3.97)), None),  # an encoder's window
    (track((0, 1), (3, 3.5)), "ends at 3.500 s, in the source at 4.000 s"),
    (track((0, 1), (2.5, 3.5), (3.9, 4)), "has 0.340 s missing, the first at 3.530 s"),
    (track((0, 1), (1.5, 2), (3, 4)), "has 0.500 s too much, the first at 1.500 s"),
    (track((0, 1), (0.2, 1), (3, 4)), "plays 0.800 s too long"),
    (track((1, 2), (3, 4)), "begins at 1.000 s, in the source at 0.000 s"),
])  # fmt: skip
def test_two_tracks_are_told_apart_by_where_they_sound(output, words):
    assert describe_difference(track((0, 1), (3, 4)), output, None, None) == words


def test_only_a_track_as_short_as_a_packet_may_be_silent():
    assert describe_difference(track((0, 0.021)), Loudness(), None, None) is None
    assert describe_difference(track((0, 1)), Loudness(), None, None) == "is silent"


def test_tracks_are_matched_by_number_or_else_by_having_sound():
    silent, short, long = Loudness(), track((0, 0.021)), track((0, 1))
    assert match_tracks([short, long], [silent, long]) == [silent, long]
    assert match_tracks([silent, long], [long]) == [None, long]
    assert match_tracks([long, long], [long]) == [long, None]


def test_less_than_a_hundredth_of_a_second_is_not_looked_into():
    short = track((0, 0.085))
    assert describe_difference(short, short, Fraction(81, 1000), None) is None


def test_what_rings_after_a_burst_is_not_too_much():
    bursts, ringing = Loudness(), Loudness()
    wave = np.sin(np.arange(8240, dtype=np.float32))
    for loudness, tail in ((bursts, 0.0), (ringing, 0.05)):
        volume = np.zeros_like(wave)
        volume[:240] = volume[8000:] = 0.5
        volume[240:1040] = tail
        loudness.add((wave * volume)[None], 8000, Fraction(0))
    assert describe_difference(bursts, ringing, None, None) is None


def test_a_steady_offset_is_no_sound():
    with_offset = Loudness()
    wave = np.full((1, 8000), 0.05, np.float32)
    wave[:, 4000:] += 0.1 * np.sin(np.arange(4000, dtype=np.float32))
    with_offset.add(wave[:, :2000], 8000, Fraction(0))
    with_offset.add(wave[:, 2000:], 8000, Fraction(1, 4))
    without = Loudness()
    without.add(wave - np.float32(0.05), 8000, Fraction(0))
    assert describe_difference(with_offset, without, None, None) is None


def test_a_click_in_the_first_short_packet_is_no_sound_after_it():
    wave = np.zeros((1, 48_000), np.float32)
    wave[:, :480] = 0.8 * np.sin(np.arange(480) * 2 * np.pi / 480)
    tracks = []
    for length in (120, 1024):  # samples of a packet: of Vorbis, of AAC
        tracks.append(Loudness())
        for first in range(0, 48_000, length):
            tracks[-1].add(wave[:, first : first + length], 48_000, Fraction(first, 48_000))
    assert describe_difference(*tracks, None, None) is None


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_last_packet_without_a_duration_is_heard(tmp_path, suffix):
    source = clicks.make(tmp_path / "in.mkv", "-c:a", "alac", seconds=3)
    ends = clicks.change_sound(  # ALAC in Matroska has no durations
        source, tmp_path / "ends.mkv", lambda packet: packet if packet.pts <= 2000 else None
    )
    out, notices = restored(ends, tmp_path / f"out{suffix}")
    assert (codecs(out), notices) == (["alac"], [])
    assert clicks.length(out) == clicks.length(ends)


def test_a_sample_that_is_no_number_hides_nothing_else():
    source, output = track((0, 1), (3, 4)), track((0, 1), (3, 4))
    for loudness, last in ((source, 0.5), (output, 0)):
        wave = last * np.sin(np.arange(8000, dtype=np.float32))
        wave[0] = np.nan
        loudness.add(wave[None], 8000, Fraction(4))
    assert (
        describe_difference(source, output, None, None)
        == "has 0.970 s missing, the first at 4.030 s"
    )


def test_a_codec_that_others_may_write_is_not_called_impossible(tmp_path):
    _, notices = restored(WILD / "wmav2.wmv", tmp_path / "out.mkv")
    (anew,) = [notice for notice in notices if "re-encoded" in notice]
    assert anew.endswith("vsrdb cannot copy it into .mkv files")


def test_sound_before_0_counts_at_the_sample_before_it():
    loudness = Loudness()
    loudness.add(np.array([[1.0, -1.0]]), 100, Fraction(-1, 200))
    assert [level > -10 for level in loudness.levels(-2, 2)] == [False, True, True, False]
