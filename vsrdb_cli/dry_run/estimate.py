"""Estimate what a run would do, need and leave out: `restore --dry-run`."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.devices import require_device
from vsrdb_cli.backends.runner import Runner, RunnerInfo
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.dry_run import network_time
from vsrdb_cli.dry_run.encoding_trial import EncodingTrial, try_encoding
from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import followed, is_there
from vsrdb_cli.jobs.executor import LocalExecutor
from vsrdb_cli.jobs.report import Phase, Progress
from vsrdb_cli.jobs.run import choose_output, finished_frames, is_divided, is_divisible
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline.frames import restore_beginning, restorer_for
from vsrdb_cli.pipeline.memory import (
    available_bytes,
    network_budget,
    network_bytes,
    resolve_tile,
)
from vsrdb_cli.pipeline.repeats import is_equal
from vsrdb_cli.pipeline.restorer import Restorer
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.pipeline.tiling import tile_in_use, tiled
from vsrdb_cli.video.frame import Frame, FrameSource
from vsrdb_cli.video.info import PIPE, VideoInfo
from vsrdb_cli.video.reading.open import open_requested
from vsrdb_cli.video.reading.sampling import sample_runs
from vsrdb_cli.video.reading.y4m_reader import is_stream_input
from vsrdb_cli.video.streams.plan import StreamAction, StreamPlan
from vsrdb_cli.video.writing.output import Output

# Pictures to restore; the time of the second counts, since the first also warms up the network.
RESTORED = 2
# Frames of each place that are looked at for repeated ones, and for different ones to restore.
LOOKED_AT, PLACES = 24, 4
# Only a part of large pictures is restored if RESTORED whole ones would take longer.
QUICK_SECONDS = 8.0
_MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}


@dataclass(frozen=True)
class Load:
    """Memory that a run needs on one device."""

    device: str
    processes: int
    network_bytes: int
    """Of each process."""
    other_bytes: int
    """Of each process, in the computer's memory."""
    free_bytes: int

    @property
    def fits(self) -> bool:
        """True if that much is free."""
        other = self.other_bytes if self.device == "cpu" else 0
        return self.processes * (self.network_bytes + other) <= self.free_bytes


@dataclass(frozen=True)
class Estimate:
    """Everything known about a run before it starts."""

    source: Path
    output: Path
    info: VideoInfo
    """Of the input, as the prefilter leaves it."""
    repeated: float
    """Share of the frames that repeat the one before, in samples from several places."""
    finished: int
    """Frames that an earlier run has finished."""
    prefilter: str | None
    """The filters before the network."""
    postfilter: str | None
    """The filters before the encoder."""
    grain: float | None
    width_hr: int
    height_hr: int
    encoder: str
    runner: RunnerInfo
    tile: int | None
    """None for whole pictures."""
    loads: tuple[Load, ...]
    """Of each device."""
    free_disk_bytes: int
    """On the output's disk."""
    load_seconds: float
    """Until the network is loaded."""
    seconds_per_frame: float
    seconds: float | None
    """Of the rest of the run; None if the number of frames is not known."""
    output_bytes: int | None
    """Of the whole output; None likewise."""
    copied: tuple[str, ...]
    """Other streams that are copied."""
    converted: tuple[str, ...]
    dropped: tuple[str, ...]
    notices: tuple[str, ...]
    in_segments: bool
    """True if an interrupted run can be resumed."""

    @property
    def fits(self) -> bool:
        """True if the memory it needs is free on every device."""
        return all(load.fits for load in self.loads)

    @property
    def matrix(self) -> str:
        """Name of the input's colour matrix."""
        code = self.info.colour.matrix
        return _MATRICES.get(code, f"matrix {code} of H.273")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        info, runner, first = self.info, self.runner, self.loads[0]
        own = {name: value for name, value in vars(self).items() if name not in ("info", "runner")}
        return own | {
            "source": str(self.source),
            "output": str(self.output),
            "container": info.container,
            "codec": info.codec,
            "pix_fmt": info.pix_fmt,
            "matrix": self.matrix,
            "width": info.width,
            "height": info.height,
            "rate": float(info.rate),
            "frames": info.frame_count,
            "duration_seconds": info.duration_seconds,
            "weights": runner.weights,
            "backend": runner.backend,
            "device": runner.device,
            "precision": runner.precision,
            "loads": [asdict(load) for load in self.loads],
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
    quick_seconds: float = QUICK_SECONDS,
    on_progress: Callable[[Progress], None] = ignore,
) -> Estimate:
    """Estimate a run by restoring two pictures, or a part of one, and encoding enlarged ones.

    Nothing is left behind.

    Args:
        source: as for `vsrdb_cli.restore.restore_video`, like `target` and `options`.
        target: likewise.
        options: likewise.
        executor: its network serves several videos.
        new_folders: True if the run will create the output's folder.
        quick_seconds: restore only a part of large pictures if whole ones would take longer.
        on_progress: called after each restored frame.

    Raises:
        VsrdbError: the run itself would raise it, too.
    """
    _check_source(source)
    with (
        open_requested(
            source,
            options,
            on_frame=lambda done, total: on_progress(Progress(done, total, phase=Phase.FILM)),
        ) as reader,
        _place(target, new_folders=new_folders) as place,
    ):
        info = reader.info
        choices = _Choices.of(info, target, place, options)
        network = _Network.load(choices, executor, on_progress)
        finished = finished_frames(info, target, options, choices.output, network.runner.info)
        trial = _Trial.of(reader, choices, network, quick_seconds, on_progress)
        return _estimate(choices, network, trial, finished)


