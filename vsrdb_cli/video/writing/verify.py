"""Compare a finished output with its source before it gets its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from pathlib import Path

from vsrdb_cli.video.containers.demuxing import main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.streams.sound import (
    Loudness,
    describe_difference,
    match_tracks,
    measure_loudness,
)

# Matroska and WebM count milliseconds, and a difference of two times has two roundings.
TOLERANCE_SECONDS = Fraction(2, 1000)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the output has to be."""

    frames: int
    """The number of frames."""
    begin_seconds: Fraction
    """Of the first frame, on the clock of the sounds."""
    end_seconds: Fraction
    """Of the last frame."""
    sounds: Sequence[Loudness] = ()
    """In the order of the output's sound tracks."""
    audible: tuple[Fraction | None, Fraction | None] = (None, None)
    """The times between which sounds are compared; None as far as there are any."""


def mismatches(path: Path, expected: Expected) -> Iterator[str]:
    """Read a finished file packet by packet; yield what is not as expected, one line each."""
    with open_input(path) as container:
        video = main_video(container, path)
        assert video.time_base is not None
        shown = [
            (packet.pts, packet.pts + (packet.duration or 0))
            for packet in container.demux(video)
            if packet.size and packet.pts is not None
        ]
        shown.sort(key=itemgetter(0))
        first, last = (shown[0][0], shown[-1][0]) if shown else (0, 0)
        # Of several frames in the last millisecond, nothing tells which is shown last.
        ends = {end for pts, end in shown if pts == last} or {0}
        # Exact in mp4, whose packets tell the steps of decode times only; elsewhere a guess, which
        # for a single picture may be the length of the sound.
        if video.duration and container.format.name.startswith("mov"):
            ends = {(video.start_time or 0) + video.duration}
        first_seconds = first * video.time_base
        wanted = expected.end_seconds - expected.begin_seconds
        lengths = ((end - first) * video.time_base for end in ends)
        seconds = min(lengths, key=lambda length: abs(length - wanted))
    if len(shown) != expected.frames:
        yield f"it has {len(shown)} frames, the source {expected.frames}"
    if abs(seconds - wanted) > TOLERANCE_SECONDS:
        yield f"it lasts {float(seconds):.3f} s, the source {float(wanted):.3f} s"
    sounding = sum(sound.has_sound for sound in expected.sounds)
    if not sounding:
        return
    with open_input(path) as container:
        found = measure_loudness(container, first_seconds - expected.begin_seconds)
    heard = sum(sound.has_sound for sound in found)
    if len(found) != len(expected.sounds) and heard != sounding:
        yield f"it has {heard} tracks with sound instead of {sounding}"
        return
    matched = zip(expected.sounds, match_tracks(expected.sounds, found), strict=True)
    for number, (source, output) in enumerate(matched, 1):
        words = output and describe_difference(source, output, *expected.audible)
        if words:
            yield f"sound track {number} {words}"
