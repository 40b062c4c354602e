"""What a run would do, take and leave out, found out without doing it: `restore --dry-run`."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.memory import available_bytes, pipeline_bytes
from vsrdb_cli.restore import (
    RestoreOptions,
    Restorer,
    is_long,
    load_for,
    open_for,
    restored_frames,
)
from vsrdb_cli.tiling import tiled
from vsrdb_cli.video.container import main_video, open_input
from vsrdb_cli.video.encoders import EncoderOptions, Encoding, choose
from vsrdb_cli.video.frame import Frame, FrameSource
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.join import segment_suffix
from vsrdb_cli.video.plan import Fate, plan_streams
from vsrdb_cli.video.writer import SegmentWriter, VideoWriter, open_sink

# Frames restored to measure the network, and frames merely enlarged to measure all else.
RESTORED, ENLARGED = 2, 24
# libx264 and its like put a picture of its own into a video at least this often.
_KEY_FRAMES = 250


@dataclass(frozen=True)
class Estimate:
    """What is known of a run before it.

    frames: None where the source does not say. tile: None for whole pictures. network_bytes: on
    the network's device; pipeline_bytes: on the CPU. free_bytes: on the network's device.
    load_seconds: of the network. seconds, output_bytes: of the whole run; None where the frames
    are not known, or for a size that was not measured. copied, converted, dropped: the other
    streams. segments: whether the run can be stopped and gone on with.
    """

    source: Path
    output: Path
    container: str
    codec: str
    width: int
    height: int
    rate: float
    frames: int | None
    duration_seconds: float | None
    colour: str
    width_hr: int
    height_hr: int
    encoder: str
    runner: str
    tile: int | None
    network_bytes: int
    pipeline_bytes: int
    free_bytes: int
    load_seconds: float
    seconds_per_frame: float
    seconds: float | None
    output_bytes: int | None
    copied: tuple[str, ...]
    converted: tuple[str, ...]
    dropped: tuple[str, ...]
    notices: tuple[str, ...]
    segments: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"source": str(self.source), "output": str(self.output)}


@dataclass(frozen=True)
class _Sample:
    """How some frames were encoded: bytes of the first, of each other, and seconds for each."""

    first: int
    other: float
    seconds: float

    def total(self, frames: int, key_frames: float) -> float:
        return self.first * key_frames + self.other * (frames - key_frames)


def estimate_run(
    source: Path, target: Path, options: RestoreOptions, runner: Runner | None = None
) -> Estimate:
    """Measure two restored frames and some enlarged ones; the output's folder stays as it is.

    Raises:
        VsrdbError: what the run itself would refuse.
    """
    with open_for(source, options) as reader:
        info = reader.info
        with open_sink(
            target, info, options.scale, options.encoder, overwrite=options.overwrite
        ) as sink:
            notices = (*info.notices, *sink.notices)
            bit_depth = sink.bit_depth
            video = isinstance(sink, VideoWriter)
        started = time.monotonic()
        runner = runner or load_for(options, (info.height, info.width))
        load_seconds = time.monotonic() - started
        restorer = Restorer(
            runner, scale=options.scale, tile=options.tile, scene_cuts=options.scene_cuts
        )
        restored, network_seconds = _restore_some(reader, restorer, bit_depth)
        size = info.height * options.scale, info.width * options.scale
        encoding = None
        output_bytes, other_seconds = None, 0.0
        if video:
            encoding = choose(
                options.encoder or EncoderOptions(), target.suffix.lower(), info, *size
            )
            output_bytes, other_seconds = _measure_encoding(reader, restored, encoding, options)
        memory = tiled(runner, info.height, info.width, restorer.tile).memory(
            info.height, info.width
        )
        # On the CPU the network and the rest take the same cores; else the slower of them counts.
        on_cpu = runner.info.device == "cpu"
        per_frame = (
            network_seconds + other_seconds if on_cpu else max(network_seconds, other_seconds)
        )
        fates = _fates(info, target) if video else {}
        return Estimate(
            source=source,
            output=target,
            container=info.container,
            codec=info.codec,
            width=info.width,
            height=info.height,
            rate=float(info.rate),
            frames=info.frame_count,
            duration_seconds=info.duration_seconds,
            colour=f"{info.pix_fmt}, matrix {info.colour.matrix} of H.273",
            width_hr=size[1],
            height_hr=size[0],
            encoder=_words(encoding),
            runner=str(runner.info),
            tile=restorer.tile,
            network_bytes=memory.total(runner.length),
            pipeline_bytes=pipeline_bytes(
                info.height, info.width, scale=options.scale, bit_depth=bit_depth
            ),
            free_bytes=available_bytes(runner.info.device),
            load_seconds=load_seconds,
            seconds_per_frame=per_frame,
            seconds=None
            if info.frame_count is None
            else load_seconds + per_frame * info.frame_count,
            output_bytes=output_bytes,
            copied=fates.get(Fate.COPY, ()) + fates.get(Fate.ATTACH, ()),
            converted=fates.get(Fate.CONVERT, ()) + fates.get(Fate.REMAKE, ()),
            dropped=fates.get(Fate.DROP, ()),
            notices=notices,
            segments=is_long(info, target, options),
        )


def _fates(info: VideoInfo, target: Path) -> dict[Fate, tuple[str, ...]]:
    fates: dict[Fate, tuple[str, ...]] = {}
    for plan in plan_streams(info, target.suffix.lower()):
        fates[plan.fate] = (*fates.get(plan.fate, ()), str(plan.stream))
    return fates


def _words(encoding: Encoding | None) -> str:
    if encoding is None:
        return "PNG pictures"
    settings = " ".join(f"{name} {value}" for name, value in encoding.settings.items())
    return f"{encoding.encoder.name} {encoding.pix_fmt} {settings}".strip()


def _restore_some(
    reader: FrameSource, restorer: Restorer, bit_depth: int
) -> tuple[list[Frame], float]:
    """The first frames restored, and the seconds of the last: the first also warms the network."""
    frames = restored_frames(reader, restorer, bit_depth, last=RESTORED)
    restored, times = [], [time.monotonic()]
    for frame in frames:
        restored.append(frame)
        times.append(time.monotonic())
    return restored, [after - before for before, after in pairwise(times)][-1]


def _measure_encoding(
    reader: FrameSource, restored: list[Frame], encoding: Encoding, options: RestoreOptions
) -> tuple[int | None, float]:
    """Bytes of the whole output, where its frames are known, and seconds of all but the network.

    Frames merely enlarged are encoded in number; how much more detail the restored ones cost is
    seen in the few there are.
    """
    info = reader.info
    bicubic = Restorer(
        BuiltinRunner("bicubic"), scale=options.scale, tile=None, scene_cuts=options.scene_cuts
    )
    enlarged = list(restored_frames(reader, bicubic, encoding.bit_depth, last=ENLARGED))
    started = time.monotonic()
    read = sum(1 for _ in reader.frames(0, ENLARGED))
    read_seconds = (time.monotonic() - started) / max(read, 1)
    many = _encode(enlarged, info, encoding)
    few = _encode(enlarged[: len(restored)], info, encoding)
    sharp = _encode(restored, info, encoding)
    seconds = read_seconds + many.seconds
    if info.frame_count is None:
        return None, seconds
    detail = sharp.total(len(restored), 1) / few.total(len(restored), 1)
    parts = 1.0
    if info.duration_seconds is not None:
        parts = max(1.0, info.duration_seconds / options.segment_seconds)
    key_frames = min(max(parts, info.frame_count / _KEY_FRAMES), info.frame_count)
    return round(detail * many.total(info.frame_count, key_frames)), seconds


def _encode(frames: list[Frame], info: VideoInfo, encoding: Encoding) -> _Sample:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{segment_suffix(encoding.codec)}"
        started = time.monotonic()
        with SegmentWriter(path, info, encoding) as writer:
            for frame in frames:
                writer.write(frame)
            writer.commit()
        seconds = (time.monotonic() - started) / len(frames)
        with open_input(path) as container:
            stream = main_video(container, path)
            sizes = [packet.size for packet in container.demux(stream) if packet.size]
    other = sum(sizes[1:]) / (len(sizes) - 1) if len(sizes) > 1 else float(sizes[0])
    return _Sample(sizes[0], other, seconds)
