"""y4m on stdin and stdout: the same frames through a pipe as through a file."""

import errno
import io
import json
import subprocess
from dataclasses import replace

import av
import clips
import numpy as np
import pytest
from restoring import enlarged, y4m_of

from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.y4m_reader import PipeReader
from vsrdb_cli.video.writing.y4m_writer import PipeWriter, y4m_notices


def through(data, scale=4):
    """y4m in, enlarged y4m out."""
    out = io.BytesIO()
    with PipeReader(io.BytesIO(data)) as reader, PipeWriter(reader.info, scale, out) as writer:
        for frame in reader.frames():
            writer.write(Frame(enlarged(frame.rgb, scale), frame.pts, frame.duration))
        writer.commit()
        return out.getvalue()


def probed(data):
    command = ["ffprobe", "-v", "error", "-show_streams", "-count_frames", "-of", "json", "-"]
    output = subprocess.run(command, input=data, check=True, capture_output=True).stdout
    return json.loads(output)["streams"][0]


@pytest.mark.parametrize("pix_fmt, bits", [("yuv420p", 8), ("yuv420p10le", 10)])
def test_frames_from_a_pipe_are_the_files_and_ffmpeg_reads_what_is_sent(tmp_path, pix_fmt, bits):
    # 240 lines of untagged colours are BT.601, in the file as in the pipe, which has no tags.
    source = clips.make(
        tmp_path / "in.mp4", frames=5, matrix=6, tagged=False, pix_fmt=pix_fmt, rate=30
    )
    sent = through(y4m_of(source))
    stream = probed(sent)
    assert (stream["width"], stream["height"], stream["pix_fmt"]) == (640, 360, pix_fmt)
    assert (stream["r_frame_rate"], stream["nb_read_frames"]) == ("30/1", "5")
    assert stream["color_range"] == "tv"
    with av.open(io.BytesIO(sent)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [clips.number_in(image) for image in images] == list(range(5))
    with PipeReader(io.BytesIO(y4m_of(source))) as piped, open_source(source) as file:
        assert piped.info.bit_depth == (8 if bits == 8 else 16)
        for one, other in zip(piped.frames(), file.frames(), strict=True):
            np.testing.assert_array_equal(one.rgb.numpy(), other.rgb.numpy())


@pytest.mark.parametrize("data, says", [
    (b"", "stdin cannot be read as y4m"), (b"\x00" * 5000, "stdin cannot be read as y4m"),
    (b"YUV4MPEG2 W16 H16 F25:1 C420mpeg2\n", "stdin cannot be read as y4m"),
])  # fmt: skip
def test_what_is_no_y4m_is_refused_and_told_how_to_make_some(data, says):
    with pytest.raises(VideoError, match=says) as refused:
        PipeReader(io.BytesIO(data))
    assert "yuv4mpegpipe" in refused.value.hint


def test_an_interlaced_stream_is_refused(tmp_path):
    data = y4m_of(clips.make(tmp_path / "in.mp4", frames=2)).replace(b" Ip ", b" It ", 1)
    with pytest.raises(VideoError, match="interlaced"):
        PipeReader(io.BytesIO(data))


def test_a_stream_cut_off_gives_the_whole_frames_before_and_is_counted(tmp_path):
    data = y4m_of(clips.make(tmp_path / "in.mp4", frames=4))
    with PipeReader(io.BytesIO(data[:-500])) as reader:
        assert len(list(reader.frames())) == 3
        assert reader.report.damaged


def test_a_reader_that_goes_away_is_an_error():
    class Closed(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError

    data = b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420mpeg2\nFRAME\n" + b"\x80" * 384
    with PipeReader(io.BytesIO(data)) as reader:
        (frame,) = reader.frames()
        writer = PipeWriter(reader.info, 1, Closed())
        with pytest.raises(OutputError, match="closed"):
            writer.write(frame)


def test_what_y4m_cannot_say_is_said(tmp_path):
    source = clips.make(tmp_path / "in.mp4", audio=("aac",))
    with open_source(source) as reader:
        notices = list(y4m_notices(reader.info))
        assert any("BT.709" in notice for notice in notices)
        assert any("25 fps" in notice for notice in notices)
        assert any("audio" in notice for notice in notices)
        without = list(y4m_notices(replace(reader.info, streams=())))
        assert not any("dropped" in notice for notice in without)


def test_lines_of_frames_may_say_more_than_that_one_comes(tmp_path):
    data = y4m_of(clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32))
    with PipeReader(io.BytesIO(data.replace(b"\nFRAME\n", b"\nFRAME Ip\n"))) as reader:
        assert len(list(reader.frames())) == 3
        assert not reader.report.damage
    with PipeReader(io.BytesIO(data[:-1].replace(b"\nFRAME\n", b"\nFRAME Ip\n"))) as reader:
        assert len(list(reader.frames())) == 2
        assert reader.report.damage


def test_of_a_pipe_in_a_pipe_nothing_is_lost(tmp_path):
    data = y4m_of(clips.make(tmp_path / "in.mp4", frames=2, height=24, width=32))
    with PipeReader(io.BytesIO(data)) as reader:
        assert not list(y4m_notices(reader.info))


def test_a_stream_that_the_system_cannot_read_on_is_not_merely_cut_off(tmp_path):
    data = y4m_of(clips.make(tmp_path / "in.mp4", frames=5))

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > len(data) // 2:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with (
        pytest.raises(VideoError, match="cannot be read: Input/output error"),
        PipeReader(Failing(data)) as reader,
    ):
        list(reader.frames())
