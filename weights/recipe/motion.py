"""Move a layer smoothly: where its texture is read at any time, and the resulting flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class LayerMotion:
    """At time t (in frames; 0 = middle of the centre's exposure) pixel x shows the texture at
    x + position(t) + t * shape(x); at t = 0 the texture is seen untouched.

    `velocity`, `acceleration` and `shake` are (dx, dy) in HR pixels (per frame, per frame²);
    `shape` is (H, W, 2), HR pixels per frame: rotation, zoom, shear and soft deformation.
    """

    velocity: Array
    acceleration: Array
    shake: Array
    shake_rate: float
    shake_phase: float
    shape: Array

    def displacement(self, time: float) -> Array:
        """Return (H, W, 2) to add to a pixel's position to find its texture."""
        return self.source(time, np.zeros_like(self.shape))

    def source(self, time: float, grid: Array) -> Array:
        """Return `grid` + displacement at `time`."""
        sway = np.sin(self.shake_rate * time + self.shake_phase) - np.sin(self.shake_phase)
        position = self.velocity * time + self.acceleration * (time * time / 2) + self.shake * sway
        moved = cv2.scaleAdd(self.shape, time, grid)
        return cv2.add(moved, (*position.tolist(), 0.0, 0.0), dst=moved)

    def flow(self, time: float) -> Array:
        """Return the flow from the centre to `time`, (H, W, 2) as (dx, dy)."""
        grid = pixel_grid(*self.shape.shape[:2])
        found = -self.displacement(time)
        # Texture x is seen at y with y + displacement(y) = x; displacement varies slowly, so
        # the fixed point converges within a few hundredths of a pixel in four steps.
        displacement = self.displacement(time)
        for _ in range(4):
            found = -cv2.remap(
                displacement, grid + found, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        return found

    @cached_property
    def speed(self) -> float:
        """Largest displacement between neighbouring frames, HR pixels."""
        both = (self.displacement(-1), self.displacement(1))
        return float(max(np.sqrt((d * d).sum(-1)).max() for d in both))


@lru_cache(maxsize=8)
def pixel_grid(height: int, width: int, offset: int = 0) -> Array:
    """Return (H, W, 2) positions (x, y) of pixels, plus `offset`."""
    x, y = np.meshgrid(
        np.arange(offset, offset + width, dtype=np.float32),
        np.arange(offset, offset + height, dtype=np.float32),
    )
    return np.stack([x, y], axis=-1)


def still(side: int) -> LayerMotion:
    """Return no motion at all."""
    zero = np.zeros(2, np.float32)
    return LayerMotion(zero, zero, zero, 0.0, 0.0, np.zeros((side, side, 2), np.float32))


def random_motion(rng: np.random.Generator, side: int, *, speed: float) -> LayerMotion:
    """Draw handheld-like motion of about `speed` HR pixels per frame in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    # Pans and walks move sideways more than up and down.
    direction = np.array([np.cos(angle), rng.choice([0.4, 1.0]) * np.sin(angle)])
    velocity = speed * direction
    acceleration = rng.normal(0, 0.12 * speed + 0.3, 2)
    shake = rng.normal(0, min(0.15 * speed + 0.3, 2.5), 2)

    grid = pixel_grid(side, side)
    # The affine part turns about a point inside or outside of the window.
    about = np.array([side / 2, side / 2]) + rng.normal(0, side / 2, 2)
    spread = 0.002 + 0.0006 * speed
    turn, zoom = rng.normal(0, min(spread, 0.02), 2)
    shear = rng.normal(0, min(spread, 0.02) / 2, (2, 2))
    matrix = np.array([[zoom, -turn], [turn, zoom]]) + shear
    shape = (grid - about) @ matrix.T
    if rng.random() < 0.3:
        # Depth and bending: a soft field on top.
        cells = int(rng.integers(3, 8))
        size = min(rng.exponential(0.12 * speed + 0.2), 4.0)
        field = rng.normal(0, size, (cells, cells, 2)).astype(np.float32)
        shape = shape + cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
    return LayerMotion(
        velocity.astype(np.float32),
        acceleration.astype(np.float32),
        shake.astype(np.float32),
        float(rng.uniform(0.8, 2.5)),
        float(rng.uniform(0, 2 * np.pi)),
        shape.astype(np.float32),
    )
