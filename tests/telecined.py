"""Film in 3:2 pulldown, made of known film frames by weaving lines in numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np

RATE = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)
HEIGHT, WIDTH = 96, 160

Planes = list[np.ndarray]


def film(count: int, first: int = 0) -> list[Planes]:
    """Film frames that carry their numbers, as planes of 4:2:0."""
    clip = clips.Clip(height=HEIGHT, width=WIDTH)
    images = (clips.picture(first + number, HEIGHT, WIDTH) for number in range(count))
    return [clips.planes_of(clips.frame_of(image, clip)) for image in images]


def fields(frames: Iterable[Planes], cadence: Sequence[int] = (3, 2)) -> list[Planes]:
    """Each film frame as often as a field shows it."""
    return [frame for n, frame in enumerate(frames) for _ in range(cadence[n % len(cadence)])]


def woven(shown: Sequence[Planes], *, top_first: bool = True) -> list[Planes]:
    """Video frames of two fields each; a last one without another is left out."""
    frames = []
    for first, second in zip(shown[::2], shown[1::2], strict=False):
        frame = [plane.copy() for plane in first]
        for target, source in zip(frame, second, strict=True):
            target[int(top_first) :: 2] = source[int(top_first) :: 2]
        frames.append(frame)
    return frames


def write(
    path: Path,
    frames: Sequence[Planes],
    *,
    codec: str = "libx264",
    rate: Fraction = RATE,
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sound: float = 0,
) -> Path:
    """Write 4:2:0 frames, losslessly unless `options` differ, with seconds of sound.

    Args:
        pts: in ticks of 1/60000; regular if left out.
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=options or {"qp": "0", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt = *frames[0][0].shape, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 6
        context.color_range = 1
        time_base = 1 / rate if pts is None else Fraction(1, 60000)
        context.time_base = time_base
        sound_codec = "mp2" if path.suffix == ".mpg" else "aac"
        track = output.add_stream(sound_codec, rate=48000, layout="mono") if sound else None
        packets = []
        for number, planes in enumerate(frames):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            for target, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((target.height, target.line_size), np.uint8)
                rows[:, : target.width] = values
                target.update(rows.tobytes())
            frame.pts, frame.time_base = pts[number] if pts else number, time_base
            packets += stream.encode(frame)
        output.mux([*packets, *stream.encode(None)])
        if track is not None:
            clips.write_tone(output, track, sound, 440)
    return path
