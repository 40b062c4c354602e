import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

# The recipe is no part of the installed package; it runs from weights/.
sys.path.insert(0, str(Path(__file__).parents[2] / "weights"))


def textured(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture with detail at several sizes, (height, width, 3) uint8."""
    picture = np.full((height, width, 3), 128.0, np.float32)
    for cells in (4, 16, 64):
        noise = rng.normal(0, 30, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small gain nothing from more, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(7)
    names = [f"photo_{i}.png" for i in range(13)] + ["vf_gopro_100.png", "soft.png"]
    for name in names:
        cv2.imwrite(str(folder / name), textured(rng, 240, 320))
    entries = [{"file": name, "sharp_p75": 1.0 if name == "soft.png" else 20.0} for name in names]
    (folder / "manifest.json").write_text(json.dumps({"photos": entries}))
    return folder
