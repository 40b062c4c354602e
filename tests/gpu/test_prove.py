"""Every step of prove.sh comes to its end, tried on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.slow

PROVE = Path(__file__).with_name("prove.sh")


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """Photos of noise."""
    folder = tmp_path_factory.mktemp("carried")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(7)
    names = [f"{i}.png" for i in range(13)]
    for name in names:
        coarse = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "photos" / name), cv2.resize(coarse, (320, 240)))
    entries = [{"file": name, "sharp_p75": 20.0} for name in names]
    (folder / "photos" / "manifest.json").write_text(json.dumps({"photos": entries}))
    return folder


def proven(step, carried, out):
    """What is said of each part of a step."""
    environment = os.environ | {
        "OUT": str(out), "CARRIED": str(carried), "PYTHON": sys.executable, "DRY": "1",
    }  # fmt: skip
    done = subprocess.run(
        [PROVE, step], env=environment, capture_output=True, text=True, check=False
    )
    logs = "\n".join(log.read_text()[-2000:] for log in out.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    files = [path for path in out.iterdir() if path.stat().st_size]
    assert len(files) <= 8  # what a lent machine gives back
    assert all(path.stat().st_size < 16 << 20 for path in files)
    return dict(line.split(":", 1) for line in (out / "summary.txt").read_text().splitlines())


def test_proving(carried, tmp_path):
    parts = proven("prove", carried, tmp_path)
    assert list(parts) == ["speed", "tests", "memcheck", "variants"]
    assert all(end.startswith(" status 0 ") for end in parts.values())
    assert json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert json.loads((tmp_path / "variants.json").read_text())


@pytest.mark.parametrize("step", ["train-xs", "train-s"])
def test_training(carried, tmp_path, step):
    proven(step, carried, tmp_path)
    assert (tmp_path / "state.pt.00").exists()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["psnr"]


def test_a_step_of_another_name_is_refused(tmp_path):
    done = subprocess.run(
        [PROVE, "all"], env=os.environ | {"OUT": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 2 and b"no step is called 'all'" in done.stderr
