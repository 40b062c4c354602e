"""What every sink promises, whatever it writes: a file, a segment, pictures, or a stream."""

import io
from fractions import Fraction

import av
import clips
import pytest
import torch
from restoring import enlarged
from sequences import load

from vsrdb_cli.errors import OutputError
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.pictures.formats import natural_order
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.output import resolve_output
from vsrdb_cli.video.writing.y4m_writer import PipeWriter

LOSSLESS = EncoderOptions(codec="ffv1")


class OneSink:
    """How a sink of one kind is opened for a source, and what it has written."""

    def __init__(self, folder):
        self.folder = folder / "out"
        self.folder.mkdir()

    def settled(self, name, info, options=None):
        return resolve_output(self.folder / name, info, 2, options)

    def left(self):
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


class File(OneSink):
    def open(self, info):
        return self.settled("a.mkv", info, LOSSLESS).open()

    def written(self, committed):
        return clips.read(committed)


class Segment(File):
    def open(self, info):
        output = self.settled("a.mkv", info, LOSSLESS)
        return output.open_segment(output.segment(self.folder, 3), 6)


class Pictures(OneSink):
    def open(self, info):
        return self.settled("pictures", info).open()

    def written(self, committed):
        images = [load(path) for path in sorted(committed.iterdir(), key=_order)]
        return clips.Read([clips.number_in(image) for image in images], [], images)


class SegmentOfPictures(Pictures):
    def open(self, info):
        output = self.settled("pictures", info)
        return output.open_segment(output.segment(self.folder, 3), 6)


class Stream(OneSink):
    def open(self, info):
        self.stream = io.BytesIO()
        return PipeWriter(info, 2, self.stream)

    def written(self, committed):
        with av.open(io.BytesIO(self.stream.getvalue())) as container:
            images = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        return clips.Read([clips.number_in(image) for image in images], [], images)


def _order(path):
    return natural_order(path.name)


FILES = [File, Segment]
FOLDERS = [Pictures, SegmentOfPictures]
EVERY = pytest.mark.parametrize("kind", [*FILES, *FOLDERS, Stream])
EVERY_ON_DISK = pytest.mark.parametrize("kind", [*FILES, *FOLDERS])


@pytest.fixture
def source(tmp_path):
    with open_source(clips.make(tmp_path / "in.mp4", frames=6, height=48, width=64)) as reader:
        yield reader


def write(sink, source, last=None):
    for frame in source.frames(0, last):
        sink.write(Frame(enlarged(frame.rgb, 2), frame.pts, frame.duration))


@EVERY
def test_the_frames_are_there_in_order_and_enlarged(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink:
        write(sink, source)
        written = case.written(sink.commit())
    assert written.numbers == list(range(6))
    assert {image.shape for image in written.images} == {(96, 128, 3)}
    assert sink.damage == ()


@pytest.mark.parametrize("kind", FILES)
def test_a_file_keeps_the_time_of_every_frame(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink:
        write(sink, source)
        written = case.written(sink.commit())
    assert written.times == [Fraction(i, 25) for i in range(6)]


@EVERY_ON_DISK
def test_nothing_has_the_outputs_name_before_it_is_whole(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink:
        write(sink, source, 4)
        names = {path.name for path in case.folder.iterdir() if not path.name.startswith(".")}
        assert names == set()
        write_rest(sink, source)
        assert sink.commit().exists()


def write_rest(sink, source):
    for frame in source.frames(4):
        sink.write(Frame(enlarged(frame.rgb, 2), frame.pts, frame.duration))


@EVERY_ON_DISK
@pytest.mark.parametrize("how", ["left", "an error", "aborted"])
def test_without_commit_nothing_is_left(tmp_path, source, kind, how):
    case = kind(tmp_path)
    try:
        with case.open(source.info) as sink:
            write(sink, source, 4)
            if how == "aborted":
                sink.abort()
            if how == "an error":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert case.left() == []


@EVERY_ON_DISK
def test_after_commit_nothing_takes_it_away(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink:
        write(sink, source)
        sink.commit()
        kept = case.left()
        sink.abort()
    assert case.left() == kept != []


@pytest.mark.parametrize("kind", [File])
def test_an_output_with_too_few_frames_is_kept_under_another_name(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink:
        write(sink, source, 4)
        with pytest.raises(OutputError):
            sink.commit(6)
    assert "a.mkv" not in case.left()


@EVERY
def test_a_frame_of_another_size_is_refused(tmp_path, source, kind):
    case = kind(tmp_path)
    with case.open(source.info) as sink, pytest.raises((AssertionError, ValueError, OutputError)):
        sink.write(Frame(torch.zeros(3, 90, 128, dtype=torch.uint8), 0, 1))
