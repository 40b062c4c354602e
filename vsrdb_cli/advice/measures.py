"""What a video is like: resolution, blur, noise, blocks, bands, light, motion.

A run is (N, H, W), N frames in a row, luma in 8-bit codes, float32. Measures of a single picture
take (H, W).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vsrdb_cli.advice.extra import extra
from vsrdb_cli.video.pixels.interlacing import combing

Luma = NDArray[np.float32]

# How much smaller a picture is made to see what it loses.
FACTORS = (1.5, 2.0, 3.0, 4.0)
# An enlarged picture made smaller and larger again comes back to this part of its detail.
KEPT = 0.04
# Luma codes: darker is crushed, lighter is clipped; less difference than this is none.
DARK, LIGHT, EQUAL = 16.0, 250.0, 0.4
_TILE = 16
LARGEST = 512
_GRID = 8


@dataclass(frozen=True)
class Measures:
    """Each the mean or median over the frames looked at.

    enlarged_by: the factor by which the picture can be made smaller without loss of detail; 1
    where it cannot. blur: 0 (sharp) to 1, Crete's measure. blur_ratio: how much weaker the finest
    detail is along its weakest direction than across it; blur_angle: that direction, degrees from
    horizontal, counterclockwise. noise: standard deviation in codes; noise_share: its power
    over that of all fine detail. blocking: steps at an 8x8 grid
    over steps beside it; 1 is none. combing: share of the picture in combs. banding: share of the
    smooth parts that are stairs. dark, clipped: shares of the picture. duplicates: share of frames
    equal to the one before. motion, fast_motion: median and 95th percentile of its length, pixels a
    frame. detail: mean gradient. Of single pictures duplicates and motion are None.
    """

    enlarged_by: float
    blur: float
    blur_ratio: float
    blur_angle: float
    noise: float
    noise_share: float
    blocking: float
    combing: float
    banding: float
    dark: float
    clipped: float
    duplicates: float | None
    motion: float | None
    fast_motion: float | None
    detail: float

    def as_json(self) -> dict[str, float | None]:
        return {
            name: None if value is None else round(value, 4) for name, value in asdict(self).items()
        }

    @classmethod
    def mean(cls, several: list[Measures]) -> Measures:
        """Over runs; the factor of enlargement is their median, an angle the first one's."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            known = [value for one in several if (value := getattr(one, field.name)) is not None]
            values[field.name] = fmean(known) if known else None
        values["enlarged_by"] = median(one.enlarged_by for one in several)
        values["blur_angle"] = several[0].blur_angle
        return cls(**values)


