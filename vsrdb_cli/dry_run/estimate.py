"""What a run would do, take and leave out, found out without doing it: `restore --dry-run`."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.devices import find_device
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.dry_run import network_time
from vsrdb_cli.dry_run.encoding_trial import measure
from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import followed, is_there
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.report import Phase, Progress, losses
from vsrdb_cli.jobs.run import finished_frames, is_divided
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.frames import restore_range, restorer_for
from vsrdb_cli.pipeline.memory import (
    available_bytes,
    network_budget,
    network_bytes,
    resolve_tile,
)
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import tile_in_use, tiled
from vsrdb_cli.video.frame import Frame, FrameSource
from vsrdb_cli.video.info import PIPE
from vsrdb_cli.video.reading.open import open_for
from vsrdb_cli.video.reading.y4m_reader import is_stream
from vsrdb_cli.video.streams.plan import Fate, StreamPlan
from vsrdb_cli.video.writing.output import settle_output, size_written

# Frames restored; the second one's time counts, since the first also warms the network.
RESTORED = 2
_MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}


@dataclass(frozen=True)
class Load:
    """What a run takes of one device's memory.

    network_bytes, other_bytes: of each of its processes; the latter in the computer's memory.
    """

    device: str
    processes: int
    network_bytes: int
    other_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool:
        """Whether that much is free."""
        other = self.other_bytes if self.device == "cpu" else 0
        return self.processes * (self.network_bytes + other) <= self.free_bytes


@dataclass(frozen=True)
class Estimate:
    """What is known of a run before it.

    container, codec, pix_fmt, matrix: of the input. frames: a promise of the container, None where
    it makes none. finished: of these, those an earlier run has finished. tile: None for whole
    pictures. loads: of each device. free_disk_bytes: where the output goes. load_seconds: until
    the network is there. seconds: of what is left of the run; output_bytes: of the whole; None
    where the frames are not known. copied, converted, dropped: streams beside the video.
    in_segments: whether the run can be stopped and gone on with.
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
    loads: tuple[Load, ...]
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
        """Whether the memory it takes is free on every device."""
        return all(load.fits for load in self.loads)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        first = self.loads[0]
        return asdict(self) | {
            "source": str(self.source),
            "output": str(self.output),
            "processes": sum(load.processes for load in self.loads),
            "network_bytes": first.network_bytes,
            "other_bytes": first.other_bytes,
            "free_bytes": first.free_bytes,
        }


def estimate_run(
    source: Path,
    target: Path,
    options: RestoreOptions,
    *,
    executor: LocalExecutor | None = None,
    new_folders: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
) -> Estimate:
    """Restore two frames or a part of one, encode some merely enlarged, and leave nothing behind.

    Args:
        source, target, options: as `vsrdb_cli.restore.restore_video` takes them.
        executor: with a network that serves several videos.
        new_folders: whether the output's folder will be made, where it is missing.
        on_progress: called after each frame that is restored.

    Raises:
        VsrdbError: what the run itself would refuse.
    """
    if is_stream(source):
        raise OptionError(
            f"{'stdin' if source == PIPE else source} can be read only once, so a dry run is not"
            " possible",
            hint="give a file, or omit --dry-run",
        )
    with open_for(source, options) as reader, _place(target, new_folders=new_folders) as place:
        info = reader.info
        output = settle_output(place, info, options.scale, options.encoder, overwrite=True)
        notices = (*losses(info, output, strict=options.strict), *info.assumed)
        if is_there(target) and not options.overwrite:
            notices = (*notices, f"{target} exists already: the run needs --overwrite")
        devices = options.devices or (options.device,)
        for device in devices:
            find_device(device)
        on_progress(Progress(0, None, phase=Phase.LOAD))
        started = time.monotonic()
        executor = executor or LocalExecutor(replace(options, device=devices[0], devices=()))
        spec = RestoreSpec.of_output(options, output)
        executor.prepare(spec)
        runner = executor.runner
        load_seconds = time.monotonic() - started
        processes = Counter(runner.info.device if d == devices[0] else d for d in devices)
        tile = _resolve_tile(runner, spec, processes)
        loads = _loads(runner, spec, processes, tile)
        divided = is_divided(info, target, options)
        finished = finished_frames(reader, target, options, output, runner.info) if divided else 0
        restorer = restorer_for(runner, spec, tile)
        part_seconds = _part_seconds(runner, spec, tile)
        if part_seconds is not None:
            restorer = Restorer(BuiltinRunner("bicubic"), scale=options.scale, tile=None)
            notices = (*notices, "estimated from a part of a picture, since whole ones take long")
        restored, network_seconds = _restore_some(reader, restorer, spec.bit_depth, on_progress)
        network_seconds = part_seconds or network_seconds
        trial = measure(
            output, reader, restored, scale=options.scale, segment_seconds=options.segment_seconds
        )
        network_seconds /= len(loads)
        # On the CPU the network and the rest share the cores; else the slower of them counts.
        others = trial.read_seconds + trial.write_seconds
        on_cpu = runner.info.device == "cpu"
        seconds = network_seconds + others if on_cpu else max(network_seconds, others)
        if divided:  # looked through once before
            seconds += trial.read_seconds
        height_hr, width_hr = size_written(target, info, options.scale)
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
            width_hr=width_hr,
            height_hr=height_hr,
            encoder=output.description,
            weights=runner.info.weights,
            backend=runner.info.backend,
            device=runner.info.device,
            precision=runner.info.precision,
            tile=tile_in_use(*spec.size, tile),
            loads=loads,
            free_disk_bytes=_free_bytes(target),
            load_seconds=load_seconds,
            seconds_per_frame=seconds,
            seconds=None if left is None else load_seconds + seconds * left,
            output_bytes=trial.size,
            copied=_streams(output.fates, Fate.COPY, Fate.ATTACH),
            converted=_streams(output.fates, Fate.CONVERT, Fate.REMAKE),
            dropped=_streams(output.fates, Fate.DROP),
            notices=notices,
            in_segments=divided,
        )


