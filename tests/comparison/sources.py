"""Make lossless videos and pictures to compare, so that pages can be checked exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import picture
from PIL import Image

HEIGHT, WIDTH = 180, 320


def numbered(count: int, height: int = HEIGHT, width: int = WIDTH, first: int = 0) -> np.ndarray:
    """(count, height, width, 3): pictures that carry their numbers, as `clips.number_in` reads."""
    return np.stack([picture(first + index, height, width) for index in range(count)])


def textured(count: int, seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(count, height, width, 3): every picture and pixel another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, height // 4, width // 4, 3))
    return np.kron(coarse, np.ones((1, 4, 4, 1))).astype(np.uint8)


def video(
    path: Path,
    frames: Sequence[np.ndarray] | np.ndarray,
    rate: Fraction | int = 25,
    times: Sequence[int] | None = None,
) -> Path:
    """A lossless RGB video; `times` in milliseconds, else at the rate."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = times[index] if times else round(1000 * index / Fraction(rate))
            frame.time_base = Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def folder(path: Path, frames: Sequence[np.ndarray] | np.ndarray) -> Path:
    """A folder of PNG pictures."""
    path.mkdir(parents=True)
    for index, image in enumerate(frames):
        Image.fromarray(image).save(path / f"{index:04d}.png")
    return path


def still(path: Path, image: np.ndarray) -> Path:
    """A single picture."""
    Image.fromarray(image).save(path)
    return path


def quarter(frames: np.ndarray) -> np.ndarray:
    """Every four by four pixels to their mean."""
    count, height, width, _ = frames.shape
    blocks = frames.reshape(count, height // 4, 4, width // 4, 4, 3)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
