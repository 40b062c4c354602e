"""`vsrdb restore --dry-run` estimates what a run then takes and does, and writes nothing."""

import json
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import clips
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.cli import main
from vsrdb_cli.commands.dry_run import describe
from vsrdb_cli.dry_run import network_time
from vsrdb_cli.dry_run.encoding_trial import try_encoding
from vsrdb_cli.dry_run.estimate import estimate_run, free_disk_bytes
from vsrdb_cli.errors import BackendError, OptionError, OutputError, VsrdbError
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.journal import Journal
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline import memory
from vsrdb_cli.pipeline.frames import restore_beginning, restore_range
from vsrdb_cli.pipeline.memory import SHARE
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import TiledRunner, Tiling
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.info import PIPE
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.output import FileOutput, resolve_output

NEAREST = RestoreOptions(weights="nearest")
PARTS = replace(NEAREST, segment_seconds=0.4)  # of 25 frames a second: 10


def vsrdb(*arguments):
    command = ["restore", "--weights", "nearest", "--dry-run", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def parsed(done):
    return json.loads(done.stdout)


@pytest.fixture
def source(tmp_path):
    """26 frames, three segments of `PARTS`, with a sound track."""
    return clips.make(tmp_path / "in.mp4", frames=26, audio=("aac",), audio_seconds=1)


def names(folder):
    return sorted(file.name for file in folder.rglob("*"))


@pytest.mark.slow
def test_it_reports_input_network_and_output_and_writes_nothing(tmp_path, source):
    before = names(tmp_path)
    done = vsrdb(source, tmp_path / "out.mp4", "--codec", "hevc", "--crf", "30")
    assert done.exit_code == 0
    assert names(tmp_path) == before
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert lines["input"].startswith("160x90, 25 fps, 26 frames, 1.04 s, h264 yuv420p BT.709, mov,")
    assert "out.mp4: 640x360, libx265 yuv420p" in lines["output"]
    assert "crf 30" in lines["output"]
    assert lines["network"] == "nearest · torch cpu float32, whole pictures"
    assert lines["memory"].endswith("available")
    assert lines["time"].startswith("about ")
    assert lines["size"].startswith("about ")
    assert lines["copied"] == "audio #1 aac"
    assert "dropped" not in lines


def test_the_json_has_the_same_in_numbers(tmp_path, source):
    values = parsed(vsrdb(source, tmp_path / "out.mp4", "--json"))
    (item,) = values["inputs"]
    assert item["status"] == "estimated"
    assert (item["frames"], item["width_hr"], item["height_hr"]) == (26, 640, 360)
    assert item["network_bytes"] > 90 * 160 * 3 * 4
    assert item["free_bytes"] > item["network_bytes"] + item["other_bytes"]
    assert values["seconds"] == item["seconds"] > 26 * item["seconds_per_frame"] * 0.99
    assert values["output_bytes"] == item["output_bytes"]
    assert item["copied"] == ["audio #1 aac"]


@pytest.mark.parametrize("frames, codec", [(8, "h264"), (80, "h264"), (80, "ffv1")])
@pytest.mark.slow
def test_the_estimated_size_is_close_to_what_the_run_writes(tmp_path, frames, codec):
    source = clips.make(
        tmp_path / "in.mkv", frames=frames, audio=("flac",), audio_seconds=frames / 25
    )
    options = replace(NEAREST, encoder=EncoderOptions(codec=codec))
    estimate = estimate_run(source, tmp_path / "out.mkv", options)
    restore_video(source, tmp_path / "out.mkv", options)
    written = (tmp_path / "out.mkv").stat().st_size
    assert estimate.output_bytes == pytest.approx(written, rel=0.3)


@pytest.mark.slow
def test_the_size_of_pictures_is_estimated_too(tmp_path, source):
    estimate = estimate_run(source, tmp_path / "pictures", NEAREST)
    restore_video(source, tmp_path / "pictures", NEAREST)
    written = sum(file.stat().st_size for file in (tmp_path / "pictures").iterdir())
    assert estimate.output_bytes == pytest.approx(written, rel=0.1)
    assert estimate.encoder == "png"
    assert estimate.dropped == ("audio #1 aac",)


@pytest.mark.slow
def test_a_busier_rest_is_seen_in_the_sources_own_packets(tmp_path):
    options = {"crf": "8", "bf": "0", "g": "1000", "sc_threshold": "0"}
    source = clips.make(tmp_path / "in.mp4", frames=90, still=30, options=options)
    estimate = estimate_run(source, tmp_path / "out.mp4", NEAREST)
    start = estimate_run(source, tmp_path / "out.mp4", replace(NEAREST, end="30f"))
    restore_video(source, tmp_path / "out.mp4", NEAREST)
    written = (tmp_path / "out.mp4").stat().st_size
    assert estimate.output_bytes > 2 * start.output_bytes
    assert written / 3 < estimate.output_bytes < 3 * written


@pytest.mark.slow
def test_what_happens_to_streams_is_reported(tmp_path, source):
    item = parsed(vsrdb(source, tmp_path / "out.webm", "--json"))["inputs"][0]
    assert (item["converted"], item["dropped"]) == (["audio #1 aac"], [])
    assert any("a .mp4 or .mkv output keeps it" in notice for notice in item["notices"])
    strict = vsrdb(source, tmp_path / "out.webm", "--strict")
    assert strict.exit_code == 1
    assert "the output cannot keep everything" in strict.stderr


@pytest.mark.slow
def test_the_tiles_are_those_of_the_run(tmp_path, monkeypatch):
    source = clips.make(tmp_path / "in.mp4", frames=3, height=180, width=320)
    whole = BuiltinRunner("nearest").memory(180, 320).total(3)
    free = (RestoreSpec((180, 320), bit_depth=8).pipeline_bytes + whole) / SHARE
    monkeypatch.setattr(memory, "available_bytes", lambda device: free - 1)
    estimate = estimate_run(source, tmp_path / "out.mp4", NEAREST)
    assert 64 <= estimate.tile < 320
    assert restore_video(source, tmp_path / "out.mp4", NEAREST).tile == estimate.tile


class Slow(BuiltinRunner):
    """Remembers the sizes it was given."""

    def __init__(self):
        super().__init__("nearest")
        self.sizes = []

    def restore(self, window):
        self.sizes.append(tuple(window[0].shape[2:]))
        return super().restore(window)


@pytest.mark.parametrize("longest, whole", [(1e9, True), (0.0, False)])
@pytest.mark.slow
def test_of_large_pictures_a_part_is_restored_if_whole_ones_take_long(tmp_path, longest, whole):
    source = clips.make(tmp_path / "in.mp4", frames=4, height=360, width=640)
    runner = Slow()
    executor = LocalExecutor(NEAREST, runner)
    estimate = estimate_run(
        source, tmp_path / "out.mp4", NEAREST, executor=executor, quick_seconds=longest
    )
    assert ((360, 640) in runner.sizes) == whole
    assert any("from a part of a picture" in notice for notice in estimate.notices) != whole
    assert estimate.seconds_per_frame > 0
    assert estimate.output_bytes > 0


@pytest.mark.slow
def test_what_loading_the_network_took_is_a_note_of_the_first_estimate(tmp_path, source):
    def load(weights, *, loaded, on_notice, **_):
        if loaded is None:
            on_notice("exported it, which took 26 s")
        return loaded or BuiltinRunner("nearest")

    executor = LocalExecutor(NEAREST, load=load)
    estimates = [
        estimate_run(source, tmp_path / name, NEAREST, executor=executor)
        for name in ("one.mp4", "two.mp4")
    ]
    assert ["exported it, which took 26 s" in e.notices for e in estimates] == [True, False]


def test_the_time_of_a_part_counts_tiles_and_repeated_features():
    area = network_time.PART[0] * network_time.PART[1]

    def seconds(runner):
        ticks = iter(range(100))
        return network_time.frame_seconds(runner, (360, 640), clock=lambda: next(ticks))

    assert seconds(Slow()) == pytest.approx(2 * 360 * 640 / area)
    tiling = Tiling.of(360, 640, 128)
    pixels = tiling.count * tiling.tile_size[0] * tiling.tile_size[1]
    assert seconds(TiledRunner(Slow(), tiling)) == pytest.approx(2 * pixels / area)
    again = seconds(TiledRunner(Slow(), tiling, hold=False))
    assert again == pytest.approx(4 * pixels / area)


@pytest.mark.slow
def test_the_share_of_repeated_frames_is_told_and_only_others_take_time(tmp_path):
    shows = tuple(number // 4 for number in range(40))
    options = {"codec": "ffv1", "options": {}, "frames": 40, "height": 24, "width": 32}
    held = clips.make(tmp_path / "held.mkv", shows=shows, **options)
    moving = clips.make(tmp_path / "moving.mkv", **options)
    estimate = estimate_run(held, tmp_path / "out.mkv", NEAREST)
    assert estimate.repeated == pytest.approx(0.75)
    assert estimate_run(moving, tmp_path / "out.mkv", NEAREST).repeated == 0
    done = vsrdb(held, tmp_path / "out.mkv")
    assert "repeats    75% of the frames examined, about 30 frames" in done.stdout


@pytest.mark.slow
def test_of_a_picture_shown_for_hours_a_dry_run_looks_at_few_frames(tmp_path):
    shows = (0,) * 400
    source = clips.make(
        tmp_path / "in.mkv", frames=400, height=24, width=32, codec="ffv1", options={}, shows=shows
    )
    with open_source(source) as reader:
        frames = list(restore_beginning(reader, Restorer(Slow(), tile=None), 8, 24))
    assert len(frames) == 24
    assert reader.report.frames == 24
    assert estimate_run(source, tmp_path / "out.mkv", NEAREST).repeated > 0.9


def test_few_pictures_are_encoded_if_they_take_long(tmp_path, source, monkeypatch):
    counts = []
    open_segment = FileOutput.open_segment

    @contextmanager
    def counting(output, path, frames):
        with open_segment(output, path, frames) as sink:
            counts.append(0)
            yield SimpleNamespace(write=partial(write, sink), commit=sink.commit)

    def write(sink, frame):
        counts[-1] += 1
        sink.write(frame)

    monkeypatch.setattr(FileOutput, "open_segment", counting)
    with open_source(source) as reader:
        output = resolve_output(tmp_path / "out.mp4", reader.info, 4)
        restored = list(restore_range(reader, Restorer(Slow(), scale=4, tile=None), 8, last=2))
        trial = try_encoding(output, reader, restored, segment_seconds=10, seconds=-1)
    assert trial.size > 0
    assert max(counts) == 3


@pytest.mark.slow
def test_too_little_memory_or_disk_is_reported(tmp_path, source):
    estimate = estimate_run(source, tmp_path / "out.mp4", replace(NEAREST, tile=None))

    def warnings(estimate):
        return [text for name, text in describe(estimate) if name == "warning"]

    assert warnings(estimate) == []
    (load,) = estimate.loads
    (line,) = warnings(replace(estimate, loads=(replace(load, free_bytes=1 << 20),)))
    assert line.startswith("not enough memory")
    (line,) = warnings(replace(estimate, free_disk_bytes=1000))
    assert line.startswith("the disk will fill up")


@pytest.mark.slow
def test_what_an_earlier_run_finished_is_not_counted_again(tmp_path, source):
    target = tmp_path / "out.mp4"
    fresh = estimate_run(source, target, PARTS)

    def stop(progress):
        if progress.phase == "restore" and progress.frames == 23:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        restore_video(source, target, PARTS, on_progress=stop)
    before = names(work_folder(target))
    again = estimate_run(source, target, PARTS)
    assert (fresh.finished, again.finished) == (0, 20)
    assert again.seconds == pytest.approx(again.load_seconds + 6 * again.seconds_per_frame)
    assert names(work_folder(target)) == before
    assert estimate_run(source, target, replace(PARTS, restart=True)).finished == 0
    with pytest.raises(OutputError, match="scale was 4, is 2"):
        estimate_run(source, target, replace(PARTS, scale=2))
    with Journal(work_folder(target)), pytest.raises(OutputError, match="another vsrdb"):
        estimate_run(source, target, PARTS)


@pytest.mark.parametrize("options", [
    replace(NEAREST, weights="no-such"),
    replace(NEAREST, encoder=EncoderOptions(codec="ffv1")), replace(NEAREST, backend="tensorrt"),
])  # fmt: skip
def test_what_the_run_would_refuse_is_refused(tmp_path, source, options):
    with pytest.raises(VsrdbError) as estimated:
        estimate_run(source, tmp_path / "out.mp4", options)
    with pytest.raises(VsrdbError) as ran:
        restore_video(source, tmp_path / "out.mp4", options)
    assert str(estimated.value) == str(ran.value)
    assert names(tmp_path) == ["in.mp4"]


@pytest.mark.slow
def test_an_output_that_is_there_is_noted_and_a_missing_folder_refused(tmp_path, source):
    (tmp_path / "out.mp4").touch()
    there = vsrdb(source, tmp_path / "out.mp4")
    assert there.exit_code == 0
    assert "exists already: the run needs --overwrite" in there.stdout
    assert vsrdb(source, tmp_path / "out.mp4", "--overwrite").exit_code == 0
    missing = vsrdb(source, tmp_path / "none" / "out.mp4")
    assert missing.exit_code == 1
    assert "does not exist" in missing.stderr


@pytest.mark.slow
def test_many_inputs_are_reported_one_by_one_and_in_all(tmp_path, source):
    folder = tmp_path / "videos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4", "there.mp4"):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "bad.mp4").write_text("no video")
    out = tmp_path / "out"
    out.mkdir()
    (out / "there.mp4").touch()
    arguments = (folder, out, "--recursive", "--skip-existing")
    done = vsrdb(*arguments, "--json")
    assert done.exit_code == 1
    assert names(out) == ["there.mp4"]
    items = {item["source"].removeprefix(f"{folder}/"): item for item in parsed(done)["inputs"]}
    assert {name: item["status"] for name, item in items.items()} == {
        "a.mp4": "estimated", "deep/b.mp4": "estimated", "there.mp4": "skipped", "bad.mp4": "failed"
    }  # fmt: skip
    sizes = [items[name]["output_bytes"] for name in ("a.mp4", "deep/b.mp4")]
    assert parsed(done)["output_bytes"] == sum(sizes)
    assert "cannot be read as a video" in items["bad.mp4"]["error"]
    assert items["bad.mp4"]["hint"]
    text = vsrdb(*arguments).stdout
    assert text.count("  network ") == 2
    assert "  skipped    " in text
    assert "about" in text.splitlines()[-1]


