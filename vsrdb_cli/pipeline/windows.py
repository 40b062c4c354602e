"""Sliding windows of T frames over shots: one window per frame, never across a scene cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def sliding_windows(
    frames: Iterable[Item], length: int, starts_shot: Callable[[Item], bool] | None = None
) -> Iterator[tuple[Item, ...]]:
    """Yield a window of `length` frames around every frame, in order.

    A neighbour beyond the shot's first or last frame is mirrored about that frame (the frame
    before the first is the second); in a shot too short for that, the mirroring goes on back and
    forth, so a shot of one frame gives windows of that frame alone. Reads T//2 frames ahead and
    holds T frames, however long the video.

    Args:
        frames: in order.
        length: T, odd.
        starts_shot: returns whether a frame begins a shot; called once with each, in order.
            None: all frames are one shot.

    Raises:
        ValueError: `length` is even or below 1.
    """
    if length < 1 or length % 2 == 0:
        raise ValueError(f"a window of {length} frames has no centre")
    reach = length // 2
    shot: deque[Item] = deque()  # the shot's frames still needed
    first = 0  # index within the shot of shot[0]
    following = 0  # index within the shot of the next centre
    for frame in frames:
        if starts_shot is not None and starts_shot(frame) and shot:
            yield from _rest_of_shot(shot, first, following, reach)
            shot.clear()
            first = following = 0
        shot.append(frame)
        if first + len(shot) > following + reach:
            yield _window(shot, first, following, reach, first + len(shot))
            following += 1
            # Even mirrored at the end, no window reaches further back than this.
            while first < following - reach:
                shot.popleft()
                first += 1
    yield from _rest_of_shot(shot, first, following, reach)


def _rest_of_shot(
    shot: deque[Item], first: int, following: int, reach: int
) -> Iterator[tuple[Item, ...]]:
    count = first + len(shot)
    for centre in range(following, count):
        yield _window(shot, first, centre, reach, count)


def _window(shot: deque[Item], first: int, centre: int, reach: int, count: int) -> tuple[Item, ...]:
    places = range(centre - reach, centre + reach + 1)
    return tuple(shot[mirrored(place, count) - first] for place in places)


def mirrored(place: int, count: int) -> int:
    """Reflect `place` into [0, count) about the first and the last frame."""
    if count == 1:
        return 0
    place %= 2 * (count - 1)
    return min(place, 2 * (count - 1) - place)
