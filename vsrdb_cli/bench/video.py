"""Time the other stages of a run, each alone: reading, colour conversion, writing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vsrdb_cli.backends import parity
from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.bench.clock import Seconds, least, timed
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.pixels.colour import to_planes
from vsrdb_cli.video.pixels.from_rgb import FromRgb
from vsrdb_cli.video.pixels.to_rgb import ToRgb
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.reading.video_reader import VideoReader
from vsrdb_cli.video.writing.output import FileOutput, resolve_output

# Frames of the stages alone: more than an encoder holds back.
FRAMES = 48
# Different pictures of the test scene before it moves out of the frame.
_DIFFERENT = 8


@dataclass(frozen=True)
class VideoStages:
    """Time per frame of each stage."""

    read: Seconds
    to_rgb: Seconds
    from_rgb: Seconds
    write: Seconds

    @property
    def together(self) -> Seconds:
        """Sum of all stages."""
        return self.read + self.to_rgb + self.from_rgb + self.write


def pictures(height: int, width: int) -> list[Tensor]:
    """Make (3, H, W) uint8 pictures of a scene that moves forth and back, to be shown in a loop."""
    scene = parity.scene(_DIFFERENT, height, width)
    codes = [to_planes(picture[0], 8) for picture in scene]
    return codes + codes[-2:0:-1]


def make_clip(path: Path, height: int, width: int, frames: int) -> Path:
    """Write a video, encoded as `vsrdb restore` does by default."""
    # Subsampled chroma needs even sides.
    options = EncoderOptions(pix_fmt="yuv444p" if height % 2 or width % 2 else None)
    output = _settle(path, VideoInfo.synthetic(width, height, frames), 1, options)
    _write(output, pictures(height, width), frames)
    return path


def measure_stages(folder: Path, height: int, width: int, scale: int) -> VideoStages:
    """Read LR frames and write HR frames in `folder`, timing each stage alone."""
    clip = make_clip(folder / "stages.mp4", height, width, FRAMES)
    info = probe(clip)
    with VideoReader(info) as reader:
        read = _usual(lambda: list(reader.times())) / FRAMES
    shown = pictures(height, width)
    back = FromRgb(info.pix_fmt, info.colour)
    decoded = [back(picture) for picture in shown]
    to_rgb = ToRgb(info.codec, info.colour, 8)
    coming = _usual(lambda: [to_rgb(picture) for picture in decoded]) / len(shown)

    large = [_enlarged(picture, scale) for picture in shown]
    output = _settle(folder / "written.mp4", info, scale)
    from_rgb = FromRgb(output.encoding.pix_fmt, info.colour)
    going = _usual(lambda: [from_rgb(picture) for picture in large]) / len(large)
    written = timed(lambda: _write(output, large, FRAMES)) / FRAMES
    return VideoStages(read, coming, going, written.without(going))


def _settle(
    path: Path, info: VideoInfo, scale: int, options: EncoderOptions | None = None
) -> FileOutput:
    output = resolve_output(path, info, scale, options)
    assert isinstance(output, FileOutput)
    return output


def _usual(work: Callable[[], object]) -> Seconds:
    """Time some work after what its first run prepares."""
    return least([timed(work) for _ in range(3)])


def _enlarged(picture: Tensor, scale: int) -> Tensor:
    enlarged = bicubic(picture[None].to(torch.float32) / 255, scale)
    return to_planes(enlarged[0].clamp(0, 1), 8)


def _write(output: FileOutput, shown: list[Tensor], frames: int) -> None:
    """Write `frames` frames, showing the pictures in a loop."""
    with output.open_segment(output.path, frames) as sink:
        for index in range(frames):
            ticks = output.info.frame_ticks
            sink.write(Frame(shown[index % len(shown)], index * ticks, ticks))
        sink.commit(frames)
