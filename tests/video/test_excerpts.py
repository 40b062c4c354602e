"""A stretch of a source that was sent gives the frames that the source itself would give."""

import pickle

import clips
import pytest
import torch

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.reading.excerpt import excerpts_of
from vsrdb_cli.video.reading.open import open_requested

STRETCHES = [(0, 5), (7, 23), (29, 42), (40, 48), (3, 9)]  # the last one goes back


def told(frames):
    return [(frame.pts, frame.duration, frame.rgb) for frame in frames]


def assert_same(ours, theirs):
    assert [frame[:2] for frame in ours] == [frame[:2] for frame in theirs]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(ours, theirs, strict=True))


def sent(excerpts, first, last, folder):
    """The frames as a machine without the source reads them."""
    excerpt = pickle.loads(pickle.dumps(excerpts.excerpt(first, last)))
    folder.mkdir(exist_ok=True)
    with excerpt.open(folder) as reader:
        return told(reader.frames(first, last))


@pytest.mark.parametrize(
    "name, codec, settings",
    [
        ("in.mp4", "libx264", {"g": "12", "bf": "3"}),
        ("open_gop.mkv", "libx264", {"g": "10", "bf": "3", "x264-params": "open-gop=1"}),
        ("in.ts", "libx264", {"g": "12"}),
        ("in.webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
        ("in.mkv", "ffv1", {}),
    ],
)
@pytest.mark.parametrize("start", [None, 6])
@pytest.mark.cases
def test_frames_are_those_of_the_source(tmp_path, name, codec, settings, start):
    source = clips.make(tmp_path / name, frames=48, codec=codec, options=settings)
    options = RestoreOptions(start=start and f"{start}f")
    last = 48 - (start or 0)
    with open_requested(source, options) as reader:
        excerpts = excerpts_of(reader)
        for first, end in STRETCHES:
            here = told(reader.frames(first, min(end, last)))
            assert_same(sent(excerpts, first, min(end, last), tmp_path / "node"), here)


def test_it_holds_the_lead_in_and_not_the_whole_film(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=96, options={"g": "8"})
    with open_requested(source, RestoreOptions()) as reader:
        excerpt = excerpts_of(reader).excerpt(40, 48)
    assert 8 < len(excerpt.packets) <= 8 + 2 * 8 + 4  # reordered ones are further on in the file


def test_a_frame_that_is_missing_is_no_other_frame(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=20, codec="ffv1", options={"g": "1"})
    with open_requested(source, RestoreOptions()) as reader:
        excerpt = excerpts_of(reader).excerpt(5, 15)
    packets = excerpt.packets[:6] + excerpt.packets[7:]
    object.__setattr__(excerpt, "packets", packets)
    with pytest.raises(VideoError, match="cannot be decoded in parts"):
        list(excerpt.open(tmp_path).frames(5, 15))


def test_pictures_are_sent_by_themselves(tmp_path):
    from vsrdb_cli.restore import restore_video

    source = clips.make(tmp_path / "in.mp4", frames=9)
    plain = RestoreOptions(weights="nearest", scale=1)
    restore_video(source, tmp_path / "pictures", plain)
    with open_requested(tmp_path / "pictures", RestoreOptions()) as reader:
        excerpts = excerpts_of(reader)
        assert_same(sent(excerpts, 3, 6, tmp_path / "node"), told(reader.frames(3, 6)))
    assert len(list((tmp_path / "node").iterdir())) == 3


def test_what_cannot_be_told_by_its_packets_is_refused_with_a_way_out(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=12, codec="ffv1", field_order=2)
    refused = pytest.raises(VideoError, match="cannot be sent in parts")
    with open_requested(source, RestoreOptions()) as reader, refused as error:
        excerpts_of(reader)
    assert "all nodes can read" in error.value.hint
