"""What a file says beside its streams is in the output, or named: tags, marks, texts, chapters."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import full_clips
import pytest
from av.sidedata.sidedata import Type
from av.stream import Discard
from probing import ffprobe

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.side_data.attachments import unsupported
from vsrdb_cli.video.writing.output import resolve_output

WILD = Path(__file__).parents[1] / "wild"
NEAREST = {"weights": "nearest", "device": "cpu"}
USER_DATA = Type.SEI_UNREGISTERED.value
HEADER = full_clips.HEADER.decode()


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


def clip(path, *words):
    """A video of 15 frames with whatever else is asked for."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.6:r=25", *words, path)
    return path


def notices(source, target):
    info = probe(source)
    return (*info.notices, *resolve_output(target, info, 4).notices)


def restored(source, target, **options):
    return restore_video(source, target, RestoreOptions(**NEAREST, **options))


def texts(path):
    """Of the first subtitles, as ffmpeg converts them."""
    words = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "webvtt", "-"]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout


STATISTICS = (
    *("BPS-eng", "BPS", "NUMBER_OF_BYTES-eng", "NUMBER_OF_FRAMES-deu", "DURATION-eng"),
    *("_STATISTICS_TAGS-eng", "_STATISTICS_WRITING_APP-eng", "_STATISTICS_WRITING_DATE_UTC-eng"),
    *("_STATISTICS_TAGS", "bps-en", "ENCODER_OPTIONS", "Encoding settings"),
)


def test_statistics_of_the_source_do_not_stay_on_the_restored_video(tmp_path):
    said = [word for key in STATISTICS for word in ("-metadata:s:v", f"{key}=00:00:00.600")]
    source = clip(tmp_path / "in.mkv", *said, "-metadata:s:v", "comment=own")
    restored(source, tmp_path / "out.mkv", strict=True)
    tags = {
        key.lower(): value
        for key, value in ffprobe(tmp_path / "out.mkv")["streams"][0]["tags"].items()
    }
    assert tags.pop("comment") == "own"
    assert set(tags) == {"duration"}  # Matroska's own


def test_tags_of_streams_that_mp4_does_not_hold_are_named(tmp_path):
    sound = ("-f", "lavfi", "-i", "sine=d=0.6")
    said = (
        "-metadata:s:v",
        "COMMENT=a",
        "-metadata:s:a",
        "DIRECTOR=b",
        "-metadata:s:a",
        "BPS-eng=1",
    )
    source = clip(tmp_path / "in.mkv", *sound, *said)
    (video, audio) = notices(source, tmp_path / "out.mp4")
    assert "tags of video #0 h264 are dropped (COMMENT)" in video
    assert "(DIRECTOR)" in audio
    assert not notices(source, tmp_path / "out.mkv")


@pytest.mark.parametrize("key, value", [
    ("track", "A3"), ("disc", "x"), ("compilation", "yes"), ("location", "somewhere"),
    ("media_type", "film"), ("track", "3/12"), ("location", "+48.1000+011.5000/"), ("rating", "5"),
])  # fmt: skip
@pytest.mark.cases
def test_values_that_mp4_keeps_as_numbers_arrive_as_they_were(tmp_path, key, value):
    source = clip(tmp_path / "in.mkv", "-metadata", f"{key}={value}")
    restored(source, tmp_path / "out.mp4", end="1f")
    tags = ffprobe(tmp_path / "out.mp4")["format"]["tags"]
    assert {name.lower(): said for name, said in tags.items()}[key] == value


def test_marks_of_the_video_itself_are_named_where_they_are_lost(tmp_path):
    source = full_clips.make(tmp_path / "in.mkv", audio=("aac",))
    marked = tmp_path / "marked.mkv"
    ffmpeg("-i", source, "-c", "copy", "-map", "0", "-disposition:v", "default+original", marked)
    (line,) = notices(marked, tmp_path / "out.mp4")
    assert "video #0 h264 is no longer marked as original in .mp4 files" in line
    assert not notices(marked, tmp_path / "out.mkv")


@pytest.fixture(scope="module")
def caption_track(tmp_path_factory):
    """QuickTime's track of closed captions (c608), which the pictures do not hold."""
    path = tmp_path_factory.mktemp("c608") / "in.mov"
    given = f"movie={WILD / 'captions_sei.mp4'}[out+subcc]"
    ffmpeg("-f", "lavfi", "-i", given, "-c:v", "mjpeg", "-c:s", "copy", path)
    assert ffprobe(path)["streams"][1]["codec_name"] == "eia_608"
    return path


