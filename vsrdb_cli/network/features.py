"""Hold the features of frames, and join them into windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.layout import join


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
        picture, *features = tensors
        levels = len(features) // 2
        return cls(picture, features[:levels], features[levels:])


def window_of(window: Sequence[FrameFeatures], length: int) -> FrameFeatures:
    """Join the features of T frames (B each), with batch index b*T + t."""
    if len(window) != length:
        raise ShapeError(f"a window of {len(window)} frames, expected {length}")

    return FrameFeatures(
        join([frame.picture for frame in window]),
        _JoinedLevels([frame.degradation for frame in window]),
        _JoinedLevels([frame.restoration for frame in window]),
    )


class _JoinedLevels(Sequence[Tensor]):
    """F^0..F^M of a window, each joined on first use.

    All of them side by side would double the memory that the frames' features take.
    """

    def __init__(self, frames: Sequence[Sequence[Tensor]]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames[0])

    def __getitem__(self, level: Any) -> Any:
        return join([features[level] for features in self._frames])