@contextmanager
def _place(target: Path, *, new_folders: bool) -> Iterator[Path]:
    """Where the output is opened on trial: itself, or its like where its folder is not there."""
    if not new_folders or target.absolute().parent.is_dir():
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / target.name


def _free_bytes(target: Path) -> int:
    """Free bytes of the disk that the output goes to, whether or not its folder is there yet."""
    place = followed(target).absolute().parent
    while not place.is_dir():
        place = place.parent
    return shutil.disk_usage(place).free


def _resolve_tile(runner: Runner, spec: RestoreSpec, processes: Mapping[str, int]) -> int | None:
    """Return the side of the tiles that fit everywhere, as the processes would resolve it."""
    sides = [
        resolve_tile(runner, replace(spec, share=1 / count), device)
        for device, count in processes.items()
    ]
    return min((side for side in sides if side is not None), default=None)


def _loads(
    runner: Runner, spec: RestoreSpec, processes: Mapping[str, int], tile: int | None
) -> tuple[Load, ...]:
    """Return what each device holds; the network is taken to need as much on any of them."""
    loads = []
    for device, count in processes.items():
        budget = network_budget(device, replace(spec, share=1 / count))
        network = network_bytes(runner, spec, tile, budget)
        loads.append(Load(device, count, network, spec.pipeline_bytes, available_bytes(device)))
    return tuple(loads)


def _part_seconds(runner: Runner, spec: RestoreSpec, tile: int | None) -> float | None:
    """Return the seconds a picture takes, measured on a part; None where a whole one is quick."""
    if not network_time.is_large(runner, spec.size):
        return None
    budget = network_budget(runner.info.device, spec)
    seconds = network_time.frame_seconds(tiled(runner, *spec.size, tile, budget), spec.size)
    return seconds if RESTORED * seconds > network_time.LONGEST_SECONDS else None


def _restore_some(
    reader: FrameSource,
    restorer: Restorer,
    bit_depth: int,
    on_progress: Callable[[Progress], None],
) -> tuple[list[Frame], float]:
    """The first frames restored, and the seconds of the last."""
    frames = restore_range(reader, restorer, bit_depth, last=RESTORED)
    restored, times = [], [time.monotonic()]
    for frame in frames:
        restored.append(frame)
        times.append(time.monotonic())
        elapsed = times[-1] - times[0]
        on_progress(Progress(len(restored), RESTORED, elapsed, phase=Phase.MEASURE))
    return restored, [after - before for before, after in pairwise(times)][-1]


def _streams(plans: tuple[StreamPlan, ...], *fates: Fate) -> tuple[str, ...]:
    return tuple(str(plan.stream) for plan in plans if plan.fate in fates)
