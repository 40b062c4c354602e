"""Restores the pictures of one video: windows, features held, and tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.backends.runner import Features, Runner
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import OptionError, ResourceError
from vsrdb_cli.pipeline.memory import is_out_of_memory
from vsrdb_cli.pipeline.pending import Pending, clamped
from vsrdb_cli.pipeline.repeats import runs
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.pipeline.tiling import TiledRunner, smaller_side, tiled
from vsrdb_cli.pipeline.windows import sliding_windows
from vsrdb_cli.video.pixels.colour import to_float

Item = TypeVar("Item")
Finished = TypeVar("Finished")


@dataclass
class _Held(Generic[Item]):
    """A run of frames in the windows, with its features once they are computed."""

    items: Sequence[Item]
    picture: Tensor
    starts_shot: bool
    features: Features = None


class Restorer:
    """Restores one video, in smaller tiles once memory runs out.

    Args:
        tile: side of the tiles in LR pixels; None for whole pictures.
        scale: 1 to the runner's; below it the result is scaled down, antialiased.
        budget: bytes the network may take; the features of all tiles are held where they fit.
        strength: of the restored picture, against its bicubic enlargement; 0 to 1.
        on_shrink: called with the new side when memory runs out and tiles get smaller.

    Attributes:
        tile: side of the tiles in use; None for whole pictures.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        tile: int | None,
        budget: float = float("inf"),
        scale: int = 4,
        strength: float = 1.0,
        scene_cuts: bool = True,
        on_shrink: Callable[[int], None] = ignore,
    ) -> None:
        if not 1 <= scale <= runner.scale:
            raise OptionError(
                f"scale {scale} is not possible", hint=f"use --scale 1 to {runner.scale}"
            )
        self._runner = self._untiled = runner
        self._scale, self._strength, self._scene_cuts = scale, strength, scene_cuts
        self._on_shrink = on_shrink
        self._side, self._budget = tile, budget
        self._size: tuple[int, int] | None = None
        self.tile: int | None = None

    @property
    def reach(self) -> int:
        """Frames of context a window has on either side of its centre."""
        return self._untiled.length // 2

    def run(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        *,
        starts_shot: Callable[[Item], bool] | None = None,
        wanted: Callable[[Item], bool] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Iterator[tuple[Item, Tensor]]:
        """Restore (item, picture) pairs; items come out with their restored pictures, in order.

        Pictures that repeat the one before are restored once and share the result.

        Args:
            pictures: (3, H, W), RGB, float from 0 to 1 or codes; a change of size begins a shot.
            starts_shot: returns whether an item, the first with its picture, begins a shot; None
                has it detected.
            wanted: returns whether an item is restored, or is only context.
            size: (height, width) of the LR pictures whose results are wanted; what is restored
                from another size is brought to theirs. None: each picture's own.

        Raises:
            BackendError: some of the numbers of a picture are not finite.
        """
        finish = partial(clamped, origin=str(self._untiled.info))
        for items, restored in self._restored(pictures, starts_shot, wanted, size, finish):
            for item in items:
                yield item, restored

    def run_to_codes(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        depth: int,
        *,
        starts_shot: Callable[[Item], bool] | None = None,
        wanted: Callable[[Item], bool] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Iterator[tuple[Item, Tensor]]:
        """Restore as `run` does, into codes of `depth` bits, 8 or 16; see `Pending`.

        A GPU gets its next window before its last picture is waited for.

        Raises:
            BackendError: some of the numbers of a picture are not finite.
        """
        begun: deque[tuple[Sequence[Item], Pending]] = deque()
        finish = partial(Pending, depth=depth, origin=str(self._untiled.info))
        for items, last in self._restored(
            pictures, starts_shot, wanted, size, finish, on_device=True
        ):
            begun.append((items, last))
            while len(begun) > (1 if last.is_under_way else 0):
                yield from _each(*begun.popleft())
        for items, pending in begun:
            yield from _each(items, pending)

    def _restored(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        starts_shot: Callable[[Item], bool] | None,
        wanted: Callable[[Item], bool] | None,
        size: tuple[int, int] | None,
        finish: Callable[[Tensor], Finished],
        *,
        on_device: bool = False,
    ) -> Iterator[tuple[Sequence[Item], Finished]]:
        """Yield the items wanted of each run, and what `finish` makes of its (1, 3, s H, s W).

        That is unclamped. With `on_device` it is still on the device where nothing else is done to
        it.
        """
        held_runs = self._held(pictures, starts_shot)
        windows = sliding_windows(held_runs, self._untiled.length, lambda held: held.starts_shot)
        for window in windows:
            centre = window[self.reach]
            items = [item for item in centre.items if wanted is None or wanted(item)]
            if items:
                finish_one = partial(self._finish, finish, centre.picture, size)
                yield items, self._restore(window, finish_one, on_device=on_device)

    def _held(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        starts_shot: Callable[[Item], bool] | None,
    ) -> Iterator[_Held[Item]]:
        detector = SceneCutDetector()
        shape = None
        for run in runs(pictures):
            picture = run.picture
            if not picture.is_floating_point():
                picture = to_float(picture)
            if not self._scene_cuts:
                cut = False
            else:
                cut = detector(picture) if starts_shot is None else starts_shot(run.items[0])
            yield _Held(run.items, picture, cut or picture.shape != shape)
            shape = picture.shape

    def _finish(
        self,
        finish: Callable[[Tensor], Finished],
        picture: Tensor,
        size: tuple[int, int] | None,
        restored: Tensor,
    ) -> Finished:
        """Blend what was restored of `picture`, bring it to the size wanted, and finish it."""
        restored = self._blended(restored, picture)
        height, width = size or picture.shape[1:]
        size_hr = (height * self._scale, width * self._scale)
        if restored.shape[2:] != size_hr:
            restored = F.interpolate(restored.cpu(), size=size_hr, mode="bicubic", antialias=True)
        return finish(restored)

    def _blended(self, restored: Tensor, picture: Tensor) -> Tensor:
        """Blend the restored picture with the plain enlargement; (1, 3, s H, s W)."""
        if self._strength == 1:
            return restored
        return torch.lerp(bicubic(picture[None], self._untiled.scale), restored, self._strength)

    def _restore(
        self,
        window: tuple[_Held[Item], ...],
        finish: Callable[[Tensor], Finished],
        *,
        on_device: bool,
    ) -> Finished:
        """Restore the centre and finish it, with less memory where it runs out in either."""
        size = (window[0].picture.shape[1], window[0].picture.shape[2])
        if self._size != size:
            self._size = size
            self._use_tile()
        before = self._side
        while True:
            try:
                for held in window:
                    if held.features is None:
                        held.features = self._runner.encode(held.picture[None])
                features = [held.features for held in window]
                if on_device and self._strength == 1:
                    restored = self._runner.restore_on_device(features)
                else:
                    restored = self._runner.restore(features)
                result = finish(restored)
                if self._side is not None and self._side != before:
                    self._on_shrink(self._side)
                return result
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less(size, error)
            for held in window:
                held.features = None
            self._use_tile()

    def _take_less(self, size: tuple[int, int], error: Exception) -> None:
        """Hold fewer features, which changes no pixel; where none are held, take smaller tiles."""
        if isinstance(self._runner, TiledRunner) and self._runner.hold:
            self._budget = 0
            return
        smaller = smaller_side(self.tile, size)
        if smaller is None:
            raise ResourceError(
                f"memory ran out even in tiles of {self.tile or max(size)} pixels, and smaller"
                " ones would save nothing",
                hint="close other programs, choose a smaller --scale, or use a smaller network:"
                " vsrdb weights list",
            ) from error
        self._side = smaller

    def _use_tile(self) -> None:
        assert self._size is not None
        self._runner = tiled(self._untiled, *self._size, self._side, self._budget)
        self.tile = None if self._runner is self._untiled else self._side


def _each(items: Sequence[Item], pending: Pending) -> Iterator[tuple[Item, Tensor]]:
    codes = pending.result()
    for item in items:
        yield item, codes
