"""Draw the figures of one frame, as in the paper's Fig. 10 and 11."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsrdb_cli.inspection.analysis import Inspection
from vsrdb_cli.inspection.colours import (
    Array,
    Picture,
    flow_colours,
    flow_legend,
    flow_reach,
    grey,
    rgb,
    signed,
)

# The residual is small: it is drawn around mid-grey and amplified.
RESIDUAL_GAIN = 4
POINT_COLOURS = {"yellow": (255, 214, 0), "green": (0, 200, 83), "pink": (255, 64, 129)}
# Kernels drawn along the picture's longer side.
_KERNELS_ACROSS = 12
_LEGEND_SIDE = 151
_GAP = 2
_BACKGROUND = 208


@dataclass(frozen=True)
class Figure:
    """A picture with a title."""

    name: str
    """For file names."""
    group: str
    """A key of GROUPS."""
    title: str
    picture: Picture
    """(H, W, 3)."""
    lr_scale: float = 0
    """Screen pixels per LR pixel; 0 for anything but a picture of the frame (legends, kernels)."""


# Titles and captions of the groups, in the order of the network's steps.
GROUPS = {
    "input": ("Input", "{T} frames; the middle one is restored."),
    "flow": (
        "Image flow fˣ",
        "Where the middle frame's pixels lie in each frame: hue is the direction, saturation the"
        " length; the rim of the wheel is {image_reach:g} LR pixels.",
    ),
    "mask": ("Occlusion masks oˣ", "How much of each pixel is used: white all, black nothing."),
    "warped": (
        "Warped frames X′",
        "Frames warped onto the middle one, times the mask; they look alike where motion was"
        " found.",
    ),
    "feature flow": (
        "Feature flows fᴿ",
        "The {n} flows that warp the features, one per group of channels; the rim of the wheel is"
        " {feature_reach:g} LR pixels.",
    ),
    "degradation": (
        "Degradation kernels Kᴰ over the picture",
        "How {k_d}x{k_d} sharp pixels of each frame were mixed into one; white is the largest"
        " weight; below, each frame's share.",
    ),
    "restoration": (
        "Restoration kernels Kᴿ at {points} points",
        "The {k_r}x{k_r} weights on each frame for each of the {s}x{s} new pixels: red adds, blue"
        " subtracts.",
    ),
    "parts": (
        "Result",
        "The filter's output for the warped frames, the residual (around grey, amplified {gain}"
        " times), their sum, and bicubic enlargement for comparison.",
    ),
}


@dataclass(frozen=True)
class Scales:
    """The flow, in LR pixels, that full colour stands for; the same for all frames of a figure."""

    image_reach: float
    feature_reach: float

    @classmethod
    def of(cls, found: Inspection) -> Scales:
        """Choose the scales of a frame."""
        features = found.feature_flow.reshape(-1, 2, *found.size)
        return cls(flow_reach(*found.flow), flow_reach(*features))


def captions(found: Inspection) -> dict[str, tuple[str, str]]:
    """Return the title and caption of each group of figures, by its name."""
    scales = Scales.of(found)
    values = {
        "T": found.length,
        "n": found.feature_flow.shape[1],
        "k_d": found.kernels.degradation.shape[-1],
        "k_r": found.kernels.restoration.shape[-1],
        "s": found.kernels.restoration.shape[2],
        "points": len(points(found)),
        "gain": RESIDUAL_GAIN,
        "image_reach": scales.image_reach,
        "feature_reach": scales.feature_reach,
    }
    return {
        name: (title.format(**values), caption.format(**values))
        for name, (title, caption) in GROUPS.items()
    }


def frame_name(found: Inspection, t: int) -> str:
    """Return "t-1", "t" or "t+1"."""
    offset = t - found.centre
    return f"t{offset:+d}" if offset else "t"


def figures(found: Inspection) -> Iterator[Figure]:
    """Yield all figures, in the order of the network's steps."""
    scales = Scales.of(found)
    names = [frame_name(found, t) for t in range(found.length)]
    for t, name in enumerate(names):
        yield Figure(f"input_{name}", "input", f"frame {name}", rgb(found.frames[t]), 1)
    for t, name in enumerate(names):
        picture = flow_colours(found.flow[t], scales.image_reach)
        yield Figure(f"flow_{name}", "flow", f"flow t → {name}", picture, 1)
    yield Figure("flow_legend", "flow", "legend", flow_legend(_LEGEND_SIDE))
    for t, name in enumerate(names):
        yield Figure(f"mask_{name}", "mask", f"mask {name}", grey(found.mask[t]), 1)
    for t, name in enumerate(names):
        yield Figure(f"warped_{name}", "warped", f"warped {name}", rgb(found.warped[t]), 1)
    for t, name in enumerate(names):
        if t == found.centre:
            continue
        for j, flow in enumerate(found.feature_flow[t]):
            picture = flow_colours(flow, scales.feature_reach)
            title = f"flow {j + 1}, t → {name}"
            yield Figure(f"feature_flow_{name}_{j + 1}", "feature flow", title, picture, 1)
    for t, name in enumerate(names):
        share = found.kernels.degradation[:, :, t].sum(axis=(2, 3)).mean()
        title = f"frame {name}: {share:.1%}"
        yield Figure(f"degradation_{name}", "degradation", title, kernel_map(found, t))
    for number, (row, column) in enumerate(points(found), start=1):
        y, x = row * found.kernels.every, column * found.kernels.every
        title = f"point {number} ({tuple(POINT_COLOURS)[number - 1]}; x {x}, y {y})"
        picture = restoration_kernels(found.kernels.restoration[row, column])
        yield Figure(f"restoration_{number}", "restoration", title, picture)
    yield Figure("points", "restoration", "the points", with_points(found))
    scale = found.restored.shape[-1] // found.size[1]
    residual = found.residual * RESIDUAL_GAIN + 0.5
    parts: tuple[tuple[str, str, Array], ...] = (
        ("filtered", "filtered", found.filtered),
        ("residual", "residual", residual),
        ("restored", "filtered + residual = restored", found.restored),
        ("bicubic", "bicubic", found.bicubic),
    )
    for name, title, values in parts:
        yield Figure(name, "parts", title, rgb(values), scale)