@pytest.mark.parametrize("target, segment_seconds", [
    ("out.mp4", 10), ("out.mkv", 0.4), ("out.mov", 10),
])  # fmt: skip
@pytest.mark.slow
def test_a_caption_track_keeps_its_words_and_times(
    tmp_path, caption_track, target, segment_seconds
):
    report = restored(caption_track, tmp_path / target, segment_seconds=segment_seconds)
    assert not report.damage
    assert "00:00.480 --> 00:00.960\n" in texts(tmp_path / target)
    assert texts(tmp_path / target).count("HELLO CAPTION") == 1
    told = any("subtitle #1 eia_608" in line and ".mov output" in line for line in report.notices)
    assert told == (target != "out.mov")


def test_a_part_shows_the_caption_that_began_before_it(tmp_path, caption_track):
    restored(caption_track, tmp_path / "out.mkv", start="15f", end="20f")
    assert "00:00.000 --> 00:00.200\n" in texts(tmp_path / "out.mkv")


def with_lines(path, *lines):
    ass = path.with_suffix(".ass")
    events = (f"Dialogue: 0,{time},Default,,0,0,0,,{text}\n" for time, text in lines)
    ass.write_text(HEADER + "".join(events))
    return clip(path, "-i", ass, "-map", "0", "-map", "1", "-c:s", "copy")


@pytest.mark.parametrize("target", ["out.mp4", "out.webm"])
@pytest.mark.cases
def test_drawings_do_not_become_words_and_are_counted(tmp_path, target):
    source = with_lines(
        tmp_path / "in.mkv",
        ("0:00:00.10,0:00:00.30", r"{\p1}m 0 0 l 100 0 100 100{\p0}"),
        ("0:00:00.30,0:00:00.40", r"{\an8}"),  # shows nothing
        ("0:00:00.40,0:00:00.50", r"{\an8\p1}m 0 0 l 9 9{\p0}Hello {\i1}you{\i0}"),
    )
    report = restored(source, tmp_path / target)
    assert report.damage == ("1 text of subtitle #1 ass could not be converted",)
    assert texts(tmp_path / target).split("\n\n")[1:] == [
        "00:00.400 --> 00:00.500\nHello <i>you</i>\n"
    ]


def with_chapter_pictures(path):
    """A second track of pictures that the first one names as its chapters'."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        pictures = output.add_stream("mjpeg", rate=5)
        for stream, size, pix_fmt in ((video, 64, "yuv420p"), (pictures, 32, "yuvj420p")):
            stream.width, stream.height, stream.pix_fmt = size, size, pix_fmt
        for index in range(25):
            for stream, pts in ((video, index), (pictures, index / 5)):
                if pts == int(pts):
                    frame = av.VideoFrame(stream.width, stream.height, stream.pix_fmt)
                    frame.pts = int(pts)
                    for plane in frame.planes:
                        plane.update(bytes([8 * index]) * plane.buffer_size)
                    output.mux(stream.encode(frame))
        for stream in (video, pictures):
            output.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    box = struct.pack(">I4sI4sI", 20, b"tref", 12, b"chap", 2)
    outer, inner = data.find(b"moov") - 4, data.find(b"trak") - 4
    end = inner + struct.unpack_from(">I", data, inner)[0]
    for place in (outer, inner):
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(box))
    data[end:end] = box
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("target, segment_seconds", [("out.mp4", 10), ("out.mkv", 0.4)])
@pytest.mark.cases
def test_pictures_of_chapters_are_no_second_video_and_no_cover(tmp_path, target, segment_seconds):
    source = with_chapter_pictures(tmp_path / "in.mp4")
    report = restored(source, tmp_path / target, segment_seconds=segment_seconds)
    assert "video #1 mjpeg is dropped: chapter pictures are not supported" in report.notices
    assert [stream["codec_name"] for stream in ffprobe(tmp_path / target)["streams"]] == ["h264"]


@pytest.fixture(scope="module")
def action_camera(tmp_path_factory):
    """Measurements in a track of their own, a second each, as GoPro's cameras write them."""
    folder = tmp_path_factory.mktemp("gpmd")
    (folder / "klv").write_bytes(b"any")
    clip(
        folder / "any.ts",
        "-f",
        "data",
        "-i",
        folder / "klv",
        "-map",
        "0",
        "-map",
        "1",
        "-c:d",
        "copy",
    )
    tagged = ("-tag:d", "gpmd", "-metadata:s:d", "handler_name=GoPro MET")
    ffmpeg("-i", folder / "any.ts", "-map", "0", "-c", "copy", *tagged, folder / "zero.mp4")
    with (
        av.open(str(folder / "zero.mp4")) as source,
        av.open(str(folder / "in.mp4"), "w") as output,
    ):
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        data = output.add_stream_from_template(source.streams[1])
        data.time_base = Fraction(1, 1000)
        for index in range(50):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = index
            output.mux(video.encode(frame))
            if index % 25 == 0:
                packet = av.Packet(b"DEVC" + bytes([index] * 60))
                packet.pts = packet.dts = index * 40
                packet.duration, packet.time_base, packet.stream = 1000, data.time_base, data
                output.mux(packet)
        output.mux(video.encode(None))
    return folder


