"""Restoration: pictures in, pictures out (`restore_frames`), and whole videos (`restore_video`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.backends import fitting_engine, load_runner
from vsrdb_cli.backends.runner import Features, Runner, RunnerInfo
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.errors import OptionError
from vsrdb_cli.pipeline.memory import SHARE, available_bytes, is_out_of_memory, pipeline_bytes
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.pipeline.tiling import SMALLEST_TILE, Tiling, choose_tile, tiled
from vsrdb_cli.pipeline.windows import sliding_windows
from vsrdb_cli.strict import announce, judge
from vsrdb_cli.video.colour import to_float, to_planes
from vsrdb_cli.video.encoders import EncoderOptions
from vsrdb_cli.video.frame import Frame, FrameSource
from vsrdb_cli.video.hdr import Hdr
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.part import Position, trimmed
from vsrdb_cli.video.pipe import PIPE
from vsrdb_cli.video.reader import open_source
from vsrdb_cli.video.writer import open_sink

if TYPE_CHECKING:
    from vsrdb_cli.jobs.processes import Workers

Item = TypeVar("Item")

# Side of the tiles in LR pixels; "auto" is the whole picture where it fits into free memory and
# else the largest tiles that do; None (the command's "none") is always the whole picture.
Tile = int | str | None


@dataclass(frozen=True)
class RestoreReport:
    """What a run did.

    output: the finished file or folder. seconds: from opening the source to the output's rename.
    tile: side of the tiles in LR pixels, or None for whole pictures. notices: all that was said
    before and on the way, and what is known at the end, one line each. resumed: frames that an
    earlier run had finished.
    """

    output: Path
    frames: int
    seconds: float
    height_hr: int
    width_hr: int
    runner: RunnerInfo
    tile: int | None
    notices: tuple[str, ...]
    resumed: int = 0

    @property
    def frames_per_second(self) -> float:
        return (self.frames - self.resumed) / self.seconds


def restore_frames(
    pictures: Iterable[Tensor],
    runner: Runner,
    *,
    scale: int = 4,
    tile: Tile = "auto",
    scene_cuts: bool = True,
) -> Iterator[Tensor]:
    """Restore pictures in order, lazily; memory does not grow with their number.

    Args:
        pictures: (3, H, W) each, all of one size, RGB float32, 0 to 1.
        runner: from `vsrdb_cli.backends.load_runner`.
        scale: 1 to 4; below 4 the x4 result is downsampled with an antialiased bicubic kernel.
        tile: see `Tile`.
        scene_cuts: whether windows end at scene cuts.

    Yields:
        (3, scale H, scale W), RGB float32, 0 to 1, one for every picture.

    Raises:
        OptionError: scale or tile cannot be.
    """
    restorer = Restorer(runner, scale=scale, tile=tile, scene_cuts=scene_cuts)
    for _, restored in restorer.run((picture, picture) for picture in pictures):
        yield restored


@dataclass
class _Held(Generic[Item]):
    """A frame in the windows, with its features once they are computed."""

    item: Item
    picture: Tensor
    starts_shot: bool
    features: Features = None


class Restorer:
    """A runner at work on one video: windows, tiles, and the size to fall back to.

    Args:
        beside: bytes of the computer's memory that are taken beside the network.

    Attributes:
        tile: side of the tiles in use, None for whole pictures; set by the first frame.
        shrunk_to: side of the tiles since memory ran out, None as long as it never did.
    """

    def __init__(
        self, runner: Runner, *, scale: int, tile: Tile, scene_cuts: bool, beside: int = 0
    ) -> None:
        check_scale_and_tile(runner, scale, tile)
        self._runner = self._untiled = runner
        self._scale, self._asked_tile, self._scene_cuts = scale, tile, scene_cuts
        self._beside = beside
        self._size: tuple[int, int] | None = None
        self.tile: int | None = None
        self.shrunk_to: int | None = None

    @property
    def reach(self) -> int:
        """Frames of context a window has on either side of its centre."""
        return self._untiled.length // 2

    def run(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        *,
        starts_shot: Callable[[Item], bool] | None = None,
        wanted: Callable[[Item], bool] = lambda item: True,  # noqa: ARG005
        size: tuple[int, int] | None = None,
    ) -> Iterator[tuple[Item, Tensor]]:
        """Restore (item, picture) pairs; items come out with their restored pictures, in order.

        Args:
            pictures: as in `restore_frames`; a change of size begins a shot.
            starts_shot: whether an item begins a shot, where that is known; else it is detected.
            wanted: items that are context alone are neither restored nor come out.
            size: (height, width) of the LR pictures whose results are wanted; what is restored
                from another size is brought to theirs. None: each picture's own.
        """
        held_frames = self._held(pictures, starts_shot)
        windows = sliding_windows(held_frames, self._untiled.length, lambda held: held.starts_shot)
        for window in windows:
            centre = window[self.reach]
            if not wanted(centre.item):
                continue
            restored = self._restore(window)
            height, width = size or centre.picture.shape[1:]
            size_hr = (height * self._scale, width * self._scale)
            if restored.shape[2:] != size_hr:
                restored = F.interpolate(restored, size=size_hr, mode="bicubic", antialias=True)
            yield centre.item, restored[0].clamp(0, 1)

    def _held(
        self,
        pictures: Iterable[tuple[Item, Tensor]],
        starts_shot: Callable[[Item], bool] | None,
    ) -> Iterator[_Held[Item]]:
        detector = SceneCutDetector()
        shape = None
        for item, picture in pictures:
            if not self._scene_cuts:
                cut = False
            else:
                cut = detector(picture) if starts_shot is None else starts_shot(item)
            yield _Held(item, picture, cut or picture.shape != shape)
            shape = picture.shape

    def _restore(self, window: tuple[_Held[Item], ...]) -> Tensor:
        size = (window[0].picture.shape[1], window[0].picture.shape[2])
        if self._size != size:
            self._size = size
            self._use_tile(settle_tile(self._untiled, self._asked_tile, *size, beside=self._beside))
        while True:
            try:
                for held in window:
                    if held.features is None:
                        held.features = self._runner.encode(held.picture[None])
                return self._runner.restore([held.features for held in window])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                side = self.tile or max(size)
                smaller = max(SMALLEST_TILE, side * 2 // 3)
                if smaller >= side:
                    raise OptionError(
                        f"memory ran out, though only pictures of {side} pixels were worked on",
                        hint="close other programs, or use a smaller network: vsrdb weights list",
                    ) from error
            for held in window:
                held.features = None
            self._asked_tile = smaller
            self._use_tile(smaller)
            self.shrunk_to = smaller

    def _use_tile(self, tile: int | None) -> None:
        assert self._size is not None
        self._runner = tiled(self._untiled, *self._size, tile)
        self.tile = None if self._runner is self._untiled else tile


def memory_notice(tile: int) -> str:
    """What is said when memory ran out."""
    return f"memory ran out: from here on in tiles of {tile} pixels"


def check_scale_and_tile(runner: Runner, scale: int, tile: Tile) -> None:
    """Whether a runner can work so.

    Raises:
        OptionError: it cannot.
    """
    if not 1 <= scale <= runner.scale:
        raise OptionError(f"scale {scale} is not possible", hint=f"use --scale 1 to {runner.scale}")
    if isinstance(tile, int) and tile < SMALLEST_TILE:
        raise OptionError(
            f"tiles of {tile} pixels are too small", hint=f"use --tile {SMALLEST_TILE} or more"
        )


def settle_tile(
    runner: Runner, asked: Tile, height: int, width: int, *, beside: int = 0, share: float = 1.0
) -> int | None:
    """The side of the tiles to begin with; "auto" is the largest that fits into free memory.

    None where the whole picture does.

    Args:
        beside: bytes of the computer's memory that are taken beside the network.
        share: of the free memory, where several processes work on one device.

    Raises:
        OptionError: not even the smallest tiles fit.
    """
    if isinstance(asked, str):
        device = runner.info.device
        budget = int(available_bytes(device) * SHARE * share)
        beside = beside if device == "cpu" else 0
        tile = choose_tile(runner, height, width, budget, beside=beside)
        return tile if tile < max(height, width) else None
    return asked


@dataclass(frozen=True)
class RestoreOptions:
    """How to restore; the command's options have the same names.

    weights: a bundled name, a .safetensors path, "nearest" or "bicubic". tile: see `Tile`.
    scale: 1 to 4. encoder: codec, quality, preset and the like; None for the defaults.
    segment_seconds: a longer video is restored in segments of about this length, see
    `vsrdb_cli.jobs`. restart: throw away what an unfinished run has left. devices: one worker
    process on each; none: `device`, in this process. hdr: what to do with HDR video. start, end,
    sample: the part that is restored, see `vsrdb_cli.video.part.trimmed`. strict: whatever would be
    changed, dropped or is damaged is an error; before the work where it can be known before.
    """

    weights: str = field(default_factory=default_weights)
    scale: int = 4
    tile: Tile = "auto"
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    scene_cuts: bool = True
    overwrite: bool = False
    encoder: EncoderOptions | None = None
    segment_seconds: float = 10.0
    restart: bool = False
    devices: tuple[str, ...] = ()
    hdr: Hdr = Hdr.REFUSE
    start: Position | None = None
    end: Position | None = None
    sample: Fraction | None = None
    strict: bool = False


@dataclass(frozen=True)
class Progress:
    """Told after every frame. total is a promise of the container, None where it makes none.

    resumed: how many of the frames an earlier run had finished. segment: the one a frame belongs
    to, counted from 0, of so many segments; None where the job is not divided. phase: "plan" while
    a long job is looked through, "restore", "join", or "measure" while a run is estimated.
    """

    frames: int
    total: int | None
    seconds: float = field(default=0.0)
    resumed: int = 0
    segment: int | None = None
    segments: int | None = None
    phase: str = "restore"


def restored_frames(
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
    equals the video restored at once, given the same cuts.

    Args:
        bit_depth: of the frames to give: 8 or 16, as the sink asks.
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


def open_for(source: Path, options: RestoreOptions) -> FrameSource:
    """The source, read as the options say."""
    whole = open_source(source, hdr=options.hdr)
    return trimmed(whole, start=options.start, end=options.end, sample=options.sample)


def load_for(
    options: RestoreOptions, size: tuple[int, int] | None, spare: Runner | None = None
) -> Runner:
    """The runner the options name.

    Args:
        size: (height, width) of the video, where it is known; an engine may be for its tiles alone.
        spare: loaded already of the same options, without a size; taken unless an engine fits.
    """
    if size is not None and isinstance(options.tile, int) and options.tile >= SMALLEST_TILE:
        size = Tiling.of(*size, options.tile).tile_size
    if spare is not None:
        if options.backend != "auto" or size is None:
            return spare
        where = options.device, options.precision
        fitting = fitting_engine(options.weights, device=where[0], precision=where[1], size=size)
        return fitting or spare
    return load_runner(
        options.weights,
        backend=options.backend,
        device=options.device,
        precision=options.precision,
        size=size,
    )


def restorer_for(info: VideoInfo, options: RestoreOptions, runner: Runner, tile: Tile) -> Restorer:
    """A restorer of a source's frames that leaves room for what happens to them afterwards."""
    return Restorer(
        runner,
        scale=options.scale,
        tile=tile,
        scene_cuts=options.scene_cuts,
        beside=pipeline_bytes(
            info.height, info.width, scale=options.scale, bit_depth=info.bit_depth
        ),
    )


