"""Pictures and videos restored: the same frames, at their times, larger; or nothing at all."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import clips
import pytest
import torch
import torch.nn.functional as F

from vsrdb_cli.backends import load_runner
from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.errors import (
    BackendError,
    CheckpointError,
    OptionError,
    ResourceError,
    VsrdbError,
)
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.open import open_source

DEMO = Path(__file__).parents[1] / "docs" / "demo.mp4"
NEAREST = RestoreOptions(weights="nearest")


class Counting(BuiltinRunner):
    """Counts its calls; the middle frame of a window, plus nothing."""

    def __init__(self):
        super().__init__("nearest")
        self.encoded = self.restored = 0

    def encode(self, picture):
        self.encoded += 1
        return super().encode(picture)

    def restore(self, window):
        self.restored += 1
        return super().restore(window)


class Mean(BuiltinRunner):
    """The mean of a window's frames, enlarged: shows which frames a window held."""

    def restore(self, window):
        return super().restore([sum(window) / len(window)] * 3)


def levels(*values: float) -> list[torch.Tensor]:
    return [torch.full((3, 8, 12), value) for value in values]


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_each_frame_is_encoded_once_and_restored_once(count):
    runner = Counting()
    pictures = levels(*(0.5 + 0.01 * number for number in range(count)))
    restored = list(restore_frames(pictures, runner))
    assert len(restored) == count
    assert (runner.encoded, runner.restored) == (count, count)


def test_pictures_come_out_in_order_enlarged_and_within_0_to_1():
    pictures = [torch.rand(3, 6, 10) * 1.5 for _ in range(5)]
    restored = list(restore_frames(pictures, BuiltinRunner("nearest"), scene_cuts=False))
    for before, after in zip(pictures, restored, strict=True):
        torch.testing.assert_close(after[:, ::4, ::4], before.clamp(0, 1))
        assert after.shape == (3, 24, 40)


@pytest.mark.parametrize("changes", [
    {"pix_fmt": "yuv420p"}, {"pix_fmt": "yuv420p10le"},
    {"codec": "libx264", "options": {"qp": "0"}},
    {"pts": (0, 3003, 6006, 30000, 33003, 90000)},
])  # fmt: skip
@pytest.mark.cases
def test_a_repeated_picture_is_restored_once_and_frames_keep_their_times(tmp_path, changes):
    shows = (0, 0, 1, 1, 1, 2)
    changes = {"codec": "ffv1", "options": {}, **changes}
    source = clips.make(tmp_path / "in.mkv", frames=6, shows=shows, **changes)
    runner, progress = Counting(), []
    report = restore_video(
        source, tmp_path / "out.mkv", RestoreOptions(), runner=runner, on_progress=progress.append
    )
    assert (runner.encoded, runner.restored) == (3, 3)
    assert (report.frames, report.repeats) == (6, 3)
    assert [p.repeats for p in progress if p.frames and p.phase == "restore"] == [0, 1, 1, 2, 3, 3]
    before, after = clips.read(source), clips.read(tmp_path / "out.mkv")
    assert after.numbers == list(shows)
    assert after.times == before.times


def test_windows_end_at_scene_cuts_unless_told_otherwise():
    pictures = levels(0.1, 0.12, 0.14, 0.9, 0.92, 0.94)
    at_cuts = [p.mean().item() for p in restore_frames(pictures, Mean("nearest"))]
    across = [p.mean().item() for p in restore_frames(pictures, Mean("nearest"), scene_cuts=False)]
    inside = [0.34 / 3, 0.12, 0.38 / 3, 2.74 / 3, 0.92, 2.78 / 3]
    assert at_cuts == pytest.approx(inside)
    assert across == pytest.approx([*inside[:2], 1.16 / 3, 1.96 / 3, *inside[4:]])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_scales_below_4_are_downsampled_from_4(scale):
    picture = torch.linspace(0, 1, 12).expand(3, 8, 12)
    (restored,) = restore_frames([picture], BuiltinRunner("bicubic"), scale=scale)
    assert restored.shape == (3, 8 * scale, 12 * scale)
    assert restored.mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"scale": 5}, {"scale": 0}, {"tile": 10}])
def test_a_scale_or_tile_that_cannot_be_is_refused(wrong):
    with pytest.raises(OptionError):
        next(restore_frames(levels(0.5), BuiltinRunner("nearest"), **wrong))


class Hungry(Counting):
    """Runs out of memory on pictures larger than 110 pixels, as torch would say it."""

    def restore(self, window):
        if max(window[0].shape[2:]) > 110:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return super().restore(window)


def test_out_of_memory_takes_smaller_tiles_for_this_and_all_later_frames():
    pictures = [torch.rand(3, 90, 160) for _ in range(4)]
    sides = []
    restorer = Restorer(Hungry(), tile=None, scene_cuts=False, on_shrink=sides.append)
    restored = [picture for _, picture in restorer.run((p, p) for p in pictures)]
    for before, after in zip(pictures, restored, strict=True):
        torch.testing.assert_close(after[:, ::4, ::4], before)
    assert restorer.tile == 106
    assert sides == [106]  # of 160, at the first frame


def test_features_are_dropped_before_tiles_shrink_and_no_pixel_changes():
    class Hoarding(BuiltinRunner):
        """Runs out of memory where the features of more than three tiles are held."""

        held = 0

        def encode(self, picture):
            self.held += 1
            if self.held > 3:
                self.held = 0
                raise RuntimeError("out of memory")
            return super().encode(picture)

        def restore(self, window):
            self.held = 0
            return super().restore(window)

    pictures = [torch.rand(3, 90, 160) for _ in range(4)]
    sides = []
    restorer = Restorer(Hoarding("nearest"), tile=100, scene_cuts=False, on_shrink=sides.append)
    restored = [picture for _, picture in restorer.run((p, p) for p in pictures)]
    for before, after in zip(pictures, restored, strict=True):
        torch.testing.assert_close(after[:, ::4, ::4], before)
    assert restorer.tile == 100
    assert sides == []


def test_that_memory_ran_out_is_said_once_and_when_it_happens(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6, height=90, width=160)
    said = []
    report = restore_video(
        source, tmp_path / "out.mp4", runner=Hungry(),
        on_notice=said.append,
        on_progress=lambda p: p.phase == "restore" and p.frames and said.append(p.frames),
    )  # fmt: skip
    assert said == ["memory ran out: continuing in tiles of 106 pixels", *range(1, 7)]
    assert report.notices == (said[0],)
    assert report.tile == 106


def test_out_of_memory_with_the_smallest_tile_ends_the_run():
    class Insatiable(Hungry):
        def restore(self, window):
            raise RuntimeError("out of memory")

    with pytest.raises(ResourceError, match="even in tiles of 96 pixels") as error:
        next(restore_frames([torch.rand(3, 90, 160)], Insatiable(), tile=None))
    assert "vsrdb weights list" in error.value.hint


def test_an_error_of_the_network_is_raised_and_not_taken_for_lack_of_memory():
    class Broken(BuiltinRunner):
        def restore(self, window):
            raise RuntimeError("expected scalar type Half")

    with pytest.raises(RuntimeError, match="Half"):
        next(restore_frames(levels(0.5), Broken("nearest")))


def test_a_video_keeps_its_frames_times_and_sound(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=9, audio=("aac",))
    before = clips.read(source)
    report = restore_video(source, tmp_path / "out.mp4", NEAREST)
    after = clips.read(tmp_path / "out.mp4")
    assert report.frames == 9
    assert after.numbers == before.numbers == list(range(9))
    assert after.times == before.times
    with open_source(source) as lr, open_source(report.output) as hr:
        assert (hr.info.height, hr.info.width) == (4 * lr.info.height, 4 * lr.info.width)
        assert (report.height_hr, report.width_hr) == (hr.info.height, hr.info.width)


def test_progress_is_told_after_every_frame_in_the_callers_thread(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6)
    told = []
    restore_video(
        source, tmp_path / "out.mp4", NEAREST,
        on_progress=lambda p: told.append((p.phase, p.frames, threading.current_thread())),
    )  # fmt: skip
    here = threading.current_thread()
    assert told[0] == ("load", 0, here)
    assert told[-6:] == [("restore", n, here) for n in range(1, 7)]


def test_an_interrupted_run_leaves_nothing(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=9)

    def interrupt(progress):
        if progress.frames == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_video(source, tmp_path / "out.mp4", NEAREST, on_progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_failing_network_leaves_nothing(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=5)

    class Failing(Counting):
        def restore(self, window):
            if self.restored == 2:
                raise RuntimeError("broken")
            return super().restore(window)

    with pytest.raises(RuntimeError, match="broken"):
        restore_video(source, tmp_path / "out.mp4", runner=Failing())
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_unknown_weights_are_refused_by_name_and_leave_nothing(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=2)
    with pytest.raises(CheckpointError, match="sharpest"):
        restore_video(source, tmp_path / "out.mp4", RestoreOptions(weights="sharpest"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_asked_for_and_not_there_is_an_error_not_the_cpu():
    with pytest.raises(BackendError, match="finds no NVIDIA or AMD GPU"):
        load_runner("fmanet-xs", device="cuda")


@pytest.mark.parametrize("device", ["tpu", "mps", "cuda:x"])
def test_a_device_that_does_not_exist_is_refused(device):
    with pytest.raises(VsrdbError):
        load_runner("fmanet-xs", device=device)


def test_the_bundled_model_in_bfloat16_agrees_with_float32():
    pictures = [torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))] * 2
    full = list(restore_frames(pictures, load_runner("fmanet-xs", precision="float32")))
    low = list(restore_frames(pictures, load_runner("fmanet-xs", precision="bfloat16")))
    mean_square = (torch.stack(full) - torch.stack(low)).square().mean().item()
    assert 0 < mean_square < 10 ** (-40 / 10)  # white noise, far from any picture: 40 dB


def test_the_bundled_model_beats_bicubic_on_a_blurred_clip():
    """The demo is the truth; its frames, averaged three by three and shrunk, are the input."""
    with open_source(DEMO) as reader:
        frames = [to_float(frame.rgb)[:, :96, 20:180] for frame in reader.frames(0, 9)]
    blurred = [torch.stack(frames[i : i + 3]).mean(0) for i in (0, 3, 6)]
    small = [F.interpolate(b[None], scale_factor=0.25, mode="area")[0] for b in blurred]
    truth = frames[4]

    def error(weights: str) -> float:
        middle = list(restore_frames(small, load_runner(weights, precision="float32")))[1]
        return (middle - truth)[:, 8:-8, 8:-8].square().mean().item()

    gain = 10 * math.log10(error("bicubic") / error("fmanet-xs"))
    assert gain > 0.5  # dB
