"""What advise says beside what restoring gains: the table its thresholds were set by.

    python tests/benchmarks/advice.py CLIPS [--weights NAME] [--json FILE]

CLIPS is a folder of sharp videos. Each becomes low-resolution clips of 160x120, seven frames: sharp;
blurred (exposure of 0.8 of three frames); with noise; with blocks (JPEG); a picture half as large
enlarged; interlaced. Each is advised on and restored; the gain is that of RGB PSNR over bicubic.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2] / "weights"))
from recipe.photos import to_codes  # noqa: E402
from recipe.real_clips import MOMENTS, SHUTTER, Interpolator, read_clip  # noqa: E402
from recipe.render import downscale, to_bytes  # noqa: E402

HEIGHT, WIDTH, FRAMES, STEP = 120, 160, 7, 2
KINDS = ("sharp", "blurred", "noise", "blocks", "enlarged", "interlaced")


def variants(file: Path) -> Iterator[tuple[str, list[np.ndarray], list[np.ndarray]]]:
    """(kind, LR frames, their truths), (H, W, 3) RGB uint8."""
    frames = read_clip(file)
    height, width = frames[0].shape[:2]
    top, left = max(0, height - 4 * HEIGHT) // 2, max(0, width - 4 * WIDTH) // 2
    frames = [
        np.ascontiguousarray(f[top : top + 4 * HEIGHT, left : left + 4 * WIDTH]) for f in frames
    ]
    centres = range(2, 2 + STEP * FRAMES, STEP)
    truths = [frames[centre] for centre in centres]
    clip = Interpolator(frames)
    small = [to_bytes(downscale(truth.astype(np.float32))) for truth in truths]
    rng = np.random.default_rng(0)
    yield "sharp", small, truths
    reach = SHUTTER * STEP / 2
    blurred = []
    for centre in centres:
        moments = centre + np.linspace(-reach, reach, MOMENTS)
        light = np.mean([clip.at(moment) for moment in moments], axis=0, dtype=np.float32)
        blurred.append(to_bytes(downscale(to_codes(light))))
    yield "blurred", blurred, truths
    noisy = [np.clip(s + rng.normal(0, 8, s.shape), 0, 255).round().astype(np.uint8) for s in small]
    yield "noise", noisy, truths
    blocks = [
        cv2.imdecode(cv2.imencode(".jpg", s, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], 1) for s in small
    ]
    yield "blocks", blocks, truths
    size = small[0].shape[1::-1]
    half = [
        cv2.resize(s, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for s in small
    ]
    yield "enlarged", [cv2.resize(h, size, interpolation=cv2.INTER_CUBIC) for h in half], truths
    later = [to_bytes(downscale(frames[c + 1].astype(np.float32))) for c in centres]
    woven = [s.copy() for s in small]
    for picture, other in zip(woven, later, strict=True):
        picture[1::2] = other[1::2]
    yield "interlaced", woven, truths


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    pass
