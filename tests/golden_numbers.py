"""Golden numbers: what the authors' released network computes, to prove an own one equal.

`golden/NAME.json` holds a configuration and every parameter's name and shape in the released
checkpoints' naming; `golden/NAME.npz` the input (B, 3, T, H, W) in [0, 1], the unclamped output
(B, 3, 4H, 4W), X' as `warped_x` and, for `tiny_32x48`, what lies between. No weights are stored:
each is drawn from its own name. Agreement asked, float32 on the CPU: output within 1e-5, warped_x
within 1e-4 (flow rounding is multiplied by picture gradients there).
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsrdb_cli.network.config import FMANetConfig

FOLDER = Path(__file__).parent / "golden"
CASES = ("tiny_32x48", "small_m2_17x31", "paper_24x20")


def draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weight that stands behind the golden numbers under this name (prefix included)."""
    z = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if name.endswith("temperature") or (len(shape) == 1 and name.endswith("body.weight")):
        z = 1 + 0.1 * z
    elif len(shape) == 1:
        z = 0.1 * z
    else:
        z = z / math.sqrt(3 * math.prod(shape[1:]))
        if ".conv_f.2." in name or "f_conv3.2." in name:
            z = 12 * z
    return torch.from_numpy(z.astype(np.float32))


@dataclass(frozen=True)
class Golden:
    """One case: what went in, what comes out, and the parameters' names and shapes."""

    config: FMANetConfig
    shapes: dict[str, tuple[int, ...]]
    arrays: dict[str, Tensor]

    def state(self) -> dict[str, Tensor]:
        """All parameters, those of the training-only heads included."""
        return {name: draw(name, shape) for name, shape in self.shapes.items()}


def golden(name: str) -> Golden:
    """One of `CASES`."""
    text = json.loads((FOLDER / f"{name}.json").read_text())
    config = {key: value for key, value in text["config"].items() if key != "stage"}
    shapes = {key: tuple(shape) for key, shape in text["parameters"].items()}
    return Golden(FMANetConfig.from_dict(config), shapes, arrays(name))


def arrays(name: str) -> dict[str, Tensor]:
    """The tensors of one file, for example those of `fgdf_down`."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}
