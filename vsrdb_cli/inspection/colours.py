"""Turn numbers into colours: a colour wheel for flow, red and blue for signed values, grey."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Array = NDArray[np.float32]

# Steps from each hue to the next: red, yellow, green, cyan, blue, magenta.
_STEPS = (15, 6, 4, 11, 13, 6)
_RED, _BLUE = np.array([178, 24, 43]) / 255, np.array([33, 102, 172]) / 255


@cache
def _wheel() -> Array:
    """Return (55, 3) hues, 0 to 1, around the circle; Baker et al. 2011."""
    corners = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0))
    parts = [
        np.linspace(corners[i], corners[i + 1], steps, endpoint=False)
        for i, steps in enumerate(_STEPS)
    ]
    return np.concatenate(parts).astype(np.float32)


def flow_colours(flow: Array, reach: float) -> Picture:
    """Colour flow (2, H, W) as (H, W, 3): hue is the direction, saturation the length over `reach`.

    No motion is white; flow longer than `reach` is darker than any within.

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011).
    """
    dx, dy = flow / max(reach, 1e-6)
    radius = np.hypot(dx, dy)
    wheel = _wheel()
    place = (np.arctan2(-dy, -dx) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(place).astype(int)
    part = (place - low)[..., None]
    hue = wheel[low] * (1 - part) + wheel[(low + 1) % len(wheel)] * part
    length = radius[..., None]
    colours = np.where(length <= 1, 1 - length * (1 - hue), hue * 0.75)
    return _codes(colours)


def flow_legend(side: int) -> Picture:
    """Draw the wheel, (side, side, 3): its rim is flow as long as the reach; white outside."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    half = (side - 1) / 2
    flow = np.stack([(x - half) / half, (y - half) / half])
    colours = flow_colours(flow, 1.0)
    colours[np.hypot(*flow) > 1] = 255
    return colours


def flow_reach(*flows: Array) -> float:
    """Return a round number of pixels that covers nearly all of the flow."""
    longest = max(float(np.percentile(np.hypot(*flow), 99)) for flow in flows)
    steps = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5)]
    return next((step for step in steps if step >= longest), steps[-1])


def signed(values: Array, reach: float) -> Picture:
    """Colour (H, W) as (H, W, 3): red above 0, white at 0, blue below; full colour at `reach`."""
    share = np.clip(values / max(reach, 1e-12), -1, 1)[..., None]
    return _codes(1 - np.abs(share) * (1 - np.where(share > 0, _RED, _BLUE)))


def grey(values: Array, reach: float = 1.0) -> Picture:
    """Draw (H, W), 0 to `reach`, as (H, W, 3) grey."""
    return _codes(np.repeat(np.clip(values / max(reach, 1e-12), 0, 1)[..., None], 3, axis=2))


def rgb(picture: Array) -> Picture:
    """Convert (3, H, W), RGB 0 to 1, to (H, W, 3) codes."""
    return _codes(np.clip(picture, 0, 1).transpose(1, 2, 0))


def _codes(colours: NDArray[Any]) -> Picture:
    codes: Picture = np.rint(np.asarray(colours) * 255).astype(np.uint8)
    return codes