@pytest.mark.slow
def test_the_processes_of_several_devices_are_reported(tmp_path, source):
    estimate = estimate_run(source, tmp_path / "out.mp4", replace(NEAREST, devices=("cpu", "cpu")))
    assert [load.processes for load in estimate.loads] == [2]
    assert estimate.in_segments
    done = vsrdb(source, tmp_path / "out.mp4", "--devices", "cpu,cpu")
    assert "2 processes, each" in done.stdout


def test_a_picture_is_estimated_on_one_device_of_several(tmp_path):
    Image.fromarray(clips.picture(0)).save(tmp_path / "in.png")
    options = replace(NEAREST, devices=("cpu", "cpu"))
    estimate = estimate_run(tmp_path / "in.png", tmp_path / "out.png", options)
    assert [load.processes for load in estimate.loads] == [1]
    assert not estimate.in_segments


def test_what_cannot_be_tried_is_refused(tmp_path, source):
    done = vsrdb("-", tmp_path / "out.mp4")
    assert done.exit_code == 2
    assert "can be read only once" in done.stderr
    with pytest.raises(OptionError):
        estimate_run(PIPE, tmp_path / "out.mp4", NEAREST)
    assert vsrdb(source, tmp_path / "o.mp4", "--report", tmp_path / "r.json").exit_code == 2
    command = ["restore", str(source), str(tmp_path / "o.mp4"), "--json"]
    assert CliRunner().invoke(main, command).exit_code == 2


def test_a_stream_on_stdout_has_no_size_and_nothing_is_sent(source):
    done = vsrdb(source, "-", "--json")
    (item,) = parsed(done)["inputs"]
    assert (item["encoder"], item["output_bytes"]) == ("y4m", None)


@pytest.mark.slow
def test_the_tiles_are_reported_if_a_part_is_restored_too(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=4, height=360, width=640)
    tiles = replace(NEAREST, tile=256)
    estimate = estimate_run(source, tmp_path / "out.mp4", tiles, quick_seconds=0)
    assert any("from a part of a picture" in notice for notice in estimate.notices)
    assert estimate.tile == 256


def test_free_space_is_that_of_the_outputs_disk_before_its_folder_exists(tmp_path):
    asked = []

    def disk_usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=7)

    assert free_disk_bytes(tmp_path / "not" / "there" / "out.mp4", disk_usage) == 7
    assert asked == [tmp_path]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_every_device_is_looked_for_before_anything_is_tried(tmp_path, source):
    options = replace(NEAREST, devices=("cpu", "cuda:0"))
    with pytest.raises(BackendError, match="finds no NVIDIA or AMD GPU for 'cuda:0'"):
        estimate_run(source, tmp_path / "out.mp4", options)