def kernel_map(found: Inspection, t: int) -> Picture:
    """Draw K^D of frame t at places all over the picture, laid out like the places."""
    kernels = found.kernels.degradation
    rows, columns, _, side, _ = kernels.shape
    across = max(1, round(_KERNELS_ACROSS * columns / max(rows, columns)))
    down = max(1, round(_KERNELS_ACROSS * rows / max(rows, columns)))
    chosen = kernels[np.ix_(_spread(rows, down), _spread(columns, across))]
    tap = max(1, 40 // side)
    cells = [
        [_enlarged(grey(kernel[t], float(kernel.max())), tap) for kernel in line] for line in chosen
    ]
    return _table(cells)


def restoration_kernels(kernel: Array, tap: int = 6) -> Picture:
    """Draw K^R of one LR pixel, (s, s, T, k, k): a table of s x s kernels for each frame."""
    reach = float(np.abs(kernel).max())
    blocks = []
    for t in range(kernel.shape[2]):
        cells = [[_enlarged(signed(one, reach), tap) for one in line] for line in kernel[:, :, t]]
        blocks.append(np.pad(_table(cells), ((4, 4), (4, 4), (0, 0)), constant_values=255))
    return np.hstack(blocks)


def points(found: Inspection) -> list[tuple[int, int]]:
    """Choose places of the kernels' grid (row, column) with the strongest edges, well apart."""
    every = found.kernels.every
    luma = found.frames[found.centre].mean(axis=0)
    strength = np.hypot(*np.gradient(luma))[::every, ::every].copy()
    rows, columns = strength.shape
    apart = max(rows, columns) / 5
    y, x = np.mgrid[0:rows, 0:columns]
    border = min(rows, columns) // 8
    strength[(y < border) | (y >= rows - border) | (x < border) | (x >= columns - border)] = -1
    found_places: list[tuple[int, int]] = []
    while len(found_places) < len(POINT_COLOURS) and strength.max() > -1:
        row, column = divmod(int(strength.argmax()), columns)
        found_places.append((row, column))
        strength[np.hypot(y - row, x - column) < apart] = -1
    return found_places


def with_points(found: Inspection) -> Picture:
    """Draw the centre frame, enlarged, with the chosen points in boxes of their colours."""
    zoom = max(1, 480 // max(found.size))
    picture = _enlarged(rgb(found.frames[found.centre]), zoom)
    every, reach = found.kernels.every, 3 * max(1, max(found.size) // 160)
    for number, (row, column) in enumerate(points(found)):
        top, left = (max(0, place * every - reach) * zoom for place in (row, column))
        bottom, right = ((place * every + reach + 1) * zoom for place in (row, column))
        inside = picture[top:bottom, left:right].copy()
        width = max(1, zoom)
        picture[top:bottom, left:right] = tuple(POINT_COLOURS.values())[number]
        picture[top + width : bottom - width, left + width : right - width] = inside[
            width:-width, width:-width
        ]
    return picture


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Spread `count` places evenly over `length`, each in the middle of its part."""
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _enlarged(picture: Picture, times: int) -> Picture:
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _table(cells: list[list[Picture]]) -> Picture:
    """Arrange pictures of one size in rows, with gaps between them."""
    gap = ((0, _GAP), (0, _GAP), (0, 0))
    lines = [
        np.hstack([np.pad(cell, gap, constant_values=_BACKGROUND) for cell in line])
        for line in cells
    ]
    return np.vstack(lines)[:-_GAP, :-_GAP]
