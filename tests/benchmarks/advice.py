"""What advise says and proposes beside what restoring gains: the table its thresholds were set by.

    python tests/benchmarks/advice.py CLIPS [--pattern PATTERN] [--weights NAME] [--json FILE]

CLIPS is a folder of sharp videos. Each becomes low-resolution clips of 128x96, five frames: sharp;
blurred (exposure of 0.8 of two frames); with noise (8 codes) and much noise (16); with blocks
(JPEG, quality 20); a picture half as large enlarged; interlaced. Each is advised on and restored
whole, as it is and with the filters that are proposed; the gain is that of RGB PSNR over bicubic of
the unfiltered clip, 4 pixels cut, of all frames. Nothing is gained by a clip that is shrunk first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from vsrdb_cli.advice.advise import advise
from vsrdb_cli.backends import load_runner
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.prefilter import prefiltered

sys.path.insert(0, str(Path(__file__).parents[2] / "weights"))
from recipe.photos import to_codes
from recipe.real_clips import MOMENTS, SHUTTER, Interpolator, read_clip
from recipe.render import downscale, to_bytes

HEIGHT, WIDTH, FRAMES, STEP = 96, 128, 5, 2
NOISES = {"noise": 8, "much noise": 16}  # codes, standard deviation
QUALITY, BORDER = 20, 4

Picture = NDArray[np.uint8]


def variants(file: Path) -> Iterator[tuple[str, list[Picture], list[Picture]]]:
    """(kind, LR frames, their truths), (H, W, 3) RGB."""
    frames = read_clip(file)[: 2 * STEP + STEP * FRAMES]
    height, width = frames[0].shape[:2]
    top, left = max(0, height - 4 * HEIGHT) // 2, max(0, width - 4 * WIDTH) // 2
    frames = [
        np.ascontiguousarray(f[top : top + 4 * HEIGHT, left : left + 4 * WIDTH]) for f in frames
    ]
    centres = range(STEP, STEP + STEP * FRAMES, STEP)
    truths = [frames[centre] for centre in centres]
    small = [_small(truth) for truth in truths]
    yield "sharp", small, truths
    clip, reach = Interpolator(frames), SHUTTER * STEP / 2
    blurred = []
    for centre in centres:
        moments = centre + np.linspace(-reach, reach, MOMENTS)
        light = np.mean([clip.at(moment) for moment in moments], axis=0, dtype=np.float32)
        blurred.append(to_bytes(downscale(to_codes(light))))
    yield "blurred", blurred, truths
    for kind, codes in NOISES.items():
        rng = np.random.default_rng(0)
        yield kind, [to_bytes(s + rng.normal(0, codes, s.shape)) for s in small], truths
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    files = [cv2.imencode(".jpg", picture[..., ::-1], quality)[1] for picture in small]
    yield "blocks", [cv2.imdecode(data, 1)[..., ::-1] for data in files], truths
    size = small[0].shape[1::-1]
    halves = [cv2.resize(s, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for s in small]
    yield "enlarged", [cv2.resize(h, size, interpolation=cv2.INTER_CUBIC) for h in halves], truths
    woven = []
    for centre, picture in zip(centres, small, strict=True):
        woven.append(picture.copy())
        woven[-1][1::2] = _small(frames[centre + STEP // 2])[1::2]
    yield "interlaced", woven, truths


def _small(picture: Picture) -> Picture:
    return to_bytes(downscale(picture.astype(np.float32)))


def write(path: Path, frames: list[Picture]) -> Path:
    """A lossless video."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv444p")))
        output.mux(stream.encode(None))
    return path


def power(path: Path, truths: list[Picture], weights: str, prefilter: str | None = None) -> float:
    """Mean square difference of the restored frames from their truths."""
    runner = load_runner(weights)
    with open_source(path) as opened:
        source = opened if prefilter is None else prefiltered(opened, prefilter)
        pictures = (to_float(frame.rgb) for frame in source.frames())
        pairs = zip(restore_frames(pictures, runner), truths, strict=True)
        return float(np.mean([_power(picture, truth) for picture, truth in pairs]))


def _power(picture: Tensor, truth: Picture) -> float:
    difference = picture - torch.from_numpy(truth).permute(2, 0, 1) / 255
    return float(difference[:, BORDER:-BORDER, BORDER:-BORDER].square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="a folder of sharp videos")
    parser.add_argument("--pattern", default="*.mp4", help="of the clips' names")
    parser.add_argument("--weights", default="fmanet-xs")
    parser.add_argument("--json", type=Path, help="write all that was measured")
    args = parser.parse_args()
    rows = []
    print("| clip | kind | gain, dB | filtered | filters | verdict | reasons |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for file in sorted(args.clips.glob(args.pattern)):
        for kind, frames, truths in variants(file):
            with tempfile.TemporaryDirectory() as folder:
                path = write(Path(folder) / "in.mkv", frames)
                advice = advise(path, args.weights)
                plain = power(path, truths, "bicubic")
                gain = 10 * np.log10(plain / power(path, truths, args.weights))
                graph, filtered = advice.prefilter, gain
                if graph and "scale" not in graph:
                    filtered = 10 * np.log10(plain / power(path, truths, args.weights, graph))
            rows.append({"clip": file.stem, "kind": kind, "gain": gain, "filtered": filtered})
            rows[-1] |= advice.as_json()
            reasons = ", ".join(one.name for one in advice.findings if one.is_reason)
            row = [file.stem, kind, f"{gain:+.2f}", f"{filtered:+.2f}" if filtered != gain else "-"]
            row += [f"`{graph}`" if graph else "-", advice.verdict.value, reasons or "-"]
            print(f"| {' | '.join(row)} |", flush=True)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [row for row in rows if row["kind"] == kind]
        means = [np.mean([row[name] for row in of_kind]) for name in ("gain", "filtered")]
        worst = min(row["filtered"] for row in of_kind)
        print(f"{kind}: {means[0]:+.2f} dB, filtered {means[1]:+.2f}, the worst {worst:+.2f}")
    for verdict in dict.fromkeys(row["verdict"] for row in rows):
        gains = [row["filtered"] for row in rows if row["verdict"] == verdict]
        middle = np.percentile(gains, (25, 75))
        print(f"{verdict}: {len(gains)} clips, middle half {middle[0]:+.2f} to {middle[1]:+.2f} dB")
    ranks, gains = [row["rank"] for row in rows], [row["filtered"] for row in rows]
    print(f"rank correlation: {spearmanr(ranks, gains)[0]:.2f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