def _check_source(source: Path) -> None:
    if is_stream_input(source):
        name = "stdin" if source == PIPE else source
        raise OptionError(
            f"{name} can be read only once, so a dry run is not possible",
            hint="give a file, or omit --dry-run",
        )


@contextmanager
def _place(target: Path, *, new_folders: bool) -> Iterator[Path]:
    """Yield a path to open the output at: its own, or one in a temporary folder."""
    if not new_folders or target.absolute().parent.is_dir():
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / target.name


def free_disk_bytes(target: Path, disk_usage: Callable[[Path], Any] = shutil.disk_usage) -> int:
    """Return the free bytes of the output's disk, whether or not its folder exists.

    Args:
        disk_usage: as `shutil.disk_usage`.
    """
    place = followed(target).absolute().parent
    while not place.is_dir():
        place = place.parent
    free: int = disk_usage(place).free
    return free


@dataclass(frozen=True)
class _Choices:
    """What the run would choose."""

    info: VideoInfo
    target: Path
    options: RestoreOptions
    """For one device, if the source cannot be divided among several."""
    output: Output
    divided: bool
    notices: tuple[str, ...]
    """What the output loses, what is assumed, and what the run lacks."""

    @classmethod
    def of(cls, info: VideoInfo, target: Path, place: Path, options: RestoreOptions) -> _Choices:
        """Choose as the run does, but for an output at `place`."""
        if options.is_distributed and not is_divisible(info, target):
            options = options.on_one_device()
        output, notices = choose_output(place, info, replace(options, overwrite=True))
        if is_there(target) and not options.overwrite:
            notices = (*notices, f"{target} exists already: the run needs --overwrite")
        divided = is_divided(info, target, options)
        return cls(info, target, options, output, divided, notices)


@dataclass(frozen=True)
class _Network:
    """The network, loaded once, and what all processes of the run take."""

    runner: Runner
    spec: RestoreSpec
    tile: int | None
    """Side of the tiles that fit everywhere."""
    loads: tuple[Load, ...]
    load_seconds: float
    notices: tuple[str, ...]
    """Repairs that loading it took."""

    @classmethod
    def load(
        cls,
        choices: _Choices,
        executor: LocalExecutor | None,
        on_progress: Callable[[Progress], None],
    ) -> _Network:
        """Load the network on the first device; it is taken to need as much on any of them."""
        options = choices.options
        devices = options.devices or (options.device,)
        for device in devices:
            require_device(device)
        on_progress(Progress(0, None, phase=Phase.LOAD))
        executor = executor or LocalExecutor(options.on_one_device())
        spec = RestoreSpec.of_output(options, choices.output)
        started, told = time.monotonic(), len(executor.notices)
        executor.prepare(spec)
        seconds, runner = time.monotonic() - started, executor.runner
        processes = Counter(runner.info.device if d == devices[0] else d for d in devices)
        specs = {d: replace(spec, share=1 / number) for d, number in processes.items()}
        sides = [resolve_tile(runner, share, device) for device, share in specs.items()]
        tile = min((side for side in sides if side is not None), default=None)
        loads = []
        for device, number in processes.items():
            network = network_bytes(runner, spec, tile, network_budget(device, specs[device]))
            free = available_bytes(device)
            loads.append(Load(device, number, network, spec.pipeline_bytes, free))
        return cls(runner, spec, tile, tuple(loads), seconds, tuple(executor.notices[told:]))

    def part_seconds(self) -> float | None:
        """Return the seconds a picture takes, measured on a part; None if pictures are small."""
        runner, spec = self.runner, self.spec
        if not network_time.is_large(runner, spec.size):
            return None
        budget = network_budget(runner.info.device, spec)
        return network_time.frame_seconds(tiled(runner, *spec.size, self.tile, budget), spec.size)


