"""Frames in, restored frames out: of programs' pictures, and of a source's range of frames."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain

from torch import Tensor

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.options import RestoreOptions, Tile
from vsrdb_cli.pipeline.memory import settle_tile
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.video.colour import to_float, to_planes
from vsrdb_cli.video.frame import Frame, FrameSource


def restore_frames(
    pictures: Iterable[Tensor],
    runner: Runner,
    *,
    scale: int = 4,
    strength: float = 1.0,
    tile: Tile = "auto",
    scene_cuts: bool = True,
) -> Iterator[Tensor]:
    """Restore pictures in order, lazily; memory does not grow with their number.

    Args:
        pictures: (3, H, W) each, all of one size, RGB float32, 0 to 1.
        runner: from `load_runner`.
        scale, strength, tile, scene_cuts: as in `RestoreOptions`.

    Yields:
        (3, scale H, scale W), RGB float32, 0 to 1, one for every picture.

    Raises:
        OptionError: an option is not possible.
    """
    options = RestoreOptions(scale=scale, strength=strength, tile=tile, scene_cuts=scene_cuts)
    arriving = iter(pictures)
    first = next(arriving, None)
    if first is None:
        return
    side = settle_tile(runner, options, (first.shape[1], first.shape[2]), bit_depth=16)
    restorer = restorer_for(runner, options, side)
    for _, restored in restorer.run((picture, picture) for picture in chain([first], arriving)):
        yield restored


def restorer_for(
    runner: Runner,
    options: RestoreOptions,
    tile: int | None,
    on_shrink: Callable[[int], None] = lambda tile: None,  # noqa: ARG005
) -> Restorer:
    """A restorer that works as the options say, in tiles of the side that was settled."""
    return Restorer(
        runner,
        tile=tile,
        scale=options.scale,
        strength=options.strength,
        scene_cuts=options.scene_cuts,
        on_shrink=on_shrink,
    )


def restore_range(
    reader: FrameSource,
    restorer: Restorer,
    bit_depth: int,
    *,
    first: int = 0,
    last: int | None = None,
    cuts: Container[int] | None = None,
) -> Iterator[Frame]:
    """Read and restore the frames with index `first` <= i < `last` of a source, lazily.

    The frames just outside the range are read as context, so that a video restored range by range
    equals the video restored at once, given the same cuts. Reading has a thread of its own; the
    network works in the caller's.

    Args:
        bit_depth: of the frames to give: 8 or 16, as the output asks.
        cuts: indices of the frames that begin a shot, where they are known; else detected.
    """
    cut = reader.info.cut
    if last is None and cut is not None:
        last = cut.count
    begin = max(-reader.info.frames_before, first - restorer.reach)
    end = None if last is None else last + restorer.reach
    starts_shot: Callable[[tuple[int, Frame]], bool] | None = None
    if cuts is not None:

        def starts_shot(item: tuple[int, Frame]) -> bool:
            return item[0] in cuts

    def wanted(item: tuple[int, Frame]) -> bool:
        return first <= item[0] and (last is None or item[0] < last)

    with Prefetch(reader.frames(begin, end)) as frames:
        pictures = ((item, to_float(item[1].rgb)) for item in enumerate(frames, begin))
        size = reader.info.height, reader.info.width
        pairs = restorer.run(pictures, starts_shot=starts_shot, wanted=wanted, size=size)
        for (_, frame), picture in pairs:
            yield Frame(to_planes(picture, bit_depth), frame.pts, frame.duration)
