"""Arrays behind the figures, one .npz file per frame.

| name | shape | what |
| --- | --- | --- |
| frames | (T, 3, H, W) | the input, RGB, 0 to 1; the middle one is restored |
| flow | (T, 2, H, W) | f^X as (dx, dy), right and down, in LR pixels: pixel (x, y) of the middle frame is read at (x + dx, y + dy) of frame t |
| mask | (T, H, W) | o^X after the sigmoid, 0 to 1 |
| feature_flow | (T, n, 2, H, W) | f^{R,M}, likewise; flow j warps the j-th of n equal groups of channels |
| feature_mask | (T, n, H, W) | their masks, 0 to 1 |
| warped | (T, 3, H, W) | X': the frames read along f^X, times the mask |
| kernel_row, kernel_column | (rows,), (columns,) | the LR pixels whose kernels are stored |
| kernel_degradation | (rows, columns, T, k_d, k_d) | K^D after the softmax over T and taps, in HR pixels, vertical then horizontal |
| kernel_restoration | (rows, columns, s, s, T, k_r, k_r) | K^R as used, with a sum of 1 over T and taps: vertical, horizontal sub-pixel; frame; vertical, horizontal tap in LR pixels |
| filtered, residual, restored | (3, sH, sW) | RGB; the last is the sum of the first two, not clamped to 0 to 1 |
| bicubic | (3, sH, sW) | the middle frame enlarged |
| index, seconds | () | of the middle frame, from 0; when it is shown |

All are float32 except kernel_row, kernel_column and index (int64). Frames are in order of time, sizes
(height, width), rows from the top.
"""  # noqa: E501 - a table

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vsrdb_cli.inspection.analysis import Inspection
    from vsrdb_cli.inspection.moments import Moment


def write_raw(path: Path, moment: Moment, found: Inspection) -> None:
    """Write the table above to a compressed .npz file."""
    every = found.kernels.every
    rows, columns = found.kernels.degradation.shape[:2]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            frames=found.frames,
            flow=found.flow,
            mask=found.mask,
            feature_flow=found.feature_flow,
            feature_mask=found.feature_mask,
            warped=found.warped,
            kernel_row=np.arange(rows, dtype=np.int64) * every,
            kernel_column=np.arange(columns, dtype=np.int64) * every,
            kernel_degradation=found.kernels.degradation,
            kernel_restoration=found.kernels.restoration,
            filtered=found.filtered,
            residual=found.residual,
            restored=found.restored,
            bicubic=found.bicubic,
            index=np.int64(moment.index),
            seconds=np.float32(moment.seconds),
        )
