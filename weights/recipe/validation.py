"""Score a network during training, on rendered windows and on windows of real clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from recipe.losses import of_neighbours
from recipe.pool import Pool
from torch import Tensor

from vsrdb_cli.network.fmanet import FMANet

# Of one set, by name: "psnr" in dB, the network's and bicubic's; where the flow is known, "epe",
# the mean error of f^X in LR pixels and that of no flow, and "epe_slow", that of slow pixels alone.
Scores = dict[str, tuple[float, float]]

SLOW = 2.0  # LR pixels a frame
CUT_HR = 4  # pixels left out at each side, as in the paper's evaluation


@dataclass(frozen=True)
class Example:
    """A named set of clips to score."""

    name: str
    clip: Tensor
    """(N, 3, T, H, W), 0..1."""
    sharp_hr: Tensor
    """(N, 3, 4H, 4W), the sharp centres."""
    flow: Tensor | None = None
    """(N, 2, 2, H, W), the true flow as in `Batch`, if known."""


def psnr(restored: Tensor, sharp: Tensor) -> float:
    """Return the mean PSNR of 8-bit RGB pictures in dB, with CUT_HR pixels cut off."""
    cut = slice(CUT_HR, -CUT_HR)
    restored = (restored.clamp(0, 1) * 255).round() / 255
    error = (restored - sharp)[..., cut, cut].square().mean(dim=(1, 2, 3))
    return float((-10 * torch.log10(error.clamp_min(1e-10))).mean())


def bicubic(clip: Tensor, scale: int = 4) -> Tensor:
    """Enlarge the centre frames, bicubic (Keys, a = -0.5): (B, C, T, H, W) -> (B, C, sH, sW)."""
    centre = clip[:, :, clip.shape[2] // 2]
    return F.interpolate(centre, scale_factor=scale, mode="bicubic", antialias=True)


def rendered_examples(pool: Pool, count: int) -> list[Example]:
    """Return the first `count` windows of a validation pool as one set."""
    batch = pool.fixed(count)
    centre = batch.sharp_hr[:, :, batch.sharp_hr.shape[2] // 2]
    return [Example("rendered", batch.clip, centre, batch.flow)]


def real_examples(folder: Path, per_clip: int, size: tuple[int, int]) -> list[Example]:
    """Cut windows from the clips under `folder` (`lr/NAME/*.png` and `gt/NAME/*.png`).

    `per_clip` windows, evenly spread; the middle `size` (LR height, width) of each.
    """
    examples = []
    for clip in sorted(path for path in (folder / "lr").iterdir() if path.is_dir()):
        lr_files = sorted(clip.glob("*.png"))
        gt_files = sorted((folder / "gt" / clip.name).glob("*.png"))
        centres = np.linspace(1, len(lr_files) - 2, per_clip).round().astype(int)
        windows = [torch.stack([_read(f) for f in lr_files[c - 1 : c + 2]], 1) for c in centres]
        sharp = [_read(gt_files[c]) for c in centres]
        height, width = windows[0].shape[-2:]
        rows, columns = _middle(height, size[0]), _middle(width, size[1])
        examples.append(
            Example(
                f"{folder.name}/{clip.name}",
                torch.stack(windows)[..., rows, columns],
                torch.stack(sharp)[..., _times(rows, 4), _times(columns, 4)],
            )
        )
    return examples


def score(network: FMANet, example: Example) -> Scores:
    """Return the scores of `network`, each with that of bicubic or of no flow."""
    device = next(network.parameters()).device
    # A few at a time: whole sets would take much memory.
    found = [network.restore_clip(part.to(device)) for part in example.clip.split(4)]
    restored = torch.cat([part.output.float().cpu() for part in found])
    scores = {
        "psnr": (psnr(restored, example.sharp_hr), psnr(bicubic(example.clip), example.sharp_hr))
    }
    if example.flow is not None:
        flow = torch.cat([of_neighbours(part.image_flow_mask_x[:, :2], dim=2) for part in found])
        flow = flow.cpu()
        error, speed = (flow - example.flow).norm(dim=1), example.flow.norm(dim=1)
        scores["epe"] = (float(error.mean()), float(speed.mean()))
        slow = speed < SLOW
        scores["epe_slow"] = (float(error[slow].mean()), float(speed[slow].mean()))
    return scores


def _read(file: Path) -> Tensor:
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{file} is not a picture")
    rgb = np.ascontiguousarray(picture[..., ::-1])
    return torch.from_numpy(rgb).permute(2, 0, 1).float() / 255


def _middle(length: int, wanted: int) -> slice:
    start = max(length - wanted, 0) // 2
    return slice(start, min(start + wanted, length))


def _times(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
