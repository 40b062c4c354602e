"""A source, opened as the options say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vsrdb_cli.errors import OptionError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.frame import FrameSource
from vsrdb_cli.video.images import PictureReader
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.part import trimmed
from vsrdb_cli.video.reader import open_source

_USUAL_RATE = Fraction(24)  # of cinema


def open_for(source: Path, options: RestoreOptions) -> FrameSource:
    """The frames of `source` that are wanted, as they are wanted.

    Raises:
        VideoError, OptionError: it cannot be read, or has no such part.
    """
    whole = open_source(source, rate=options.fps or _USUAL_RATE, hdr=options.hdr)
    sequence = isinstance(whole, PictureReader) and whole.info.kind is Kind.PICTURES
    if options.fps is not None and not sequence:
        raise OptionError(
            f"--fps is for a folder of pictures, and {source} is not one", hint="omit --fps"
        )
    if options.fps is None and isinstance(whole, PictureReader) and sequence:
        taken = f"the pictures are taken to be {_USUAL_RATE} frames a second; --fps changes that"
        whole = whole.with_info(replace(whole.info, assumed=(*whole.info.assumed, taken)))
    return trimmed(whole, start=options.start, end=options.end, sample=options.sample)
