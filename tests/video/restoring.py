"""The way from a source to a sink with the simplest network: every pixel four times as large."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import torch

from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.video.frame import ReadReport
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.encoding import choose_encoding
from vsrdb_cli.video.writing.join import join, segment_suffix
from vsrdb_cli.video.writing.output import resolve_output
from vsrdb_cli.video.writing.video_writer import VideoOnlyWriter


def open_sink(path, info, scale, options=None, *, overwrite=False):
    """A writer of a whole output, settled and opened in one go."""
    return resolve_output(path, info, scale, options, overwrite=overwrite).open()


def enlarged(rgb: torch.Tensor, scale: int) -> torch.Tensor:
    """(3, H, W) codes, each pixel a block of `scale` x `scale`."""
    wide = rgb.to(torch.int32).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return wide.to(rgb.dtype)


def restore_nearest(
    source: Path, target: Path, *, scale: int = 4, overwrite: bool = False, **options: object
) -> ReadReport:
    """Enlarge a video; `options` are those of the encoder."""
    encoder = EncoderOptions(**options)  # type: ignore[arg-type]
    with (
        open_source(source) as frames,
        open_sink(target, frames.info, scale, encoder, overwrite=overwrite) as sink,
    ):
        for frame in frames.frames():
            sink.write(replace(frame, rgb=enlarged(frame.rgb, scale)))
        sink.commit()
        return frames.report


def restore_in_segments(source, folder, target, ends, **options):
    """As `restore_nearest`, but frames up to each of `ends` go to a file of their own first."""
    with open_source(source) as reader:
        info = reader.info
        encoding = choose_encoding(
            EncoderOptions(**options), target.suffix, info, info.height * 4, info.width * 4
        )
        segments = []
        for first, last in zip([0, *ends[:-1]], ends, strict=True):
            segments.append(folder / f"segment-{first}{segment_suffix(encoding.codec)}")
            with VideoOnlyWriter(segments[-1], info, encoding) as sink:
                for frame in reader.frames(first, last):
                    sink.write(replace(frame, rgb=enlarged(frame.rgb, 4)))
                sink.commit()
    return join(segments, info, target), segments


def y4m_of(path, *options):
    """What ffmpeg sends."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), *options]
    command += ["-strict", "-1", "-f", "yuv4mpegpipe", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout
