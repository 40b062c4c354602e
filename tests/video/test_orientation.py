"""Turned video in outputs that cannot turn it: upright, with the shape of its pixels turned too."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
from sequences import load

from vsrdb_cli.dry_run.estimate import estimate_run
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.open import open_source

SOURCE = Path(__file__).parents[1] / "wild" / "rotated_sar.mp4"


@pytest.mark.slow
def test_a_pipe_gets_it_upright(tmp_path):
    out = tmp_path / "out.y4m"
    command = [sys.executable, "-m", "vsrdb_cli", "restore", str(SOURCE), "-", "--scale", "1"]
    with out.open("wb") as file:
        subprocess.run([*command, "--weights", "nearest"], check=True, stdout=file)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (96, 160)
        assert str(stream.sample_aspect_ratio) == "3/4"
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with open_source(SOURCE) as reader:
        coded = next(reader.frames()).rgb.permute(1, 2, 0).numpy()
    plain = coded.astype(int)
    turned = [plain.transpose(1, 0, 2)[::-1], plain.transpose(1, 0, 2)[:, ::-1]]
    # 90 degrees anticlockwise, as ffmpeg's own players show it.
    assert abs(turned[0] - frame).mean() < 10 < abs(turned[1] - frame).mean()


@pytest.mark.parametrize("target", ["pictures", "out.mp4"])
def test_it_is_told_in_the_sizes_it_is_written_in(tmp_path, target):
    out = tmp_path / target
    report = restore_video(SOURCE, out, RestoreOptions(weights="nearest"))
    said = " ".join(report.notices)
    if target == "pictures":
        assert load(next(out.iterdir())).shape == (640, 384, 3)
        assert (report.height_hr, report.width_hr) == (640, 384)
        assert "square pixels, but the source's are 3:4: they look too wide" in said
    else:
        assert (report.height_hr, report.width_hr) == (384, 640)
        assert "pixels" not in said


def test_a_dry_run_tells_the_same_size(tmp_path):
    estimated = estimate_run(SOURCE, tmp_path / "pictures", RestoreOptions(weights="nearest"))
    assert (estimated.height_hr, estimated.width_hr) == (640, 384)
