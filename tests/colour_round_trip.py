"""How exactly colours survive the way through vsrdb with a network that changes nothing.

Each case is a lossless clip, written losslessly again: at its own size, where chroma is compared
sample by sample; and enlarged four times with nearest neighbours, where luma and the colours of
patches are, and the chroma of every pixel as players enlarge it: the mean of the pixels that each
pixel became. Errors are bias / rms / largest, in 8-bit codes.

Run it from the folder `tests`; it prints a table.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import clips
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vsrdb_cli.video.pixels.filters import FilterChain

sys.path.insert(0, str(Path(__file__).parent / "video"))
from restoring import restore_nearest


@dataclass(frozen=True)
class Case:
    """A kind of source; size: (height, width), soft: as a lens draws, else with hard edges."""

    name: str
    matrix: int = 1
    full: bool = False
    pix_fmt: str = "yuv420p"
    tagged: bool = True
    size: tuple[int, int] = (180, 320)
    soft: bool = True


CASES = (
    Case("BT.601 SD tv, untagged", matrix=6, tagged=False),
    Case("BT.601 PAL tv, tagged", matrix=5, size=(288, 352)),
    Case("BT.709 HD tv", size=(720, 1280)),
    Case("BT.709 full range", full=True),
    Case("BT.601 full range", matrix=6, full=True),
    Case("BT.709 10-bit tv", pix_fmt="yuv420p10le"),
    Case("BT.709 10-bit full range", full=True, pix_fmt="yuv420p10le"),
    Case("BT.2020 10-bit tv", matrix=9, pix_fmt="yuv420p10le"),
    Case("BT.709, edges of one pixel", soft=False),
    Case("BT.709 4:2:2", pix_fmt="yuv422p"),
    Case("BT.709 4:4:4", pix_fmt="yuv444p"),
)


@dataclass(frozen=True)
class Error:
    """Of one plane or several, in 8-bit codes."""

    bias: float
    rms: float
    largest: float

    @classmethod
    def of(cls, differences: list[np.ndarray]) -> Error:
        flat = np.concatenate([d.ravel() for d in differences])
        return cls(float(flat.mean()), float(np.sqrt((flat**2).mean())), float(abs(flat).max()))


@dataclass(frozen=True)
class Result:
    """patches: the largest error of a patch's mean colour in RGB, and of its mean over all.

    chroma: of samples, at the source's size; chroma_x4: of pixels, enlarged four times.
    """

    luma: Error
    chroma: Error
    chroma_x4: Error
    patch_largest: float
    rgb_bias: float


def measure(case: Case, folder: Path) -> Result:
    """One case, there and back."""
    height, width = case.size
    source = clips.make(
        folder / "in.mkv", frames=2, height=height, width=width, codec="ffv1", options={},
        matrix=case.matrix, range=1 + case.full, pix_fmt=case.pix_fmt, tagged=case.tagged,
        soft=case.soft,
    )  # fmt: skip
    _restore(source, folder / "out.mkv", case, scale=1)
    _, chroma = _differences(source, folder / "out.mkv", _samples)
    _restore(source, folder / "out.mkv", case, scale=4)
    luma, shown = _differences(source, folder / "out.mkv", _shown)
    with av.open(str(folder / "out.mkv")) as after:
        patches = [_patches(frame, case) - clips.PATCHES for frame in after.decode(video=0)]
    return Result(
        Error.of(luma),
        Error.of(chroma),
        Error.of(shown),
        float(abs(np.concatenate(patches)).max()),
        float(np.concatenate(patches).mean()),
    )


def _restore(source: Path, target: Path, case: Case, *, scale: int) -> None:
    restore_nearest(source, target, scale=scale, overwrite=True, codec="ffv1", pix_fmt=case.pix_fmt)


def _differences(
    source: Path, target: Path, planes_of: Callable[[av.VideoFrame], list[np.ndarray]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of luma and of chroma, frame by frame, in 8-bit codes."""
    luma, chroma = [], []
    with av.open(str(source)) as before, av.open(str(target)) as after:
        for was, now in zip(before.decode(video=0), after.decode(video=0), strict=True):
            for number, (a, b) in enumerate(zip(planes_of(was), planes_of(now), strict=True)):
                # The mean of the block that each sample became.
                scale = b.shape[0] // a.shape[0]
                block = b.reshape(a.shape[0], scale, a.shape[1], scale).mean((1, 3))
                (chroma if number else luma).append(block - a)
    return luma, chroma


def _samples(frame: av.VideoFrame) -> list[np.ndarray]:
    """The planes, in 8-bit codes."""
    step = 1 << (frame.format.components[0].bits - 8)
    return [plane / step for plane in clips.planes_of(frame)]


def _shown(frame: av.VideoFrame) -> list[np.ndarray]:
    """The planes with a chroma sample for every pixel, as FFmpeg enlarges them."""
    (left,) = FilterChain(("setparams", "chroma_location=left")).push(frame)
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
    return _samples(
        VideoReformatter().reformat(left, format="yuv444p16le", interpolation=exact, threads=1)
    )


def _patches(frame: av.VideoFrame, case: Case) -> np.ndarray:
    luma, *chroma = clips.planes_of(frame)
    full = [np.kron(c, np.ones([a // b for a, b in zip(luma.shape, c.shape, strict=True)]))
            for c in chroma]  # fmt: skip
    bits = frame.format.components[0].bits
    rgb = clips.to_rgb(np.stack([luma, *full]), case.matrix, full=case.full, depth=bits)
    return clips.patches_in(rgb)


def main() -> None:
    print("| case | RGB bias | patches max | Y | UV | UV of x4 |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            result = measure(case, Path(folder))
            planes = (
                f"{e.bias:.2f} / {e.rms:.3f} / {e.largest:.1f}"
                for e in (result.luma, result.chroma, result.chroma_x4)
            )
            bias, largest = result.rgb_bias, result.patch_largest
            print(f"| {case.name} | {bias:.2f} | {largest:.2f} | {' | '.join(planes)} |")


if __name__ == "__main__":
    main()
