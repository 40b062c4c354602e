"""Render blurry LR windows with sharp HR truth and true flow from photos.

A window shows layers (a background, up to two foregrounds with soft masks) under smooth motion.
Each blurry frame is the mean over its exposure in linear light, then bicubic x4 down.

    python -m recipe.render --photos PHOTOS --out POOL --windows 3000
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from recipe.motion import LayerMotion, pixel_grid, random_motion, still
from recipe.photos import Array, Photos, to_codes, to_linear
from recipe.pool import ShardWriter, Window

try:
    import av
except ModuleNotFoundError:  # a machine lent for training may have no more than torch and OpenCV
    av = None

SCALE = 4
TIMES = (-1, 0, 1)  # of the three frames, in frames; the centre is at 0
MARGIN_HR = 64  # texture beyond the window's edges; what moves in from farther is reflected
TRAIL_STEP_HR = 1.5  # sub-frames at most this far apart: well under one LR pixel
MAX_SUBFRAMES = 32


@dataclass(frozen=True)
class Layer:
    """A texture in linear light, (H, W, 3), or premultiplied by its mask, (H, W, 4); its motion.

    Textures are (side + 2 * MARGIN_HR) wide; motions are given on the window's pixels.
    """

    texture: Array
    motion: LayerMotion

    def at(self, time: float, interpolation: int) -> Array:
        """Return the layer at `time`, (side, side, 3 or 4)."""
        side = self.motion.shape.shape[0]
        if self.motion.speed == 0:
            inside = slice(MARGIN_HR, MARGIN_HR + side)
            return self.texture[inside, inside].copy()
        source = self.motion.source(time, pixel_grid(side, side, MARGIN_HR))
        return cv2.remap(
            self.texture, source, None, interpolation, borderMode=cv2.BORDER_REFLECT_101
        )


def composite(layers: list[Layer], time: float, interpolation: int = cv2.INTER_LINEAR) -> Array:
    """Draw the scene at one moment, (side, side, 3), linear light."""
    picture = layers[0].at(time, interpolation)
    for layer in layers[1:]:
        front = layer.at(time, interpolation)
        picture *= 1 - front[..., 3:]
        picture += front[..., :3]
    return picture


def exposed(layers: list[Layer], time: float, exposure: float) -> Array:
    """Average the scene over the exposure (in frames) around `time`, in linear light."""
    path = max(layer.motion.speed for layer in layers) * exposure
    count = int(np.clip(np.ceil(path / TRAIL_STEP_HR), 1, MAX_SUBFRAMES))
    moments = time + exposure * ((np.arange(count) + 0.5) / count - 0.5)
    total = composite(layers, moments[0])
    for moment in moments[1:]:
        total += composite(layers, moment)
    return total / count


def true_flow(layers: list[Layer], time: float) -> Array:
    """Return the flow of the front layer from the centre to `time`, (side, side, 2), HR pixels."""
    flow = layers[0].motion.flow(time)
    for layer in layers[1:]:
        opaque = layer.at(0.0, cv2.INTER_LINEAR)[..., 3:] > 0.5
        flow = np.where(opaque, layer.motion.flow(time), flow)
    return flow


def downscale(codes: Array) -> Array:
    """Downscale (H, W, C) to (H/4, W/4, C), bicubic with antialiasing, on sRGB codes as in REDS."""
    image = torch.from_numpy(np.ascontiguousarray(codes)).permute(2, 0, 1)[None]
    size = [codes.shape[0] // SCALE, codes.shape[1] // SCALE]
    small = torch.nn.functional.interpolate(
        image, size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return small[0].permute(1, 2, 0).numpy()


def to_bytes(codes: Array) -> NDArray[np.uint8]:
    return np.clip(np.rint(codes), 0, 255).astype(np.uint8)


def random_mask(rng: np.random.Generator, side: int) -> Array:
    """Draw a soft-edged mask (side, side): blobs, boxes or thin strokes."""
    mask = np.zeros((side, side), np.float32)
    kind = rng.choice(["blob", "box", "strokes"], p=[0.5, 0.25, 0.25])
    if kind == "blob":
        cells = int(rng.integers(3, 7))
        field = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        field = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
        mask[field > np.quantile(field, rng.uniform(0.55, 0.85))] = 1
    elif kind == "box":
        centre, size = rng.uniform(0.25, 0.75, 2) * side, rng.uniform(0.1, 0.5, 2) * side
        box = cv2.boxPoints((centre.tolist(), size.tolist(), float(rng.uniform(0, 180))))
        cv2.fillConvexPoly(mask, box.astype(np.int32), 1.0)
    else:
        for _ in range(int(rng.integers(2, 9))):
            points = rng.uniform(0, side, (1, 2)) + np.cumsum(rng.normal(0, side / 5, (5, 2)), 0)
            thick = int(rng.integers(2, 12))
            cv2.polylines(mask, [points.astype(np.int32)], False, 1.0, thick, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 2.0)))


def draw_text(rng: np.random.Generator, picture: NDArray[np.uint8]) -> None:
    """Draw letters and lines on a texture, in place: sharp, man-made structure."""
    side = picture.shape[0]
    for _ in range(int(rng.integers(3, 14))):
        colour = rng.integers(0, 256, 3).tolist()
        x, y = rng.integers(0, side, 2).tolist()
        thick = int(rng.integers(1, 5))
        if rng.random() < 0.7:
            letters = "".join(rng.choice(list("ABCDEFGHKMNRSTXaegkmsty0123456789"), 8))
            font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
            size = float(rng.uniform(0.4, 2.0))
            cv2.putText(picture, letters, (x - 40, y), font, size, colour, thick, cv2.LINE_AA)
        else:
            end = rng.integers(0, side, 2).tolist()
            cv2.line(picture, (x, y), tuple(end), colour, thick, cv2.LINE_AA)


def random_speed(rng: np.random.Generator) -> float:
    """Draw a speed in HR pixels per frame: mostly below 15 (walks), to 25 (pans), and a tail."""
    return float(min(rng.gamma(1.6, 6.5), 50.0))


def random_exposure(rng: np.random.Generator) -> float:
    """Draw a share of the time between frames; a fifth of them below a quarter, as in daylight."""
    chance = rng.random()
    return float(chance * 1.25 if chance < 0.2 else 0.25 + (chance - 0.2) * 0.9375)


def random_scene(rng: np.random.Generator, photos: Photos, side: int) -> list[Layer]:
    """Draw background and foregrounds of one window of `side` HR pixels."""
    wide = side + 2 * MARGIN_HR
    kind = rng.choice(["static", "fixed camera", "moving"], p=[0.08, 0.12, 0.80])
    background = photos.crop(rng, wide).copy()
    if rng.random() < 0.1:
        draw_text(rng, background)
    moving = random_motion(rng, side, speed=random_speed(rng))
    layers = [Layer(to_linear(background), moving if kind == "moving" else still(side))]
    fronts = {
        "static": 0,
        "fixed camera": 1,
        "moving": int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])),
    }
    for _ in range(fronts[str(kind)]):
        mask = random_mask(rng, wide)[..., None]
        texture = to_linear(photos.crop(rng, wide)) * np.float32(rng.uniform(0.6, 1.0))
        motion = random_motion(rng, side, speed=random_speed(rng))
        if kind == "moving" and rng.random() < 0.5:
            # Parallax: something nearer goes the same way, faster.
            nearer = np.float32(rng.uniform(1.1, 1.8))
            motion = LayerMotion(
                moving.velocity * nearer,
                moving.acceleration * nearer,
                moving.shake * nearer,
                moving.shake_rate,
                moving.shake_phase,
                moving.shape * nearer,
            )
        layers.append(Layer(np.concatenate([texture * mask, mask], axis=-1), motion))
    return layers


def compress(
    frames: list[NDArray[np.uint8]], crf: int, *, as_video: bool = av is not None
) -> list[NDArray[np.uint8]]:
    """Compress frames as an H.264 video (4:2:0) or each with JPEG, and decode them."""
    if not as_video:
        return [compress_jpeg(frame, 100 - 2 * crf) for frame in frames]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def compress_jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress a frame with JPEG (4:2:0) and decode it."""
    _, coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def degrade(rng: np.random.Generator, frames: list[Array]) -> list[NDArray[np.uint8]]:
    """Round LR frames in codes 0..255 to 8 bit, some of them with mild noise or compression."""
    chance = rng.random()
    if chance < 0.2:
        level = rng.uniform(0.5, 2.5)
        return [to_bytes(f + rng.normal(0, level, f.shape).astype(np.float32)) for f in frames]
    if chance < 0.4:
        return compress([to_bytes(f) for f in frames], int(rng.integers(12, 25)))
    return [to_bytes(f) for f in frames]


