"""Restored in segments is restored at once: the same frames before encoding, times and streams."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import clips
import long_jobs
import pytest
import torch
from long_jobs import OPTIONS

from vsrdb_cli.backends import load_runner
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import VideoError
from vsrdb_cli.jobs.events import SegmentFinished
from vsrdb_cli.jobs.plan import Plan, plan_segments
from vsrdb_cli.jobs.segments import ForwardSource, Job, restore_segments
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.pipeline.frames import restore_range, restorer_for
from vsrdb_cli.pipeline.repeats import with_context
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.trim import trim
from vsrdb_cli.video.writing.output import resolve_output

VARIABLE = tuple(3003 * i + (40000 if i > 12 else 0) + 7 * (i % 3) for i in range(26))


def job_of(info, options, folder, plan, kind=Job):
    output = resolve_output(folder / "out.mkv", info, options.scale, options.encoder)
    spec = RestoreSpec.of_output(options, output)
    return kind(info, output, spec, options.tile, plan, folder)


class Recorder:
    """A sink that keeps frames; a file stands for it so that the job can enter it."""

    damage = ()

    def __init__(self, path, kept):
        self.path, self.kept = path, kept

    def __enter__(self):
        return self

    def __exit__(self, *error): ...

    def write(self, frame):
        self.kept.append(frame)

    def commit(self, frames=None):
        self.path.touch()
        return self.path


@dataclass(frozen=True)
class RecordedJob(Job):
    """A job whose segments are recorded."""

    kept: list = field(default_factory=list)

    def open(self, segment):
        return Recorder(self.folder / "x", self.kept)


def in_segments(reader, options, folder):
    """The frames of a job as its segments' writers get them, with the plan."""
    runner = load_runner(options.weights, precision="float32")
    plan = plan_segments(
        reader, segment_seconds=options.segment_seconds, scene_cuts=options.scene_cuts,
        reach=runner.length // 2,
    )  # fmt: skip
    job, events = job_of(reader.info, options, folder, plan, RecordedJob), []
    restore_segments(job, plan.segments, reader, runner, events.append)
    done = [event.segment for event in events if isinstance(event, SegmentFinished)]
    assert done == list(plan.segments)
    return job.kept, plan


def at_once(reader, options):
    runner = load_runner(options.weights, precision="float32")
    info = reader.info
    spec = RestoreSpec.of(options, (info.height, info.width), info.bit_depth)
    restorer = restorer_for(runner, spec, options.tile)
    return list(restore_range(reader, restorer, spec.bit_depth))


@pytest.mark.parametrize("length", [3, 5])
@pytest.mark.parametrize("pts, cuts", [
    (None, ()),  # bounds at 10 and 20
    (None, (4, 9, 18, 19)),  # at 9, a cut; cuts just before and after a bound; a shot of one frame
    (None, (15, 24, 25)),  # a last segment of few frames, all of one shot
    (VARIABLE, (13,)),
])  # fmt: skip
@pytest.mark.slow
def test_the_frames_before_encoding_are_those_of_an_unbroken_run(
    tmp_path, monkeypatch, tiny, tiny_of_5, pts, cuts, length
):
    source = long_jobs.make_shots(
        tmp_path / "in.mp4", monkeypatch, frames=26, pts=pts, last_duration=9000, cuts=cuts
    )
    options = replace(OPTIONS, weights=tiny if length == 3 else tiny_of_5, tile=None)
    with open_source(source) as reader:
        divided, plan = in_segments(reader, options, tmp_path)
        whole = at_once(reader, options)
    assert len(plan.segments) >= 3
    assert len(divided) == len(whole) == 26
    for one, other in zip(divided, whole, strict=True):
        assert (one.pts, one.duration) == (other.pts, other.duration)
        assert torch.equal(one.rgb, other.rgb)


