"""Measure a video: resolution, blur, noise, blocks, banding, exposure, bars, repeats, motion.

A run is (N, H, W): N consecutive frames, luma in 8-bit codes, float32. Measures of a single picture
take (H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vsrdb_cli.evaluation.metrics import import_extra
from vsrdb_cli.video.pixels.interlacing import combing

Luma = NDArray[np.float32]

# Factors by which a picture is shrunk to see what it loses.
FACTORS = (1.5, 2.0, 3.0, 4.0)
# The share of its detail that an enlarged picture loses, at most, when shrunk and enlarged again.
KEPT = 0.04
# Luma codes: darker is crushed, lighter is clipped; smaller differences count as none.
DARK, LIGHT, EQUAL = 16.0, 250.0, 0.4
# The luma of black after compression, the percentile of a line's pixels that has to be as dark, and
# the fewest lines of a bar.
BLACK, _BRIGHT_SHARE, _THINNEST_BAR = 12.0, 98, 4
_TILE = 16
LARGEST = 512
_GRID = 8


@dataclass(frozen=True)
class Bars:
    """Rows and columns of a picture that are black from edge to edge, as even numbers."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def any(self) -> bool:
        """True if there is one."""
        return bool(self.top or self.bottom or self.left or self.right)

    @classmethod
    def common(cls, several: Sequence[Bars]) -> Bars | None:
        """Return the bars that all have; None of none."""
        return cls(*map(min, zip(*map(astuple, several), strict=True))) if several else None


@dataclass(frozen=True)
class Measures:
    """Means or medians over the frames looked at."""

    enlarged_by: float
    """Factor by which the picture can be shrunk without losing detail; 1 if it cannot."""
    blur: float
    """0 (sharp) to 1; Crete's measure."""
    blur_ratio: float
    """How much weaker the finest detail is along its weakest direction than across it."""
    blur_angle: float
    """That direction, in degrees from horizontal, counterclockwise."""
    noise: float
    """Standard deviation in codes."""
    noise_share: float
    """Power of the noise over that of all fine detail."""
    blocking: float
    """Steps at an 8x8 grid over steps beside it; 1 is none."""
    combing: float
    """Share of the picture that shows interlacing combs."""
    banding: float
    """Share of the smooth areas that are stepped."""
    dark: float
    """Share of the picture that is nearly black."""
    clipped: float
    """Share of the picture that is nearly white."""
    bars: Bars | None
    """Black bars that all frames have; None if they are too dark to tell."""
    duplicates: float | None
    """Share of frames that look like the previous one; None for a single picture."""
    repeated: float | None
    """Share of frames that are equal to the previous one; None for a single picture."""
    motion: float | None
    """Median length of the motion, in pixels per frame; None for a single picture."""
    fast_motion: float | None
    """95th percentile of the same."""
    detail: float
    """Mean gradient, in codes per pixel."""

    def as_json(self) -> dict[str, Any]:
        """Return plain, rounded values."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def mean(cls, several: list[Measures]) -> Measures:
        """Average over runs.

        `enlarged_by` is the median, `blur_angle` that of the first run, `bars` those of all runs.
        """
        values: dict[str, Any] = {"bars": Bars.common([one.bars for one in several if one.bars])}
        for field in fields(cls):
            if field.name in values:
                continue
            known = [value for one in several if (value := getattr(one, field.name)) is not None]
            values[field.name] = fmean(known) if known else None
        values["enlarged_by"] = median(one.enlarged_by for one in several)
        values["blur_angle"] = several[0].blur_angle
        return cls(**values)


def measure_frames(run: Luma) -> Measures:
    """Measure a run of frames within its black bars; of large ones only their middle.

    Exposure is that of whole frames.
    """
    dark, clipped = float((run < DARK).mean()), float((run > LIGHT).mean())
    bars, repeated = black_bars(run), repeats(run)
    run = _measured_part(run, bars)
    pictures = _measured_pictures(run)
    deviation, share = _mean_noise(pictures)
    ratio, angle = directional_blur(pictures[0])
    flows, unmoved = motions(run), 0.0 if len(run) > 1 else None
    return Measures(
        enlarged_by=median(enlarged_by(picture) for picture in pictures),
        blur=fmean(blur(picture) for picture in pictures),
        blur_ratio=ratio,
        blur_angle=angle,
        noise=deviation,
        noise_share=share,
        blocking=fmean(blocking(picture) for picture in pictures),
        combing=fmean(combing(torch.from_numpy(picture)) for picture in pictures),
        banding=fmean(banding(picture) for picture in pictures),
        dark=dark,
        clipped=clipped,
        bars=bars,
        duplicates=duplicates(run),
        repeated=repeated,
        motion=float(np.median(flows)) if flows.size else unmoved,
        fast_motion=float(np.percentile(flows, 95)) if flows.size else unmoved,
        detail=fmean(float(np.hypot(*np.gradient(picture)).mean()) for picture in pictures),
    )


def measure_noise(run: Luma) -> tuple[float, float]:
    """Measure no more than `noise` and `noise_share`, as `measure_frames` does."""
    return _mean_noise(_measured_pictures(_measured_part(run, black_bars(run))))


def enlarged_by(picture: Luma) -> float:
    """Return the largest of FACTORS that loses nothing but noise; 1 if none does."""
    cv2 = import_extra("cv2")
    detail = picture - cv2.GaussianBlur(picture, (0, 0), 2.0)
    # Differences below the noise are no detail; quantisation is noise, too.
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
    """Shrink the picture by a factor and enlarge it again, antialiased, cubic."""
    transform = import_extra("skimage.transform")
    size = tuple(max(4, round(length / factor)) for length in picture.shape)
    small = transform.resize(picture, size, order=3, anti_aliasing=True, preserve_range=True)
    back: Luma = transform.resize(small, picture.shape, order=3, preserve_range=True)
    return back


def blur(picture: Luma) -> float:
    """Measure how little the picture changes when it is blurred once more, 0 to 1.

    Source: Crete et al. 2007.
    """
    return float(import_extra("skimage.measure").blur_effect(picture / 255, h_size=5))


def directional_blur(picture: Luma) -> tuple[float, float]:
    """Measure how much weaker fine detail is along one direction than across it.

    Returns:
        The square root of the ratio of the structure tensor's eigenvalues (1: the same in all
        directions), and the weakest direction in degrees from horizontal, counterclockwise,
        -90 to 90.
    """
    dy, dx = np.gradient(np.asarray(picture, np.float64))
    xx, yy, xy = (float((a * b).mean()) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    spread = np.hypot((xx - yy) / 2, xy)
    largest, smallest = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    strongest = 0.5 * np.arctan2(2 * xy, xx - yy)
    weakest = np.degrees(strongest) + 90
    # Rows count downwards.
    angle = (-weakest + 90) % 180 - 90
    return float(np.sqrt(largest / max(smallest, 1e-9))), float(angle)


def noise(picture: Luma) -> float:
    """Return the noise's standard deviation in codes, from the flattest quarter of the tiles.

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
    """Return the noise's power over that of the difference from the mean of 3x3 pixels."""
    fine = picture - import_extra("cv2").blur(picture, (3, 3))
    return noise(picture) ** 2 / max(float(np.square(fine).mean()), 1.0)


