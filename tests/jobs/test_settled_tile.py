"""Memory has one answer: every way to restore a video, or to estimate it, resolves one tile."""

from dataclasses import replace

import clips
import pytest
from worker_threads import start_worker_thread

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.runner import Memory
from vsrdb_cli.dry_run import estimate
from vsrdb_cli.dry_run.estimate import estimate_run
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.processes import ProcessExecutor
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline import memory
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video

MIB = 1 << 20


class Demanding(BuiltinRunner):
    """Takes as much memory as the paper's FMA-Net in float32."""

    def __init__(self):
        super().__init__("nearest")

    def memory(self, height, width):
        return Memory(weights=MIB, features=3600 * height * width, work=18000 * height * width)


def start_thread(options, threads):
    """Start a worker that sees the made-up memory of the test."""
    return start_worker_thread(LocalExecutor(options, Demanding()))


@pytest.fixture
def made_up(monkeypatch):
    """Has so many bytes free on a device."""

    def make(free):
        monkeypatch.setattr(memory, "available_bytes", lambda device: free[device])
        monkeypatch.setattr(estimate, "available_bytes", lambda device: free[device])

    return make


def by_workers(options, size, bit_depth):
    with ProcessExecutor(options, start_thread) as executor:
        return executor.prepare(RestoreSpec.of(options, size, bit_depth))


@pytest.mark.parametrize("width, height", [(160, 90), (120, 200)])
@pytest.mark.parametrize("pix_fmt, bit_depth", [("yuv420p", 8), ("yuv420p10le", 10)])
@pytest.mark.parametrize("mebibytes", [4000, 720, 620, 500, 400])
@pytest.mark.slow
def test_short_and_long_runs_workers_and_dry_runs_resolve_one_tile(
    tmp_path, made_up, width, height, pix_fmt, bit_depth, mebibytes
):
    made_up({"cpu": mebibytes * MIB})
    source = clips.make(
        tmp_path / "in.mkv", frames=4, width=width, height=height, pix_fmt=pix_fmt, codec="ffv1",
        options={},
    )  # fmt: skip
    options = RestoreOptions(encoder=EncoderOptions(codec="ffv1"))
    long = replace(options, segment_seconds=0.05)
    runner = Demanding()
    tiles = {
        "short": restore_video(source, tmp_path / "short.mkv", options, runner=runner).tile,
        "long": restore_video(source, tmp_path / "long.mkv", long, runner=runner).tile,
        "dry": estimate_run(
            source, tmp_path / "dry.mkv", options, executor=LocalExecutor(options, runner)
        ).tile,
        "worker": by_workers(replace(options, devices=("cpu",)), (height, width), bit_depth),
    }
    assert len(set(tiles.values())) == 1, tiles
    if mebibytes in (4000, 400):
        assert (tiles["short"] is None) == (mebibytes == 4000)


@pytest.mark.parametrize("mebibytes", [8000, 1400, 900])
@pytest.mark.cases
def test_two_workers_and_their_dry_run_resolve_the_tile_that_fits_twice(
    tmp_path, made_up, mebibytes
):
    made_up({"cpu": mebibytes * MIB})
    source = clips.make(tmp_path / "in.mp4", frames=3)
    two = RestoreOptions(weights="nearest", devices=("cpu", "cpu"))
    dry = estimate_run(source, tmp_path / "out.mp4", two, executor=LocalExecutor(two, Demanding()))
    assert dry.tile == by_workers(two, (90, 160), 8)
    assert dry.fits
    (load,) = dry.loads
    assert load.processes == 2
    one = replace(two, devices=())
    alone = estimate_run(
        source, tmp_path / "out.mp4", one, executor=LocalExecutor(one, Demanding())
    )
    assert (alone.tile, dry.tile) in ((None, None), (None, dry.tile))


class OnGpu(Demanding):
    def __init__(self):
        super().__init__()
        self.info = replace(self.info, device="cuda:0")


def test_each_gpu_has_its_own_process_and_the_smaller_one_decides_the_tile(
    tmp_path, made_up, monkeypatch
):
    made_up({"cpu": 64 << 30, "cuda:0": 4000 * MIB, "cuda:1": 500 * MIB})
    monkeypatch.setattr("vsrdb_cli.dry_run.estimate.require_device", lambda name: None)
    source = clips.make(tmp_path / "in.mp4", frames=3)
    options = RestoreOptions(weights="nearest", devices=("cuda:0", "cuda:1"))
    dry = estimate_run(
        source, tmp_path / "out.mp4", options, executor=LocalExecutor(options, OnGpu())
    )
    first, second = dry.loads
    assert (first.device, first.processes, first.free_bytes) == ("cuda:0", 1, 4000 * MIB)
    assert (second.device, second.processes, second.free_bytes) == ("cuda:1", 1, 500 * MIB)
    assert dry.tile is not None
    assert first.fits
    assert second.fits
    both = replace(options, devices=("cuda:0", "cuda:0"))
    (load,) = estimate_run(
        source, tmp_path / "out.mp4", both, executor=LocalExecutor(both, OnGpu())
    ).loads
    assert (load.device, load.processes) == ("cuda:0", 2)
