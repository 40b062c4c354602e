"""Small videos made for tests: every picture carries its number and patches of known colours.

The bottom sixth holds 10 blocks, left to right, most significant bit first, light for 1; the top
third holds 8 flat patches. Between them lies a still gradient, and a bar that moves with the
number. Colours are converted here by the formulas of BT.601, BT.709 and BT.2020 in numpy, apart
from the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags

BITS = 10
LIGHT, DARK = 235, 20
PATCHES = (
    *((235, 235, 235), (200, 200, 20), (20, 200, 200), (20, 200, 20)),
    *((200, 20, 200), (200, 20, 20), (20, 20, 200), (20, 20, 20)),
)
VARIABLE = (0, 3003, 6006, 30000, 33003, 90000)  # pts of a video without a frame rate
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def picture(number: int, height: int = 90, width: int = 160, *, later: int = 0) -> np.ndarray:
    """The picture with a number, (height, width, 3) uint8 RGB; its bar `later` pixels further."""
    image = np.empty((height, width, 3), np.uint8)
    columns = np.arange(width)
    image[:] = (40 + 150 * columns // width)[None, :, None]
    bar = (number * 3 + later) % max(1, width - 8)
    image[:, bar : bar + 8] = (180, 90, 60)
    for patch, colour in enumerate(PATCHES):
        image[: height // 3, patch * width // 8 : (patch + 1) * width // 8] = colour
    for bit in range(BITS):
        value = LIGHT if number >> (BITS - 1 - bit) & 1 else DARK
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        image[height - height // 6 :, left:right] = value
    return image


def softened(image: np.ndarray) -> np.ndarray:
    """The picture through a binomial filter of seven pixels each way."""
    smooth = image.astype(np.float64)
    for axis in (0, 1):
        for _ in range(3):
            width = [(1, 1) if a == axis else (0, 0) for a in range(3)]
            padded = np.moveaxis(np.pad(smooth, width, mode="edge"), axis, 0)
            smooth = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return np.rint(smooth).astype(np.uint8)


def number_in(image: np.ndarray) -> int:
    """The number a picture of any scale carries."""
    height, width = image.shape[:2]
    row = image[height - height // 12]
    number = 0
    for bit in range(BITS):
        number = number * 2 + int(row[int((bit + 0.5) * width / BITS)].mean() > 128)
    return number


def patches_in(image: np.ndarray) -> np.ndarray:
    """The mean colours of the 8 patches' inner parts, (8, 3) float."""
    height, width = image.shape[:2]
    rows = slice(height // 12, height // 4)
    inner = [image[rows, int((p + 0.3) * width / 8) : int((p + 0.7) * width / 8)] for p in range(8)]
    return np.stack([patch.reshape(-1, 3).mean(0) for patch in inner])


def to_yuv(rgb: np.ndarray, matrix: int, *, full: bool, depth: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB to (3, H, W) uint16 codes of `depth` bits, 4:4:4."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64) / 255, 2, 0)
    k_red, k_blue = LUMA[matrix]
    luma = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    chroma_blue, chroma_red = (blue - luma) / (2 - 2 * k_blue), (red - luma) / (2 - 2 * k_red)
    step = 1 << (depth - 8)
    if full:
        top = (1 << depth) - 1
        planes = top * luma, top * chroma_blue + 128 * step, top * chroma_red + 128 * step
    else:
        planes = (
            (16 + 219 * luma) * step,
            (128 + 224 * chroma_blue) * step,
            (128 + 224 * chroma_red) * step,
        )
    return np.stack([np.clip(np.rint(p), 0, (1 << depth) - 1) for p in planes]).astype(np.uint16)


def to_rgb(yuv: np.ndarray, matrix: int, *, full: bool, depth: int) -> np.ndarray:
    """The way back: (3, H, W) codes to (H, W, 3) float RGB, 0 to 255."""
    step = 1 << (depth - 8)
    top = (1 << depth) - 1
    luma, chroma_blue, chroma_red = yuv.astype(np.float64)
    luma = luma / top if full else (luma / step - 16) / 219
    scale = top if full else 224 * step
    chroma_blue, chroma_red = (c / scale - 128 * step / scale for c in (chroma_blue, chroma_red))
    k_red, k_blue = LUMA[matrix]
    red = luma + chroma_red * (2 - 2 * k_red)
    blue = luma + chroma_blue * (2 - 2 * k_blue)
    green = (luma - k_red * red - k_blue * blue) / (1 - k_red - k_blue)
    return np.stack([red, green, blue], axis=2) * 255


@dataclass(frozen=True)
class Clip:
    """What to make. The defaults give 8 frames of 160x90 H.264 BT.709 at 25 frames a second.

    Attributes:
        pts: in ticks of `time_base`; regular if left out.
        last_duration: of the last frame, in ticks.
        matrix, range, primaries, transfer: H.273 codes; the samples follow matrix and range.
        tagged: whether those are written into the file.
        audio: codec names of the sound tracks.
        audio_seconds: how long they are.
        display_matrix: the nine numbers of FFmpeg's, by which players turn the picture.
        soft: edges spread over a few pixels, as a lens does it.
        woven: odd lines show the bar where it is half a frame later, as interlaced video does.
        still: so many pictures at the start are the first one.
        field_order: what the file says of it; 1 = progressive, 2 = top field first.
        shows: the number of each frame's picture, in place of `first` and those that follow it.
    """

    frames: int = 8
    height: int = 90
    width: int = 160
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    time_base: Fraction = Fraction(1, 90000)
    pts: tuple[int, ...] | None = None
    last_duration: int | None = None
    first: int = 0
    matrix: int = 1
    range: int = 1
    primaries: int | None = None
    transfer: int | None = None
    tagged: bool = True
    sar: Fraction | None = None
    options: dict[str, str] = field(default_factory=lambda: {"crf": "8", "bf": "2"})
    audio: tuple[str, ...] = ()
    audio_seconds: float = 0.4
    metadata: dict[str, str] = field(default_factory=dict)
    display_matrix: tuple[int, ...] | None = None
    soft: bool = False
    woven: bool = False
    still: int = 0
    field_order: int = 1
    shows: tuple[int, ...] | None = None

    def times(self) -> list[int]:
        """The pts of all frames, in ticks."""
        if self.pts is not None:
            return list(self.pts)
        return [round(i / self.rate / self.time_base) for i in range(self.frames)]


def make(path: Path, clip: Clip | None = None, **changes: object) -> Path:
    """Write a clip; `changes` are fields of `Clip`."""
    clip = clip or Clip(**changes)  # type: ignore[arg-type]
    with av.open(str(path), "w") as output:
        output.metadata.update(clip.metadata)
        stream = output.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options))
        context = stream.codec_context
        context.width, context.height = clip.width, clip.height
        context.pix_fmt, context.time_base = clip.pix_fmt, clip.time_base
        context.flags |= Flags.frame_duration.value
        context.field_order = clip.field_order
        stream.set_display_matrix(clip.display_matrix)
        if clip.sar:
            context.sample_aspect_ratio = clip.sar
        if clip.tagged:
            context.colorspace, context.color_range = clip.matrix, clip.range
            context.color_primaries = clip.primaries or clip.matrix
            context.color_trc = clip.transfer or clip.matrix
        tracks = [output.add_stream(name, rate=48000, layout="mono") for name in clip.audio]
        times = clip.times()
        last = times[-1] + (clip.last_duration or round(1 / clip.rate / clip.time_base))
        packets = []
        for index, (pts, following) in enumerate(zip(times, [*times[1:], last], strict=True)):
            number = clip.first + (0 if index < clip.still else index)
            if clip.shows is not None:
                number = clip.shows[index]
            image = picture(number, clip.height, clip.width)
            if clip.soft:
                image = softened(image)
            if clip.woven:
                image[1::2] = picture(number, clip.height, clip.width, later=2)[1::2]
            frame = frame_of(image, clip)
            frame.pts, frame.time_base, frame.duration = pts, clip.time_base, following - pts
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if clip.last_duration:
            # mp4 counts in decode order, where the last packet may be an earlier picture's.
            packets[-1].duration = last - times[0] - (packets[-1].dts - packets[0].dts)
        output.mux(packets)
        for number, track in enumerate(tracks):
            write_tone(output, track, clip.audio_seconds, 440 * (number + 1))
    return path


