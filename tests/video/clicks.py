"""Sound that tells where it lies: clicks at known times, found again in decoded samples."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

EVERY = 0.5  # seconds from one click to the next
SOUND = f"aevalsrc='if(lt(mod(t,{EVERY}),0.01),0.8*sin(2*PI*1000*t),0)':s={{rate}}:d={{seconds}}"


def ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60)


def make(
    path: Path, *options: object, seconds: float = 2, rate: int = 48000, video: str = "mpeg4"
) -> Path:
    """A video of 64x48 with clicks; `options` are ffmpeg's for the sound and the container."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc=s=64x48:r=25:d={seconds}",
           "-f", "lavfi", "-i", f"{SOUND}:s={rate}:d={seconds}", "-c:v", video,
           *options, path)  # fmt: skip
    return path


def change_sound(source: Path, path: Path, change: Callable[[av.Packet], av.Packet | None]) -> Path:
    """A copy of a video; `change` returns what each packet of sound becomes, None for nothing."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as made:
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in whole.streams}
        for packet in whole.demux():
            if packet.size:
                changed = change(packet) if packet.stream.type == "audio" else packet
                if changed is not None:
                    changed.stream = copies[packet.stream.index]
                    made.mux(changed)
    return path


def heard(path: Path, track: int = 0) -> list[float]:
    """When clicks begin after the first picture, as a player plays the samples: in a row."""
    with av.open(str(path)) as container:
        packets = container.demux(video=0)
        picture = min(p.pts * p.time_base for p in packets if p.size and not p.is_discard)
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        begin, samples, rate = None, [], stream.codec_context.sample_rate
        resamplers: dict[str, av.AudioResampler] = {}
        for frame in container.decode(stream):
            if begin is None:
                begin = frame.pts * frame.time_base - picture
            place = begin + Fraction(sum(map(len, samples)), rate)
            gap = round((frame.pts * frame.time_base - picture - place) * rate)
            if gap > rate // 20:
                samples.append(np.zeros(gap, np.float32))
            shape = f"{frame.layout.name} {frame.format.name} {frame.sample_rate}"
            mono = resamplers.setdefault(shape, av.AudioResampler("flt", "mono", rate))
            samples += [part.to_ndarray()[0] for part in mono.resample(frame)]
    wave = np.abs(np.concatenate(samples))
    loud = np.nonzero(wave > wave.max() / 3)[0] / rate
    starts = loud[np.diff(loud, prepend=-1) > 0.05]
    return [round(float(begin) + float(start), 3) for start in starts]


def length(path: Path, track: int = 0) -> float:
    """Seconds of all decoded samples of a track together."""
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.audio[track])
        return sum(frame.samples / frame.sample_rate for frame in frames)
