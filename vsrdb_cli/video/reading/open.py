"""A source, opened as the options say."""

from __future__ import annotations

from pathlib import Path

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.reading.trim import trimmed
from vsrdb_cli.video.reading.video_reader import open_source


def open_for(source: Path, options: RestoreOptions) -> FrameSource:
    """The frames of `source` that are wanted, as they are wanted.

    Raises:
        VideoError, OptionError: it cannot be read, or has no such part.
    """
    whole = open_source(source, rate=options.fps, hdr=options.hdr, scale=options.scale)
    return trimmed(whole, start=options.start, end=options.end, sample=options.sample)