def frame_of(image: np.ndarray, clip: Clip) -> av.VideoFrame:
    """A frame in the clip's pixel format: RGB, or YUV with left-sited chroma."""
    frame = av.VideoFrame(clip.width, clip.height, clip.pix_fmt)
    names = frame.format.name
    if names == "rgb24":
        return av.VideoFrame.from_ndarray(image, "rgb24")
    if names == "gbrp":
        return av.VideoFrame.from_ndarray(image, "gbrp")
    if names == "rgb8":
        return av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="rgb8")
    depth = frame.format.components[0].bits
    luma, *chroma = to_yuv(image, clip.matrix, full=clip.range == 2, depth=depth)
    planes = [luma]
    for plane in chroma[: len(frame.planes) - 1]:
        planes.append(_subsampled(plane, frame.planes[1].height, frame.planes[1].width))
    for target, values in zip(frame.planes, planes, strict=True):
        kind = np.uint8 if depth == 8 else np.uint16
        rows = np.zeros((target.height, target.line_size // kind().itemsize), kind)
        rows[:, : target.width] = values
        target.update(rows.tobytes())
    return frame


def _subsampled(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Chroma at the left of each pair of columns and between each pair of rows."""
    full_height, full_width = plane.shape
    wide = np.pad(plane.astype(np.float64), ((0, full_height % 2), (1, 1)), mode="edge")
    if width < full_width:
        wide = (
            wide[:, 0:-2:2] + 2 * wide[:, 1:-1:2] + wide[:, 2::2][:, : (full_width + 1) // 2]
        ) / 4
    else:
        wide = wide[:, 1:-1]
    if height < full_height:
        wide = (wide[0::2] + wide[1::2]) / 2
    return np.rint(wide[:height, :width])


def write_tone(
    output: av.container.OutputContainer, track: av.AudioStream, seconds: float, hertz: int
) -> None:
    count = int(48000 * seconds)
    wave = (0.2 * np.sin(2 * np.pi * hertz * np.arange(count) / 48000)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    for packet in [*track.encode(frame), *track.encode(None)]:
        output.mux(packet)


@dataclass(frozen=True)
class Read:
    """What a file gives back to a plain decoder."""

    numbers: list[int]
    times: list[Fraction]
    images: list[np.ndarray]


def read(path: Path) -> Read:
    """Decode a video with PyAV alone; pictures as RGB by the file's own tags, here in numpy."""
    numbers, times, images = [], [], []
    with av.open(str(path)) as source:
        stream = source.streams.best("video")
        for frame in source.decode(stream):
            images.append(_image(frame))
            numbers.append(number_in(images[-1]))
            times.append(frame.pts * frame.time_base)
    return Read(numbers, times, images)


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """The planes of a frame as they are, without padding."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    return [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width].copy() for p in frame.planes]


def _image(frame: av.VideoFrame) -> np.ndarray:
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb24")
    luma, *chroma = planes_of(frame)
    full = [
        np.kron(c, np.ones((2, 2), c.dtype))[: luma.shape[0], : luma.shape[1]]
        if c.shape != luma.shape
        else c
        for c in chroma
    ]
    depth = frame.format.components[0].bits
    rgb = to_rgb(
        np.stack([luma, *full]), int(frame.colorspace), full=frame.color_range == 2, depth=depth
    )
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
