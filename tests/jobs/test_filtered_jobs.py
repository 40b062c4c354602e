"""Filtered videos in segments: the same as in one piece, whoever restores them, and resumed."""

import json
from dataclasses import replace

import clips
import pytest
import torch
from long_jobs import OPTIONS, StoppedError, Watch, pixels

from vsrdb_cli.backends import load_runner
from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.jobs.plan import Plan
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.jobs.segments import Job, restore_segments
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.excerpt import excerpts_of
from vsrdb_cli.video.reading.open import open_requested
from vsrdb_cli.video.writing.frame_converter import Postfilters
from vsrdb_cli.video.writing.output import resolve_output

LOSSLESS = EncoderOptions(codec="ffv1")
# Of one picture each, of changing noise, and of several pictures.
GRAPHS = (
    *("nlmeans=s=4:p=3:r=5", "deblock", "crop=24:16", "noise=alls=20:allf=t"),
    *("atadenoise", "tmix=frames=5,crop=24:16"),
)


@pytest.fixture
def source(tmp_path):
    """60 frames, six segments."""
    return clips.make(tmp_path / "in.mp4", frames=60, height=24, width=32)


def options_of(**changes):
    return replace(OPTIONS, encoder=LOSSLESS, **changes)


def restored(source, target, **changes):
    return restore_video(source, target, options_of(**changes)), pixels(target)


@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.slow
def test_segments_are_equal_to_the_whole(tmp_path, source, option, graph):
    whole = restored(source, tmp_path / "a.mkv", segment_seconds=60, **{option: graph})
    parts = restored(source, tmp_path / "b.mkv", **{option: graph})
    assert whole[1] == parts[1]
    report = parts[0]
    assert (report.frames, getattr(report, option)) == (60, graph)
    assert (report.height_hr, report.width_hr) == (whole[0].height_hr, whole[0].width_hr)
    assert pixels(tmp_path / "b.mkv") != pixels(source)


@pytest.mark.slow
def test_grain_is_the_same_in_segments(tmp_path, source):
    whole = restored(source, tmp_path / "a.mkv", segment_seconds=60, grain=4)
    parts = restored(source, tmp_path / "b.mkv", grain=4)
    assert whole[1] == parts[1] != restored(source, tmp_path / "c.mkv")[1]
    assert parts[0].grain == 4


@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
@pytest.mark.parametrize("graph", ["noise=alls=20:allf=t", "tmix=frames=5"])
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_frames(tmp_path, source, option, graph):
    target = tmp_path / "b.mkv"
    options = options_of(**{option: graph})
    with pytest.raises(StoppedError):
        Watch(stop_after=33).restore(source, target, options)
    report = restore_video(source, target, options)
    assert report.resumed >= 20
    assert pixels(target) == restored(source, tmp_path / "a.mkv", segment_seconds=60,
                                      **{option: graph})[1]  # fmt: skip


@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
@pytest.mark.cases
def test_another_graph_is_another_job(tmp_path, source, option):
    target = tmp_path / "out.mkv"
    with pytest.raises(StoppedError):
        Watch(stop_after=15).restore(source, target, options_of(**{option: "hflip"}))
    journal = json.loads((work_folder(target) / "journal.json").read_text())
    assert journal["bound"][option] == '"hflip"'
    with pytest.raises(OutputError, match=f'{option} was "hflip", is "vflip"'):
        restore_video(source, target, options_of(**{option: "vflip"}))


@pytest.mark.parametrize("option, graph", [
    ("prefilter", "tmix=frames=5"), ("postfilter", "tmix=frames=5"), ("grain", 3.0),
])  # fmt: skip
@pytest.mark.slow
def test_a_segment_from_an_excerpt_is_that_of_the_whole(tmp_path, source, option, graph):
    """As a node of a cluster restores it, which has nothing but its packets."""
    options = options_of(**{option: graph})
    runner = load_runner("bicubic")
    with open_requested(source, options) as reader:
        output = resolve_output(
            tmp_path / "out.mkv", reader.info, 4, LOSSLESS,
            postfilters=Postfilters(options.postfilter, options.grain),
        )  # fmt: skip
        plan = Plan(tuple(range(0, 61, 10)), frozenset(), (0,) * 6, margin=1)
        spec = RestoreSpec.of_output(options, output)
        job = Job(reader.info, output, spec, None, plan, tmp_path)
        segment = plan.segments[3]
        restore_segments(job, plan.segments[:4], reader, runner, lambda _: None)
        whole = pixels(job.path(segment))
        around = 1 + reader.info.lead_in
        wide = job.widened(segment)
        excerpt = excerpts_of(reader).excerpt(wide.first - around, wide.last + around)
        alone = replace(job, folder=tmp_path / "alone")
        alone.folder.mkdir()
        with excerpt.open(alone.folder) as sent:
            restore_segments(alone, [segment], sent, runner, lambda _: None)
    assert pixels(alone.path(segment)) == whole


@pytest.mark.slow
@pytest.mark.parametrize("option", ["prefilter", "postfilter"])
def test_several_processes_make_the_same_frames(tmp_path, source, option):
    changes = {option: "tmix=frames=5,crop=24:16"}
    one = restored(source, tmp_path / "a.mkv", **changes)
    two = restored(source, tmp_path / "b.mkv", devices=("cpu", "cpu"), **changes)
    assert one[1] == two[1]


@pytest.mark.slow
def test_one_that_remembers_all_differs_only_where_a_run_went_on(tmp_path, source):
    graph = "lagfun=decay=0.8"
    target = tmp_path / "b.mkv"
    whole = restored(source, tmp_path / "a.mkv", segment_seconds=60, prefilter=graph)[1]
    assert restored(source, tmp_path / "c.mkv", prefilter=graph)[1] == whole
    with pytest.raises(StoppedError):
        Watch(stop_after=55).restore(source, target, options_of(prefilter=graph))
    restore_video(source, target, options_of(prefilter=graph))
    furthest = max(
        int((_codes(one) - _codes(other)).abs().max())
        for one, other in zip(whole, pixels(target), strict=True)
    )
    assert furthest <= 2


def _codes(planes):
    return torch.frombuffer(bytearray(b"".join(planes)), dtype=torch.uint8).int()


@pytest.mark.slow
def test_a_filter_that_loses_frames_ends_the_run_and_leaves_no_output(tmp_path, source):
    target = tmp_path / "out.mkv"
    for seconds in (60, 0.4):
        for option in ("prefilter", "postfilter"):
            changes = {option: "select='lt(t,1)'", "segment_seconds": seconds, "restart": True}
            with pytest.raises(VideoError, match=f"--{option}: select does not give one frame"):
                restored(source, target, **changes)
            assert not target.exists()


@pytest.mark.slow
def test_the_notices_show_the_graphs(tmp_path, source):
    watch = Watch()
    report = watch.restore(
        source, tmp_path / "out.mkv", options_of(prefilter="hflip", postfilter="vflip", grain=2)
    )
    assert "before the network (--prefilter): hflip" in report.notices
    assert "before the encoder (--postfilter): vflip" in report.notices


def test_tiles_and_memory_are_those_of_the_filtered_size(tmp_path, source):
    with open_requested(source, RestoreOptions(prefilter="scale=320:240")) as reader:
        output = resolve_output(tmp_path / "out.mkv", reader.info, 4)
        assert RestoreSpec.of_output(OPTIONS, output).size == (240, 320)
