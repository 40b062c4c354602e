"""What a run would do, take and leave out, found out without doing it: `restore --dry-run`."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.runner import Memory, Runner
from vsrdb_cli.dry_run.trial_encode import Output, measure_pictures, measure_video
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.run import finished_frames
from vsrdb_cli.pipeline.memory import available_bytes, pipeline_bytes
from vsrdb_cli.pipeline.prefetch import Prefetch
from vsrdb_cli.pipeline.tiling import tiled
from vsrdb_cli.restore import (
    Progress,
    RestoreOptions,
    Restorer,
    is_long,
    load_for,
    open_for,
    restored_frames,
    restorer_for,
)
from vsrdb_cli.strict import announce
from vsrdb_cli.video.encoders import EncoderOptions, Encoding, choose
from vsrdb_cli.video.frame import Frame, FrameSink, FrameSource
from vsrdb_cli.video.images import PictureWriter
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pipe import PIPE
from vsrdb_cli.video.stream_fates import Fate, StreamPlan, plan_streams
from vsrdb_cli.video.writer import open_sink

# Frames restored; the second one's time counts, since the first also warms the network.
RESTORED = 2
_MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}


@dataclass(frozen=True)
class Estimate:
    """What is known of a run before it.

    container, codec, pix_fmt, matrix: of the input. frames: a promise of the container, None where
    it makes none. finished: of these, those an earlier run has finished. tile: None for whole
    pictures. processes: that work at once. network_bytes: on the network's device; other_bytes: on
    the CPU; both of one process. free_bytes, free_disk_bytes: on the network's device, and where
    the output goes. load_seconds: until the network is there. seconds: of what is left of the run;
    output_bytes: of the whole; None where the frames are not known. copied, converted, dropped:
    streams beside the video. in_segments: whether the run can be stopped and gone on with.
    """

    source: Path
    output: Path
    container: str
    codec: str
    pix_fmt: str
    matrix: str
    width: int
    height: int
    rate: float
    frames: int | None
    duration_seconds: float | None
    finished: int
    width_hr: int
    height_hr: int
    encoder: str
    weights: str
    backend: str
    device: str
    precision: str
    tile: int | None
    processes: int
    network_bytes: int
    other_bytes: int
    free_bytes: int
    free_disk_bytes: int
    load_seconds: float
    seconds_per_frame: float
    seconds: float | None
    output_bytes: int | None
    copied: tuple[str, ...]
    converted: tuple[str, ...]
    dropped: tuple[str, ...]
    notices: tuple[str, ...]
    in_segments: bool

    @property
    def fits(self) -> bool:
        """Whether the memory it takes is free."""
        other = self.other_bytes if self.device == "cpu" else 0
        return self.processes * (self.network_bytes + other) <= self.free_bytes

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"source": str(self.source), "output": str(self.output)}


def estimate_run(
    source: Path,
    target: Path,
    options: RestoreOptions,
    *,
    runner: Runner | None = None,
    new_folders: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
) -> Estimate:
    """Restore two frames, encode some that are merely enlarged, and leave nothing behind.

    Args:
        source, target, options, runner: as `vsrdb_cli.restore.restore_video` takes them.
        new_folders: whether the output's folder will be made, where it is missing.
        on_progress: called after each frame that is restored.

    Raises:
        VsrdbError: what the run itself would refuse.
    """
    if source == PIPE:
        raise OptionError(
            "a stream on stdin can be read only once, so nothing can be tried on it",
            hint="name a file for --dry-run, or leave --dry-run away",
        )
    with open_for(source, options) as reader, _place(target, new_folders=new_folders) as place:
        info = reader.info
        size = info.height * options.scale, info.width * options.scale
        with open_sink(
            place, info, options.scale, options.encoder, overwrite=options.overwrite
        ) as sink:
            notices = (*info.notices, *sink.notices)
            bit_depth, encoding, plans = _of_sink(sink, place, info, options, size)
        announce(notices, list[str]().append, strict=options.strict)
        devices = options.devices or (options.device,)
        first = replace(options, device=devices[0])
        load_seconds = 0.0
        if runner is None:
            started = time.monotonic()
            runner = load_for(first, (info.height, info.width))
            load_seconds = time.monotonic() - started
        free_bytes = available_bytes(runner.info.device)
        long = is_long(info, target, options)
        finished = finished_frames(reader, target, options, encoding, runner.info) if long else 0
        restorer = restorer_for(info, options, runner, options.tile)
        restored, network_seconds = _restore_some(reader, restorer, bit_depth, on_progress)
        output = _output(reader, restored, encoding, plans, options, target=target)
        network_seconds /= len(set(devices))
        # On the CPU the network and the rest share the cores; else the slower of them counts.
        others = output.read_seconds + output.write_seconds
        on_cpu = runner.info.device == "cpu"
        seconds = network_seconds + others if on_cpu else max(network_seconds, others)
        if long:  # looked through once before
            seconds += output.read_seconds
        left = None if info.frame_count is None else max(0, info.frame_count - finished)
        return Estimate(
            source=source,
            output=target,
            container=info.container,
            codec=info.codec,
            pix_fmt=info.pix_fmt,
            matrix=_MATRICES.get(info.colour.matrix, f"matrix {info.colour.matrix} of H.273"),
            width=info.width,
            height=info.height,
            rate=float(info.rate),
            frames=info.frame_count,
            duration_seconds=info.duration_seconds,
            finished=finished,
            width_hr=size[1],
            height_hr=size[0],
            encoder=_words(encoding, target),
            weights=runner.info.weights,
            backend=runner.info.backend,
            device=runner.info.device,
            precision=runner.info.precision,
            tile=restorer.tile,
            processes=len(devices),
            network_bytes=_memory(runner, info, restorer).total(runner.length),
            other_bytes=pipeline_bytes(
                info.height, info.width, scale=options.scale, bit_depth=bit_depth
            ),
            free_bytes=free_bytes,
            free_disk_bytes=shutil.disk_usage(place.absolute().parent).free,
            load_seconds=load_seconds,
            seconds_per_frame=seconds,
            seconds=None if left is None else load_seconds + seconds * left,
            output_bytes=output.size,
            copied=_streams(plans, Fate.COPY, Fate.ATTACH),
            converted=_streams(plans, Fate.CONVERT, Fate.REMAKE),
            dropped=_streams(plans, Fate.DROP),
            notices=notices,
            in_segments=long,
        )


@contextmanager
def _place(target: Path, *, new_folders: bool) -> Iterator[Path]:
    """Where the output is opened on trial: itself, or its like where its folder is not there."""
    if not new_folders or target.absolute().parent.is_dir():
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / target.name


def _of_sink(
    sink: FrameSink, place: Path, info: VideoInfo, options: RestoreOptions, size: tuple[int, int]
) -> tuple[int, Encoding | None, tuple[StreamPlan, ...]]:
    """Depth of its frames, its encoder where it is a video, and what becomes of the streams."""
    if place == PIPE or isinstance(sink, PictureWriter):
        plans = tuple(StreamPlan(stream, Fate.DROP) for stream in info.streams)
        return sink.bit_depth, None, plans
    suffix = place.suffix.lower()
    encoding = choose(options.encoder or EncoderOptions(), suffix, info, *size)
    plans = plan_streams(info, suffix) if info.kind is Kind.VIDEO else ()
    return sink.bit_depth, encoding, plans


def _restore_some(
    reader: FrameSource,
    restorer: Restorer,
    bit_depth: int,
    on_progress: Callable[[Progress], None],
) -> tuple[list[Frame], float]:
    """The first frames restored, and the seconds of the last."""
    frames = restored_frames(reader, restorer, bit_depth, last=RESTORED)
    restored, times = [], [time.monotonic()]
    # In a thread of its own, as in a run: the network is slower there than in the first thread.
    with Prefetch(frames) as arriving:
        for frame in arriving:
            restored.append(frame)
            times.append(time.monotonic())
            elapsed = times[-1] - times[0]
            on_progress(Progress(len(restored), RESTORED, elapsed, phase="measure"))
    return restored, [after - before for before, after in pairwise(times)][-1]


def _output(
    reader: FrameSource,
    restored: list[Frame],
    encoding: Encoding | None,
    plans: tuple[StreamPlan, ...],
    options: RestoreOptions,
    *,
    target: Path,
) -> Output:
    if encoding is not None:
        return measure_video(
            reader,
            restored,
            encoding,
            plans,
            scale=options.scale,
            segment_seconds=options.segment_seconds,
        )
    if target == PIPE:
        return Output(None, 0.0, 0.0)
    return measure_pictures(reader, restored, scale=options.scale)


def _memory(runner: Runner, info: VideoInfo, restorer: Restorer) -> Memory:
    used = tiled(runner, info.height, info.width, restorer.tile)
    return used.memory(info.height, info.width)


def _streams(plans: tuple[StreamPlan, ...], *fates: Fate) -> tuple[str, ...]:
    return tuple(str(plan.stream) for plan in plans if plan.fate in fates)


def _words(encoding: Encoding | None, target: Path) -> str:
    if encoding is None:
        return "y4m" if target == PIPE else "png"
    settings = (f"{name} {value}" for name, value in encoding.settings.items())
    return " ".join([encoding.encoder.name, encoding.pix_fmt, *settings])
