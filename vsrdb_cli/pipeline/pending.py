"""Finishes a restored picture where it was computed, and downloads it in the background."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vsrdb_cli.errors import BackendError
from vsrdb_cli.video.pixels.colour import WHITE_8, WHITE_16, to_planes


class Pending:
    """The codes of a restored picture; what its runner does next need not wait for them.

    With CUDA clamping, rounding and the check for finite numbers happen on the GPU, and a quarter
    of the bytes goes to pinned memory by itself: keep one `Pending` while the next window is begun,
    and the GPU never waits.

    Args:
        restored: (1, 3, H, W), float, unclamped, on any device.
        depth: of the codes, 8 or 16.
        origin: the runner, to be named if the numbers are not finite.
    """

    def __init__(self, restored: Tensor, depth: int, origin: str) -> None:
        if not restored.is_cuda:  # other GPUs lack some of what follows, or 16-bit codes
            restored = restored.cpu()
        self._picture, self._depth, self._origin = restored[0], depth, origin
        # They pass a NaN on, in one reading.
        self._extremes = torch.stack(restored.aminmax())
        self._event: torch.cuda.Event | None = None
        if restored.is_cuda:
            codes = _codes(self._picture, depth)
            with torch.cuda.device_of(restored):  # type: ignore[no-untyped-call]
                self._picture, self._extremes = _downloading(codes), _downloading(self._extremes)
                self._event = reached()

    @property
    def is_under_way(self) -> bool:
        """True while a GPU may still work on it, so that other work can be done here."""
        return self._event is not None

    def result(self) -> Tensor:
        """Return (3, H, W), uint8 or uint16, on the CPU; halves are rounded to even.

        Raises:
            BackendError: some of the numbers were not finite.
        """
        if self._event is not None:
            self._event.synchronize()
        _require_finite(self._extremes, self._origin)
        return self._picture if self._event is not None else to_planes(self._picture, self._depth)


def reached(cuda: Any = torch.cuda) -> torch.cuda.Event:
    """Record an event that is over once the current stream has come here.

    Waiting for it sleeps. By default it would spin, on a core that decoding and encoding need.
    """
    event: torch.cuda.Event = cuda.Event(blocking=True)
    event.record()
    return event


def clamped(restored: Tensor, origin: str) -> Tensor:
    """Clamp a restored picture on the CPU in place to 0 to 1, (1, 3, H, W) -> (3, H, W).

    Raises:
        BackendError: some of the numbers were not finite.
    """
    with torch.inference_mode():  # what a network gives was made in that mode
        _require_finite(torch.stack(restored.aminmax()), origin)
        return restored.clamp_(0, 1)[0]


def _require_finite(extremes: Tensor, origin: str) -> None:
    if not extremes.isfinite().all():
        raise BackendError(f"results of {origin} are not finite", hint="use --precision float32")


def _codes(picture: Tensor, depth: int) -> Tensor:
    """Convert as `to_planes` does, on the picture's device."""
    white, kind = (WHITE_8, torch.uint8) if depth == 8 else (WHITE_16, torch.uint16)
    return picture.float().clamp(0, 1).mul_(white).round_().to(kind)


def _downloading(tensor: Tensor) -> Tensor:
    """Return a copy in pinned memory, complete once the current stream has come to it."""
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)