def blocking(picture: Luma) -> float:
    """Return the height of steps at the borders of 8x8 blocks over those within; 1 for none."""
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
    """Return the share of the smooth tiles that are stepped: nearly flat, with steps between."""
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
    """Return the share of frames that repeat the previous one; 0 for a still."""
    if len(run) < 2:
        return None
    differences = np.abs(np.diff(run, axis=0)).mean(axis=(1, 2))
    equal = differences < EQUAL
    return 0.0 if equal.all() else float(equal.mean())


def repeats(run: Luma) -> float | None:
    """Return the share of frames that are equal to the previous one; None for a single picture."""
    return fmean(map(np.array_equal, run, run[1:])) if len(run) > 1 else None


def black_bars(run: Luma) -> Bars | None:
    """Find the black bars around a run of frames; None if the picture is too dark to tell.

    A bar ends with a step: a dark edge of the picture is none.
    """
    lightest = run.max(axis=0)
    sides = []
    for axis in (1, 0):
        lines = np.percentile(lightest, _BRIGHT_SHARE, axis=axis)
        if np.median(lines) <= BLACK:
            return None
        for ordered in (lines, lines[::-1]):
            black = int(np.argmax(ordered > BLACK))
            steps = bool(ordered[black : black + 3].max() > DARK + BLACK)
            sides.append(black + black % 2 if steps and black >= _THINNEST_BAR else 0)
    return Bars(*sides)


def motions(run: Luma) -> Luma:
    """Return the flow's lengths in pixels between neighbouring frames, wherever there is detail."""
    cv2 = import_extra("cv2")
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


def _mean_noise(pictures: Luma) -> tuple[float, float]:
    return fmean(map(noise, pictures)), fmean(map(noise_share, pictures))


def _measured_pictures(run: Luma) -> Luma:
    """Return the three pictures of a run that are measured one by one, or all of fewer."""
    return run[:: max(1, len(run) // 2)]


def _measured_part(run: Luma, bars: Bars | None) -> Luma:
    """Crop to the middle of what lies within the bars, at most LARGEST pixels a side."""
    if bars is not None:
        height, width = run.shape[1:]
        run = run[:, bars.top : height - bars.bottom, bars.left : width - bars.right]
    top, left = (max(0, length - LARGEST) // 2 for length in run.shape[1:])
    return np.ascontiguousarray(run[:, top : top + LARGEST, left : left + LARGEST])


def _tiles(picture: Luma, side: int) -> NDArray[Any]:
    """Cut into whole tiles, (tiles, side, side)."""
    rows, columns = (length // side for length in picture.shape)
    cut = picture[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1, side, side)