def measure(run: Luma) -> Measures:
    """Measure a run of frames; of large pictures all but the light in their middle."""
    dark, clipped = float((run < DARK).mean()), float((run > LIGHT).mean())
    run = _middle(run)
    pictures = run[:: max(1, len(run) // 2)]
    ratio, angle = directional_blur(pictures[0])
    flows, unmoved = motions(run), 0.0 if len(run) > 1 else None
    return Measures(
        enlarged_by=median(enlarged_by(picture) for picture in pictures),
        blur=fmean(blur(picture) for picture in pictures),
        blur_ratio=ratio,
        blur_angle=angle,
        noise=fmean(noise(picture) for picture in pictures),
        noise_share=fmean(noise_share(picture) for picture in pictures),
        blocking=fmean(blocking(picture) for picture in pictures),
        combing=fmean(combing(torch.from_numpy(picture)) for picture in pictures),
        banding=fmean(banding(picture) for picture in pictures),
        dark=dark,
        clipped=clipped,
        duplicates=duplicates(run),
        motion=float(np.median(flows)) if flows.size else unmoved,
        fast_motion=float(np.percentile(flows, 95)) if flows.size else unmoved,
        detail=fmean(float(np.hypot(*np.gradient(picture)).mean()) for picture in pictures),
    )


def enlarged_by(picture: Luma) -> float:
    """The largest of FACTORS that loses nothing but noise; 1 if each does."""
    cv2 = extra("cv2")
    detail = picture - cv2.GaussianBlur(picture, (0, 0), 2.0)
    # What moves by less than the noise does is no detail; quantisation is such noise, too.
    floor = max(noise(picture), 0.5) ** 2
    energy = float(np.square(detail).mean())
    best = 1.0
    for factor in FACTORS:
        lost = float(np.square(picture - through(picture, factor)).mean())
        if lost - floor > KEPT * energy:
            break
        best = factor
    return best


def through(picture: Luma, factor: float) -> Luma:
    """The picture made smaller by a factor and as large as before, antialiased, cubic."""
    transform = extra("skimage.transform")
    size = tuple(max(4, round(length / factor)) for length in picture.shape)
    small = transform.resize(picture, size, order=3, anti_aliasing=True, preserve_range=True)
    back: Luma = transform.resize(small, picture.shape, order=3, preserve_range=True)
    return back


def blur(picture: Luma) -> float:
    """Crete et al. 2007: how little the picture changes when it is blurred once more."""
    return float(extra("skimage.measure").blur_effect(picture / 255, h_size=5))


def directional_blur(picture: Luma) -> tuple[float, float]:
    """How much weaker fine detail is along one direction than across it, and that direction.

    Of the structure tensor of the finest detail: the square root of its eigenvalues' ratio (1 is
    alike everywhere); degrees from horizontal, counterclockwise, -90 to 90.
    """
    dy, dx = np.gradient(np.asarray(picture, np.float64))
    xx, yy, xy = (float((a * b).mean()) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    spread = np.hypot((xx - yy) / 2, xy)
    largest, smallest = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    strongest = 0.5 * np.arctan2(2 * xy, xx - yy)  # where the gradient points most
    weakest = np.degrees(strongest) + 90
    # Rows count downwards.
    angle = (-weakest + 90) % 180 - 90
    return float(np.sqrt(largest / max(smallest, 1e-9))), float(angle)


def noise(picture: Luma) -> float:
    """Standard deviation in codes, of the flattest quarter of the tiles.

    Source: Donoho and Johnstone 1994: the median of the finest diagonal wavelets, here Haar's.
    """
    tiles = _tiles(picture, _TILE)
    if not len(tiles):
        return 0.0
    flattest = tiles[np.argsort(tiles.std(axis=(1, 2)))][: max(1, len(tiles) // 4)]
    across = flattest[:, :, 1::2] - flattest[:, :, ::2]
    diagonal = (across[:, 1::2] - across[:, ::2]) / 2
    return float(np.median(np.abs(diagonal))) / 0.6745


def noise_share(picture: Luma) -> float:
    """Power of the noise over that of what each pixel has beyond the mean of 3x3."""
    fine = picture - extra("cv2").blur(picture, (3, 3))
    return noise(picture) ** 2 / max(float(np.square(fine).mean()), 1.0)


def blocking(picture: Luma) -> float:
    """Steps at the borders of 8x8 blocks over those within; 1 where there are none."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(picture, axis=axis))
        # Second differences: a slope has none, a block's border has.
        bends = np.abs(np.diff(steps, axis=axis)).mean(axis=1 - axis)
        if len(bends) < 3 * _GRID:
            continue
        phases = [float(bends[phase::_GRID].mean()) for phase in range(_GRID)]
        strongest = max(phases)
        ratios.append(strongest / max(float(np.median(phases)), 1e-6))
    return fmean(ratios) if ratios else 1.0


def banding(picture: Luma) -> float:
    """Share of the smooth tiles that are stairs: nearly everywhere equal, with steps between."""
    tiles = _tiles(picture, _TILE)
    rounded = np.rint(tiles)
    spread = np.ptp(rounded, axis=(1, 2)) if len(tiles) else np.zeros(0)
    smooth = (spread >= 1) & (spread <= 8)
    if smooth.sum() < 4:
        return 0.0
    level = (np.diff(rounded[smooth], axis=2) == 0).mean(axis=(1, 2))
    step = np.abs(np.diff(rounded[smooth], axis=2)).max(axis=(1, 2))
    return float(((level > 0.85) & (step >= 2)).mean())


def duplicates(run: Luma) -> float | None:
    """Share of frames that are the one before again, in a run that is not all one picture."""
    if len(run) < 2:
        return None
    differences = np.abs(np.diff(run, axis=0)).mean(axis=(1, 2))
    equal = differences < EQUAL
    return 0.0 if equal.all() else float(equal.mean())


def motions(run: Luma) -> Luma:
    """Lengths of the flow between neighbouring frames, pixels, where there is something to see."""
    cv2 = extra("cv2")
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    pictures = np.rint(np.clip(run, 0, 255)).astype(np.uint8)
    if len(pictures) < 2 or min(pictures.shape[1:]) < 32:
        return np.zeros(0, np.float32)
    lengths = []
    for before, after in pairwise(pictures):
        flow = finder.calc(before, after, None)
        seen = np.hypot(*np.gradient(before.astype(np.float32))) > 3
        if seen.mean() > 0.01 and not np.array_equal(before, after):
            lengths.append(np.hypot(flow[..., 0], flow[..., 1])[seen])
    return np.concatenate(lengths) if lengths else np.zeros(0, np.float32)


def _middle(run: Luma) -> Luma:
    """At most LARGEST pixels of each side."""
    top, left = (max(0, length - LARGEST) // 2 for length in run.shape[1:])
    return np.ascontiguousarray(run[:, top : top + LARGEST, left : left + LARGEST])


def _tiles(picture: Luma, side: int) -> NDArray[Any]:
    """(tiles, side, side)."""
    rows, columns = (length // side for length in picture.shape)
    cut = picture[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1, side, side)