HELD = {
    "every picture twice": tuple(i // 2 for i in range(26)),
    "24 in 30": tuple(i * 4 // 5 for i in range(26)),
    "a slide longer than a segment": (0, 1, *[2] * 15, 3, *[4] * 6, 5, 6),
    "held across the bounds": (*range(7), *[7] * 6, *range(8, 13), *[13] * 4, *range(14, 18)),
}  # fmt: skip


@pytest.mark.parametrize(
    "length", [3, pytest.param(5, marks=pytest.mark.slow)], ids="{} frames a window".format
)
@pytest.mark.parametrize("shows", HELD.values(), ids=HELD)
@pytest.mark.cases
def test_repeated_frames_are_those_of_an_unbroken_run(tmp_path, tiny, tiny_of_5, shows, length):
    source = clips.make(
        tmp_path / "in.mkv", frames=26, height=24, width=32, codec="ffv1", options={}, shows=shows
    )
    options = replace(OPTIONS, weights=tiny if length == 3 else tiny_of_5, tile=None)
    with open_source(source) as reader:
        divided, plan = in_segments(reader, options, tmp_path)
        whole = at_once(reader, options)
        for start, end in [(0, 4), (3, 9), (12, 18), (9, 26)]:
            with trim(open_source(source), start=start, end=end) as part:
                of_part = at_once(part, options)
            assert len(of_part) == end - start
            for one, other in zip(of_part, whole[start:end], strict=True):
                assert torch.equal(one.rgb, other.rgb)
            with trim(open_source(source), start=start, end=end) as part:
                of_part, _ = in_segments(part, replace(options, segment_seconds=0.1), tmp_path)
            for one, other in zip(of_part, whole[start:end], strict=True):
                assert torch.equal(one.rgb, other.rgb)
    assert len(plan.segments) >= 2
    assert len(divided) == len(whole) == 26
    for one, other in zip(divided, whole, strict=True):
        assert (one.pts, one.duration) == (other.pts, other.duration)
        assert torch.equal(one.rgb, other.rgb)
    changes = {i for i in range(26) if i == 0 or shows[i] != shows[i - 1]}
    assert set(plan.bounds[:-1]) <= changes
    assert sum(plan.repeats) == 26 - len(changes)
    told = [one.rgb is other.rgb for one, other in pairwise(whole)]
    assert told == [shows[i] == shows[i + 1] for i in range(25)]


@pytest.mark.slow
def test_without_the_frames_outside_its_range_a_segment_would_differ(tmp_path, monkeypatch, tiny):
    source = clips.make(tmp_path / "in.mp4", frames=21, height=24, width=32)
    options = replace(OPTIONS, weights=tiny, tile=None, scene_cuts=False)
    with open_source(source) as reader:
        whole = at_once(reader, options)

        def without(source, reach, first, last, *, margin):
            frames = with_context(source, reach, first, last, margin=margin)
            return ((index, frame) for index, frame in frames if index < last)

        monkeypatch.setattr("vsrdb_cli.pipeline.frames.with_context", without)
        divided, _ = in_segments(reader, options, tmp_path)
    differing = [i for i in range(21) if not torch.equal(divided[i].rgb, whole[i].rgb)]
    assert differing == [9, 19]


@pytest.mark.slow
def test_a_last_segment_of_one_frame_is_right(tmp_path, tiny):
    source = clips.make(tmp_path / "in.mp4", frames=21, height=24, width=32)
    options = replace(OPTIONS, weights=tiny, tile=None, scene_cuts=False)
    with open_source(source) as reader:
        divided, plan = in_segments(reader, options, tmp_path)
        whole = at_once(reader, options)
    assert plan.bounds == (0, 10, 20, 21)
    assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(divided, whole, strict=True))


@pytest.mark.parametrize("pts", [None, VARIABLE])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.slow
def test_the_joined_file_has_the_unbroken_files_count_times_and_streams(tmp_path, pts, suffix):
    source = clips.make(
        tmp_path / "in.mp4", frames=26, height=24, width=32, pts=pts, last_duration=45000,
        audio=("aac", "aac"), audio_seconds=1,
    )  # fmt: skip
    whole, joined = tmp_path / f"whole{suffix}", tmp_path / f"joined{suffix}"
    restore_video(source, whole, replace(OPTIONS, segment_seconds=60))
    report = restore_video(source, joined, OPTIONS)
    assert report.frames == 26
    assert long_jobs.streams_and_times(joined) == long_jobs.streams_and_times(whole)
    assert clips.read(joined).numbers == list(range(26))
    assert not (tmp_path / f"joined{suffix}.vsrdb").exists()


@pytest.mark.slow
def test_encoded_without_loss_the_two_files_show_the_same(tmp_path, tiny):
    source = clips.make(tmp_path / "in.mp4", frames=21, height=24, width=32)
    options = replace(OPTIONS, weights=tiny, encoder=EncoderOptions(codec="ffv1"))
    restore_video(source, tmp_path / "whole.mkv", replace(options, segment_seconds=60))
    restore_video(source, tmp_path / "joined.mkv", options)
    assert long_jobs.pixels(tmp_path / "joined.mkv") == long_jobs.pixels(tmp_path / "whole.mkv")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.cases
def test_pictures_in_segments_are_pictures_at_once(tmp_path, named):
    source = clips.make(tmp_path / "in.mp4", frames=23, height=24, width=32)
    if named:
        restore_video(source, tmp_path / "shots", replace(OPTIONS, segment_seconds=60, scale=1))
        source = tmp_path / "shots"
        for file in source.iterdir():
            file.rename(file.with_name(file.name.replace("frame", "shot")))
    restore_video(source, tmp_path / "whole", replace(OPTIONS, segment_seconds=60))
    restore_video(source, tmp_path / "parts", OPTIONS)
    whole = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir()}
    parts = {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()}
    assert parts == whole
    assert len(parts) == 23


class Counted:
    """A source that tells how often it was decoded from the beginning."""

    def __init__(self, source):
        self.source, self.passes, self.info, self.report = source, 0, source.info, source.report

    def frames(self, first=0, last=None):
        self.passes += 1
        return self.source.frames(first, last)


def test_a_source_read_forward_is_decoded_once_for_all_ranges(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=20)
    with open_source(source) as reader:
        counted = Counted(reader)
        forward = ForwardSource(counted, overlap=2)
        for first, last in [(0, 6), (4, 11), (9, 12), (15, 18), (16, None)]:
            end = 20 if last is None else last
            wanted = [(f.pts, f.duration) for f in reader.frames(first, last)]
            assert [(f.pts, f.duration) for f in forward.frames(first, last)] == wanted
            assert len(wanted) == end - first
        assert counted.passes == 1
        assert len(list(forward.frames(3, 5))) == 2  # backward: begun again
        assert counted.passes == 2


def test_a_source_that_lost_frames_since_it_was_planned_is_an_error(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=15, height=24, width=32)
    plan = Plan((0, 10, 20), frozenset({0}), (0, 0), 1)
    with open_source(source) as reader, pytest.raises(VideoError, match="15 frames, but had 20"):
        job = job_of(reader.info, replace(OPTIONS, tile=None), tmp_path, plan)
        restore_segments(job, plan.segments, reader, load_runner("nearest"), ignore)
