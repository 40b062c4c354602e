"""What is replayed from CUDA graphs are the pictures that were computed without."""

import pytest
import torch

from vsrdb_cli.backends import load_runner, parity
from vsrdb_cli.pipeline.frames import restorer_for
from vsrdb_cli.pipeline.spec import RestoreSpec

pytestmark = pytest.mark.gpu

SIZES = ((45, 80), (60, 64))


def frames_of(height, width):
    return [frame[0] for frame in parity.scene(7, height, width)]


def runner_for(device, precision, monkeypatch, *, graphs):
    monkeypatch.setenv("VSRDB_CUDA_GRAPHS", "1" if graphs else "0")
    return load_runner("fmanet-xs", device=device, precision=precision)


def restored(runner, frames, tile=None):
    """Codes, as a run to a file makes them."""
    size = tuple(frames[0].shape[1:])
    restorer = restorer_for(runner, RestoreSpec(size, bit_depth=8, tile=tile), tile)
    return torch.stack([codes for _, codes in restorer.run_to_codes(enumerate(frames), 16)])


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_replayed_pictures_are_those_computed_without(cuda, monkeypatch, precision):
    plain = runner_for(cuda, precision, monkeypatch, graphs=False)
    recorded = runner_for(cuda, precision, monkeypatch, graphs=True)
    for _ in range(2):  # the sizes come in turns
        for size in SIZES:
            wanted = restored(plain, frames_of(*size)).int()
            found = restored(recorded, frames_of(*size)).int()
            assert (found - wanted).abs().max() <= (1 if precision == "float32" else 40)
    assert recorded.recordings == 2
    assert plain.recordings == 0


def test_replayed_tiles_are_those_computed_without(cuda, monkeypatch):
    frames = frames_of(120, 150)
    wanted, found = (
        restored(runner_for(cuda, "float32", monkeypatch, graphs=graphs), frames, tile=96)
        for graphs in (False, True)
    )
    assert (found.int() - wanted.int()).abs().max() <= 1


def test_a_pictures_numbers_are_not_overwritten_by_the_next_ones(cuda, monkeypatch):
    runner = runner_for(cuda, "float32", monkeypatch, graphs=True)
    features = [runner.encode(frame[None]) for frame in frames_of(*SIZES[0])]
    windows = [features[i : i + 3] for i in range(5)]
    kept = [runner.restore_on_device(window) for window in windows]
    for picture, window in zip(kept, windows, strict=True):
        assert torch.equal(picture, runner.restore_on_device(window))


def test_a_gpu_that_is_not_the_first_records_too(cuda, monkeypatch):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    frames = frames_of(*SIZES[0])
    first, second = (
        restored(runner_for(name, "float32", monkeypatch, graphs=True), frames)
        for name in ("cuda:0", "cuda:1")
    )
    assert (first.int() - second.int()).abs().max() <= 1
