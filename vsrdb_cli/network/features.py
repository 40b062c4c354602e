"""Hold the features of frames, and join them into windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.layout import Joined


@dataclass(frozen=True)
class FrameFeatures:
    """The contribution of a frame to every window it is in.

    picture: (B, 3, H, W). degradation, restoration: M + 1 tensors (B, C, H, W) each: F^0..F^M of
    Net^D and Net^R.
    """

    picture: Tensor
    degradation: Sequence[Tensor]
    restoration: Sequence[Tensor]

    def tensors(self) -> list[Tensor]:
        """Return all of them, picture first."""
        return [self.picture, *self.degradation, *self.restoration]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> FrameFeatures:
        """Restore features from the result of `tensors()`."""
        levels = len(tensors) // 2
        return cls(tensors[0], tensors[1 : levels + 1], tensors[levels + 1 :])


def window_of(window: Sequence[FrameFeatures], length: int) -> FrameFeatures:
    """Join the features of T frames (B each), with batch index b*T + t, when they are used."""
    if len(window) != length:
        raise ShapeError(f"a window of {len(window)} frames, expected {length}")
    return FrameFeatures.of(Joined([frame.tensors() for frame in window]))
