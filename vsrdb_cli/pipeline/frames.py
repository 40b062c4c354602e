"""Restores pictures of a program, and ranges of a source's frames."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.option_values import Tile
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.memory import network_budget, resolve_tile
from vsrdb_cli.pipeline.pictures import Picture, read_pictures
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.repeats import with_context
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.video.frame import Frame, FrameSource


def restore_frames(
    pictures: Iterable[Picture],
    runner: Runner,
    *,
    scale: int = 4,
    strength: float = 1.0,
    tile: Tile = "auto",
    scene_cuts: bool = True,
) -> Iterator[Picture]:
    """Restore pictures in order, lazily; memory does not grow with their number.

    Args:
        pictures: torch tensors (3, H, W), numpy arrays (H, W, 3), or PIL images of mode RGB, all of
            one size: RGB, uint8, or float from 0 to 1 (a little beyond is clamped).
        runner: from `load_runner`.
        scale, strength, tile, scene_cuts: as in `RestoreOptions`.

    Yields:
        A picture for every picture, `scale` times as large and of the same kind, number type and
        device; float ones from 0 to 1. Those that repeat the one before are restored once.

    Raises:
        OptionError: an option is not possible, or something is not such a picture.
    """
    options = RestoreOptions(scale=scale, strength=strength, tile=tile, scene_cuts=scene_cuts)
    arriving = read_pictures(pictures)
    first = next(arriving, None)
    if first is None:
        return
    spec = RestoreSpec.of(options, (first.rgb.shape[1], first.rgb.shape[2]), bit_depth=16)
    restorer = restorer_for(runner, spec, resolve_tile(runner, spec))
    read = ((picture.convert_back, picture.rgb) for picture in chain([first], arriving))
    for convert_back, restored in restorer.run(read):
        yield convert_back(restored)


def restorer_for(
    runner: Runner,
    spec: RestoreSpec,
    tile: int | None,
    on_shrink: Callable[[int], None] = ignore,
) -> Restorer:
    """Create a restorer.

    Args:
        tile: side of the tiles, from `resolve_tile`.
        on_shrink: as `Restorer` takes it.
    """
    return Restorer(
        runner,
        tile=tile,
        budget=network_budget(runner.info.device, spec),
        scale=spec.scale,
        strength=spec.strength,
        scene_cuts=spec.scene_cuts,
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
    margin: int | None = None,
) -> Iterator[Frame]:
    """Read and restore the frames with index `first` <= i < `last` of a source, lazily.

    The frames just outside the range are read as context, so that a video restored range by range
    equals the video restored at once, given the same cuts. Reading has a thread of its own; the
    network works in the caller's. A frame that repeats the one before shares its tensor.

    Args:
        bit_depth: of the frames to yield, 8 or 16.
        cuts: indices of the frames that begin a shot; None has them detected.
        margin: as `with_context` takes it.
    """
    cut = reader.info.cut
    if last is None and cut is not None:
        last = cut.count
    starts_shot: Callable[[tuple[int, Frame]], bool] | None = None
    if cuts is not None:

        def starts_shot(item: tuple[int, Frame]) -> bool:
            return item[0] in cuts

    def wanted(item: tuple[int, Frame]) -> bool:
        return first <= item[0] and (last is None or item[0] < last)

    with Prefetch(with_context(reader, restorer.reach, first, last, margin=margin)) as frames:
        pictures = ((item, item[1].rgb) for item in frames)
        size = reader.info.height, reader.info.width
        pairs = restorer.run_to_codes(
            pictures, bit_depth, starts_shot=starts_shot, wanted=wanted, size=size
        )
        for (_, frame), codes in pairs:
            yield replace(frame, rgb=codes)


def restore_beginning(
    reader: FrameSource, restorer: Restorer, bit_depth: int, count: int
) -> Iterator[Frame]:
    """Read and restore the first `count` frames of a source, lazily, as if none came after them."""
    size = reader.info.height, reader.info.width
    with Prefetch(reader.frames(0, count)) as frames:
        pictures = ((frame, frame.rgb) for frame in frames)
        for frame, codes in restorer.run_to_codes(pictures, bit_depth, size=size):
            yield replace(frame, rgb=codes)