def measurements(path):
    with av.open(str(path)) as container:
        (stream,) = (stream for stream in container.streams if stream.type == "data")
        stream.discard = Discard.default
        return [
            (packet.pts * packet.time_base, packet.duration * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


@pytest.mark.parametrize("target, segment_seconds", [("out.mp4", 10), ("out.mov", 0.8)])
@pytest.mark.cases
def test_measurements_of_an_action_camera_are_copied(
    tmp_path, action_camera, target, segment_seconds
):
    source = action_camera / "in.mp4"
    restored(source, tmp_path / target, segment_seconds=segment_seconds, strict=True)
    assert measurements(tmp_path / target) == measurements(source)
    data = ffprobe(tmp_path / target)["streams"][1]
    assert (data["codec_tag_string"], data["tags"]["handler_name"]) == ("gpmd", "GoPro MET")


def test_data_that_a_container_does_not_hold_is_named(tmp_path, action_camera):
    assert "data #1 bin_data (GoPro MET) is dropped: .mkv files cannot hold it; a .mp4" in str(
        notices(action_camera / "in.mp4", tmp_path / "out.mkv")
    )
    for target in ("out.mkv", "out.mp4"):
        assert "data #1 bin_data is dropped" in str(
            notices(action_camera / "any.ts", tmp_path / target)
        )


def test_data_that_lasts_no_time_is_no_track_of_chapters(tmp_path, action_camera):
    """FFmpeg hides it, as it hides chapters that it has read."""
    restored(action_camera / "zero.mp4", tmp_path / "out.mp4", strict=True)
    assert [data for *_, data in measurements(tmp_path / "out.mp4")] == [b"any"]
    assert "(GoPro MET) is dropped" in str(notices(action_camera / "zero.mp4", tmp_path / "o.mkv"))


@pytest.mark.parametrize("kind, data, words", [
    (Type.DYNAMIC_HDR_PLUS.value, b"", "HDR10+"),
    (Type.DOVI_METADATA.value, b"", "Dolby Vision"),
    (Type.AFD.value, b"\x0a", "AFD"), (Type.AFD.value, b"\x08", None),
    (Type.PANSCAN.value, bytes(24), None),
    (Type.PANSCAN.value, bytes(23) + b"\x01", "pan and scan"),
    (USER_DATA, bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef") + b"x264 - core", None),
    (USER_DATA, bytes(range(16)) + b"N 48.1 E 11.5", "user data 00010203"),
    (USER_DATA, bytes(range(16)) + b")", None),
    (Type.MOTION_VECTORS.value, b"", None), (Type.GOP_TIMECODE.value, b"", None),
    (28, b"", "LCEVC"), (30, b"", "3D reference displays"), (55, b"", "FFmpeg type 55"),
])  # fmt: skip
def test_every_kind_of_attachment_is_carried_meaningless_or_named(kind, data, words):
    found = unsupported([(kind, data), (kind, data)])
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


@pytest.mark.parametrize("segment_seconds", [10, 0.2])
@pytest.mark.slow
def test_what_is_attached_to_later_frames_alone_is_told_at_the_end(tmp_path, segment_seconds):
    """User data of a camera, from the sixth of ten frames on."""
    plain, spoken = tmp_path / "plain.h264", tmp_path / "spoken.h264"
    coded = ("-c:v", "libx264", "-x264-params", "keyint=5:scenecut=0:bframes=0", "-frames:v", 10)
    clip(plain, *map(str, coded))
    uuid = "17ee8c60-f84d-11d9-8cd6-0800200c9a66"
    words = f"h264_metadata=sei_user_data={uuid}+time and place"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", words, spoken)
    whole = [path.read_bytes() for path in (plain, spoken)]
    halves = [data.rfind(b"\0\0\0\1\x67") for data in whole]
    source = tmp_path / "in.h264"
    source.write_bytes(whole[0][: halves[0]] + whole[1][halves[1] :])
    assert not probe(source).attached
    assert "the camera's settings (AVCHD)" in probe(spoken).attached
    report = restored(source, tmp_path / "out.mp4", segment_seconds=segment_seconds)
    assert "the camera's settings (AVCHD) of 1 frame dropped" in report.notices
    with pytest.raises(VideoError, match="AVCHD"):
        restored(source, tmp_path / "s.mp4", segment_seconds=segment_seconds, strict=True)


def test_the_muxer_that_an_avi_file_names_is_no_metadata(tmp_path):
    source = tmp_path / "in.avi"
    graph = "testsrc2=s=64x48:d=0.2"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", graph, "-c:v", "mpeg4", str(source)]
    subprocess.run(command, check=True)
    with open_source(source) as opened:
        assert not opened.info.metadata
