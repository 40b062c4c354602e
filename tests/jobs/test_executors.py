"""The contract of executors, of whatever kind."""

from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, StoppedError, Watch, pixels
from worker_threads import start_worker_thread

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.errors import CheckpointError, OptionError, VideoError
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.processes import ProcessExecutor
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video


def two_processes(options):
    return ProcessExecutor(replace(options, devices=("cpu", "cpu")))


KINDS = [LocalExecutor, pytest.param(two_processes, marks=pytest.mark.slow)]


def spec_of(options, size):
    return RestoreSpec.of(options, size, bit_depth=8)


@pytest.fixture(scope="module")
def options(tiny):
    encoder = EncoderOptions(codec="ffv1")
    return replace(OPTIONS, weights=tiny, precision="float32", scene_cuts=False, encoder=encoder)


@pytest.fixture(scope="module", params=KINDS)
def executor(request, options):
    """One for all tests of its kind: an executor serves one video after another."""
    with request.param(options) as executor:
        yield executor


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return clips.make(folder / "in.mp4", frames=35, height=24, width=32)


@pytest.fixture
def unbroken(source, options, tmp_path):
    """The frames of a run in one piece."""
    target = tmp_path / "whole.mkv"
    restore_video(source, target, replace(options, segment_seconds=60))
    return pixels(target)


@pytest.mark.slow
def test_its_frames_are_those_of_an_unbroken_run(tmp_path, options, executor, source, unbroken):
    watch = Watch()
    report = watch.restore(source, tmp_path / "out.mkv", options, executor=executor)
    assert report.frames == len(watch.told) == 35
    assert {progress.segment for progress in watch.told} == {0, 1, 2, 3}
    assert pixels(tmp_path / "out.mkv") == unbroken


def test_it_says_what_runs(options, executor):
    executor.prepare(spec_of(options, (24, 32)))
    assert (executor.info.weights, executor.info.precision) == ("tiny", "float32")
    assert set(executor.info.device.split(",")) == {"cpu"}


def test_it_takes_the_tile_that_was_asked_for_or_none_where_all_fits(options, executor):
    assert executor.prepare(spec_of(replace(options, tile=96), (300, 300))) == 96
    assert executor.prepare(spec_of(options, (24, 32))) is None


@pytest.mark.slow
def test_stopped_it_keeps_finished_segments_and_another_run_continues(
    tmp_path, options, executor, source, unbroken
):
    with pytest.raises(StoppedError):
        Watch(stop_after=34).restore(source, tmp_path / "out.mkv", options, executor=executor)
    again = Watch().restore(source, tmp_path / "out.mkv", options)
    assert again.resumed >= 10
    assert pixels(tmp_path / "out.mkv") == unbroken


def test_a_source_that_is_replaced_while_it_works_gives_no_output(tmp_path, options, executor):
    source = clips.make(tmp_path / "in.mp4", frames=35, height=24, width=32)
    other = clips.make(tmp_path / "other.mp4", frames=35, height=24, width=32)

    class Replacing(Watch):
        def on_progress(self, progress):
            if progress.frames == 5 and other.exists():
                other.replace(source)

    with pytest.raises(VideoError, match="was changed while it was restored: "):
        Replacing().restore(source, tmp_path / "out.mkv", options, executor=executor)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_loaded_is_one_error_and_leaves_nothing(tmp_path, options, source, kind):
    wanted = replace(options, weights="no-such-weights")
    with kind(wanted) as executor, pytest.raises(CheckpointError, match="no-such-weights"):
        Watch().restore(source, tmp_path / "out.mkv", wanted, executor=executor)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_process_loads_the_network_that_fits_the_videos_size(options):
    sizes = []

    def load(weights, *, size, **_):
        sizes.append(size)
        return BuiltinRunner("nearest")

    wanted = replace(options, devices=("cpu",))
    start = lambda options, threads: start_worker_thread(LocalExecutor(options, load=load))  # noqa: E731
    with ProcessExecutor(wanted, start) as executor:
        executor.prepare(spec_of(wanted, (24, 32)))
        executor.prepare(spec_of(replace(wanted, tile=64), (96, 72)))
    assert sizes == [(24, 32), (64, 60)]


def test_a_worker_process_keeps_an_engine_until_a_video_has_another_size(options):
    class Engine(BuiltinRunner):
        def __init__(self, size):
            super().__init__("nearest")
            self.size = size

        def takes(self, height, width):
            return (height, width) == self.size

    built = []

    def load(weights, *, size, loaded, **_):
        if loaded is None:
            built.append(size)
        return loaded or Engine(size)

    wanted = replace(options, devices=("cpu",), backend="tensorrt")
    start = lambda options, threads: start_worker_thread(LocalExecutor(options, load=load))  # noqa: E731
    with ProcessExecutor(wanted, start) as executor:
        for size in ((24, 32), (24, 32), (48, 64)):
            executor.prepare(spec_of(wanted, size))
    assert built == [(24, 32), (48, 64)]


def test_worker_processes_use_no_engine_unasked(options):
    backends = []

    def start(options, threads):
        backends.append(options.backend)
        return start_worker_thread(LocalExecutor(options, BuiltinRunner("nearest")))

    for device, backend in (("cpu", "auto"), ("cpu", "tensorrt"), ("webgpu:0", "auto")):
        wanted = replace(options, devices=(device, device), backend=backend)
        with ProcessExecutor(wanted, start) as executor:
            executor.prepare(spec_of(wanted, (24, 32)))
    # By WebGPU torch computes nothing, and there are no engines.
    assert backends == ["torch", "torch", "tensorrt", "tensorrt", "auto", "auto"]


@pytest.mark.parametrize("option", [
    {"weights": "bicubic"}, {"backend": "torch"}, {"device": "cpu"}, {"precision": "float32"},
    {"devices": ("cpu", "cpu")}, {"ray": "local"},
])  # fmt: skip
def test_a_loaded_network_and_options_that_it_replaces_are_refused(tmp_path, source, option):
    (name,) = option
    with pytest.raises(OptionError, match=f"{name} and runner= cannot be used together") as error:
        restore_video(
            source, tmp_path / "out.mp4", RestoreOptions(**option), runner=BuiltinRunner("nearest")
        )
    assert error.value.hint == f"omit {name}: the runner decides it"
    assert list(tmp_path.iterdir()) == []
