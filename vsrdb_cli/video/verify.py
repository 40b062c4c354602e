"""The finished output compared with the source, before it gets its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsrdb_cli.video.container import Demuxer, main_video, open_input
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.stream_fates import Fate, StreamPlan
from vsrdb_cli.video.streams import Copied

# Matroska and WebM count milliseconds, and a difference of two times has two roundings.
TOLERANCE_SECONDS = Fraction(2, 1000)
# How far into the source one looks for the first sound.
FIRST_PACKETS = 5000

# When each sound track that holds any sound begins after the first frame, in seconds; None where
# it cannot be told.
Sounds = tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the output has to be.

    Attributes:
        frames: how many.
        seconds: from the beginning of the first to the end of the last.
        sounds: in the order of the output's sound tracks.
    """

    frames: int
    seconds: Fraction
    sounds: Sounds = ()


def first_sounds(
    info: VideoInfo, plans: tuple[StreamPlan, ...], first_frame_seconds: Fraction, copied: Copied
) -> Sounds:
    """When the sound tracks to be copied begin after the first frame, as the source has it.

    Tracks without a packet to copy are left out: a part may hold no sound of them, and mp4 files
    then hold no track. One that the source clearly has is expected whatever was copied.

    Args:
        first_frame_seconds: of the first frame restored, on the clock of `info`.
    """
    wanted = [
        plan.stream.index
        for plan in plans
        if plan.fate is Fate.COPY and plan.stream.type == "audio"
    ]
    times = dict(_first_times(info.path, wanted, FIRST_PACKETS))
    zero = info.start_seconds + first_frame_seconds
    offsets = [
        times[index] - zero if index in times and not copied.unheard[index] else None
        for index in wanted
    ]
    if info.cut is not None:
        # Of sound that begins before the cut the packet is not known with which it begins there.
        end = info.cut.seconds
        offsets = [
            None if o is None or o < 0 or (end is not None and o >= end) else o for o in offsets
        ]
    # Of sound before the first picture mp4 says how much is hidden; of a single packet that would
    # be all, and it begins with the picture.
    single = {index for index in wanted if copied.packets[index] == 1}
    return tuple(
        None if index in single and offset is not None and offset < 0 else offset
        for index, offset in zip(wanted, offsets, strict=True)
        if copied.packets[index] or (offset is not None and not copied.damaged[index])
    )


def mismatches(path: Path, expected: Expected) -> Iterator[str]:
    """What is not as expected in a finished file, one line each; read anew, packet by packet."""
    with open_input(path) as container:
        video = main_video(container, path)
        assert video.time_base is not None
        shown = [
            (packet.pts, packet.pts + (packet.duration or 0))
            for packet in container.demux(video)
            if packet.size and packet.pts is not None
        ]
        first = min((pts for pts, _ in shown), default=0)
        end = max((after for _, after in shown), default=0)
        # Exact in mp4, whose packets tell the steps of decode times only; elsewhere a guess, which
        # for a single picture may be the length of the sound.
        if video.duration and container.format.name.startswith("mov"):
            end = (video.start_time or 0) + video.duration
        tracks = [stream.index for stream in container.streams.audio]
        first_seconds = first * video.time_base
        seconds = (end - first) * video.time_base
    if len(shown) != expected.frames:
        yield f"it has {len(shown)} frames, the source {expected.frames}"
    if abs(seconds - expected.seconds) > TOLERANCE_SECONDS:
        yield f"it lasts {float(seconds):.3f} s, the source {float(expected.seconds):.3f} s"
    # Matroska keeps a track that nothing was written to, mp4 does not.
    times = [time for _, time in sorted(_first_times(path, tracks))]
    if len(times) != len(expected.sounds):
        yield f"it has {len(times)} tracks with sound instead of {len(expected.sounds)}"
        return
    for number, (time, wanted) in enumerate(zip(times, expected.sounds, strict=True), 1):
        offset = time - first_seconds
        if wanted is not None and abs(offset - wanted) > TOLERANCE_SECONDS:
            yield (
                f"sound track {number} begins {float(offset):.3f} s after the first picture,"
                f" in the source {float(wanted):.3f} s"
            )


def _first_times(
    path: Path, indices: list[int], within: int | None = None
) -> Iterator[tuple[int, Fraction]]:
    """The time of the first packet of each stream, as far as there is one.

    Args:
        within: how many packets of them all are looked at; None for the whole file.
    """
    missing = set(indices)
    if not missing:
        return
    with open_input(path) as container:
        streams = [container.streams[index] for index in indices]
        for number, packet in enumerate(Demuxer(container, *streams)):
            index = packet.stream.index
            if index in missing and packet.size and packet.pts is not None:
                missing.remove(index)
                yield index, packet.pts * packet.time_base
            if not missing or (within is not None and number > within):
                return