def is_long(info: VideoInfo, target: Path, options: RestoreOptions) -> bool:
    """Whether an output is restored in segments: it is long, begun so, or for several devices."""
    if info.kind in (Kind.STILL, Kind.PIPE) or target == PIPE:
        return False
    seconds = info.duration_seconds
    long = seconds is None or seconds > options.segment_seconds
    return long or bool(options.devices) or work_folder(target).exists()


def work_folder(target: Path) -> Path:
    """Where the finished segments of an output wait for the others."""
    return target.absolute().parent / f"{target.name}.vsrdb"


def restore_video(
    source: Path,
    target: Path,
    options: RestoreOptions | None = None,
    *,
    runner: Runner | None = None,
    spare: Runner | None = None,
    workers: Workers | None = None,
    on_notice: Callable[[str], None] = lambda notice: None,  # noqa: ARG005
    on_progress: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
) -> RestoreReport:
    """Restore a video file or folder of pictures and write it, larger, to `target`.

    Reading, network and writing overlap in three threads. `target` appears only when it is whole.
    What ends the run earlier leaves nothing behind of a short video; of one longer than a segment
    the finished segments, in a folder beside `target`, from which the next run goes on.

    Args:
        source: a video, a picture, or a folder of pictures.
        target: a video's file name, or a folder for pictures; not there yet, unless `overwrite`.
        options: see `RestoreOptions`.
        runner: loaded already (`options.weights`, backend, device and precision are then not read).
        spare: loaded already for videos of any size; taken unless an engine fits this one's.
        workers: running already, for several videos; else started for `options.devices`.
        on_notice: called before the work with one line for all that is changed or dropped.
        on_progress: called after every frame; both in the caller's thread.

    Raises:
        VsrdbError: whatever a user can put right, before any work where it can be known before.
    """
    options = options or RestoreOptions()
    started = time.monotonic()
    said: list[str] = []

    def say(notice: str) -> None:
        said.append(notice)
        on_notice(notice)

    with ExitStack() as stack:
        reader = stack.enter_context(open_for(source, options))
        info = reader.info
        if is_long(info, target, options):
            from vsrdb_cli.jobs.run import restore_in_segments

            return restore_in_segments(
                reader,
                target,
                options,
                runner=runner,
                spare=spare,
                workers=workers,
                on_notice=on_notice,
                on_progress=on_progress,
            )
        sink = stack.enter_context(
            open_sink(target, info, options.scale, options.encoder, overwrite=options.overwrite)
        )
        announce((*info.notices, *sink.notices), say, assumed=info.assumed, strict=options.strict)
        runner = runner or load_for(options, (info.height, info.width), spare)
        restorer = restorer_for(info, options, runner, options.tile)
        shrunk_to: int | None = None
        count = 0
        frames = restored_frames(reader, restorer, sink.bit_depth)
        with Prefetch(frames) as results:
            for frame in results:
                sink.write(frame)
                count += 1
                if restorer.shrunk_to is not None and restorer.shrunk_to != shrunk_to:
                    shrunk_to = restorer.shrunk_to
                    say(memory_notice(shrunk_to))
                on_progress(Progress(count, info.frame_count, time.monotonic() - started))
        # A part's context was read too, beyond the frames it has.
        read = reader.report.frames if info.cut is None else info.cut.count
        output = sink.commit(read)
    judge(reader.report, output, sink.damage, strict=options.strict)
    return RestoreReport(
        output=output,
        frames=count,
        seconds=time.monotonic() - started,
        height_hr=info.height * options.scale,
        width_hr=info.width * options.scale,
        runner=runner.info,
        tile=restorer.tile,
        notices=(*said, *reader.report.notices, *sink.damage),
    )