@dataclass(frozen=True)
class _Trial:
    """What a few frames took."""

    picture_seconds: float
    """Of the network."""
    encoding: EncodingTrial
    repeated: float
    """Share of the frames that repeat the one before."""
    notices: tuple[str, ...]

    @classmethod
    def of(
        cls,
        reader: FrameSource,
        choices: _Choices,
        network: _Network,
        quick_seconds: float,
        on_progress: Callable[[Progress], None],
    ) -> _Trial:
        """Restore a few frames, or only enlarge them where that takes long, and encode them."""
        spec, seconds = network.spec, network.part_seconds()
        notices: tuple[str, ...] = ()
        if seconds is not None and RESTORED * seconds > quick_seconds:
            restorer = Restorer(BuiltinRunner("bicubic"), scale=spec.scale, tile=None)
            restored, _ = _restore_some(reader, restorer, spec.bit_depth, on_progress)
            notices = ("estimated from a part of a picture: whole ones take long",)
        else:
            restorer = restorer_for(network.runner, spec, network.tile)
            restored, seconds = _restore_some(reader, restorer, spec.bit_depth, on_progress)
        segment_seconds = choices.options.segment_seconds
        encoding = try_encoding(choices.output, reader, restored, segment_seconds=segment_seconds)
        return cls(seconds, encoding, _repeated_share(reader), notices)

    def seconds_per_frame(self, choices: _Choices, network: _Network) -> float:
        """Combine the times of the stages, which share the cores of a CPU but not a GPU."""
        restoring = self.picture_seconds * (1 - self.repeated) / len(network.loads)
        if choices.divided:  # frames on either side of each segment are restored for filters
            frames = float(choices.options.segment_seconds * choices.info.rate)
            restoring *= 1 + 2 * choices.output.lead_in / frames
        encoding = self.encoding
        others = encoding.read_seconds + encoding.write_seconds
        on_cpu = network.runner.info.device == "cpu"
        seconds = restoring + others if on_cpu else max(restoring, others)
        # A run in segments reads the source twice, first for scene cuts.
        return seconds + encoding.read_seconds if choices.divided else seconds


def _restore_some(
    reader: FrameSource,
    restorer: Restorer,
    bit_depth: int,
    on_progress: Callable[[Progress], None],
) -> tuple[list[Frame], float]:
    """Restore the first different pictures; return their frames, and the seconds of the last."""
    restored: list[Frame] = []
    times = [time.monotonic()]
    for frame in restore_beginning(reader, restorer, bit_depth, LOOKED_AT):
        if not restored or frame.rgb is not restored[-1].rgb:
            times.append(time.monotonic())
            elapsed = times[-1] - times[0]
            on_progress(Progress(len(times) - 1, RESTORED, elapsed, phase=Phase.MEASURE))
        restored.append(frame)
        if len(times) > RESTORED:
            break
    return restored, times[-1] - times[-2]


def _repeated_share(reader: FrameSource) -> float:
    """Return the share of frames that repeat the one before, sampled at several places."""
    frames = repeats = 0
    for pictures in sample_runs(reader, PLACES, LOOKED_AT):
        frames += len(pictures)
        repeats += sum(is_equal(before, after) for before, after in pairwise(pictures))
    return repeats / max(frames, 1)


def _estimate(choices: _Choices, network: _Network, trial: _Trial, finished: int) -> Estimate:
    """Put together what was chosen, loaded and tried."""
    info, options, output = choices.info, choices.options, choices.output
    seconds = trial.seconds_per_frame(choices, network)
    left = None if info.frame_count is None else max(0, info.frame_count - finished)
    height_hr, width_hr = output.size
    return Estimate(
        source=info.path,
        output=choices.target,
        info=info,
        repeated=trial.repeated,
        finished=finished,
        prefilter=options.prefilter,
        postfilter=options.postfilter,
        grain=options.grain,
        width_hr=width_hr,
        height_hr=height_hr,
        encoder=output.description,
        runner=network.runner.info,
        tile=tile_in_use(*network.spec.size, network.tile),
        loads=network.loads,
        free_disk_bytes=free_disk_bytes(choices.target),
        load_seconds=network.load_seconds,
        seconds_per_frame=seconds,
        seconds=None if left is None else network.load_seconds + seconds * left,
        output_bytes=trial.encoding.size,
        copied=_streams(output.stream_plans, StreamAction.COPY, StreamAction.ATTACH),
        converted=_streams(output.stream_plans, StreamAction.CONVERT, StreamAction.REBUILD),
        dropped=_streams(output.stream_plans, StreamAction.DROP),
        notices=(*choices.notices, *network.notices, *trial.notices),
        in_segments=choices.divided,
    )


def _streams(plans: tuple[StreamPlan, ...], *actions: StreamAction) -> tuple[str, ...]:
    return tuple(str(plan.stream) for plan in plans if plan.action in actions)