def render_window(rng: np.random.Generator, photos: Photos, size: int) -> Window[NDArray[Any]]:
    """Render a window of `size` LR pixels: 3 blurry LR frames, 3 sharp HR frames, true flow."""
    layers = random_scene(rng, photos, size * SCALE)
    exposure = random_exposure(rng)
    sharp = [to_bytes(to_codes(composite(layers, t, cv2.INTER_CUBIC))) for t in TIMES]
    blurry = [downscale(to_codes(exposed(layers, t, exposure))) for t in TIMES]
    flows = [true_flow(layers, t) for t in TIMES if t != 0]
    flow = np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in flows])
    return Window(
        lr=np.stack(degrade(rng, blurry)),
        hr=np.stack(sharp),
        flow=(flow / SCALE).astype(np.float16),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="photos and their manifest.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--windows", type=int, default=3000)
    parser.add_argument("--shard", type=int, default=250, help="windows per shard")
    parser.add_argument("--size", type=int, default=72, help="LR pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--validation", action="store_true", help="from photos kept for validation")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = Photos(args.photos, validation=args.validation)
    for number in range(args.first, args.first + -(-args.windows // args.shard)):
        # Every shard has its own seed: any of them can be made again alone.
        rng = np.random.default_rng([args.seed, number, int(args.validation)])
        writer = ShardWriter(args.out / f"{number:04d}", args.shard, args.size, SCALE)
        for _ in range(args.shard):
            writer.add(render_window(rng, photos, args.size))
        writer.close()
        print(f"{args.out / f'{number:04d}'}: {args.shard} windows", flush=True)


if __name__ == "__main__":
    main()
