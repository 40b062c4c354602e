"""Encode stacked pictures as a video that browsers play and step through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vsrdb_cli.comparison.stacked_layout import Layout, Size
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.pixels.colour import SDR, to_float
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.side_data.hdr import Light
from vsrdb_cli.video.writing.encoding import choose_encoding
from vsrdb_cli.video.writing.video_writer import VideoOnlyWriter

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.info import VideoInfo

CRF, PRESET = 16, "medium"
# Bits per second and pixel of the picture at most: 8 Mbit/s for 720p, so that ten seconds take
# 14 MB in a page. A video of fewer bits in all needs no such limit.
BITS_PER_PIXEL, UNLIMITED_BITS = 8e6 / (1280 * 720), 80_000_000
# A step back decodes from the previous key frame; without B-frames times are in order.
KEY_FRAMES = 12
INDISTINGUISHABLE = 100.0  # dB
_IN_BASE64 = 4 / 3


def most_bytes(size: Size, seconds: float) -> float:
    """Return how many bytes the video of a page takes at most, for pictures of (height, width)."""
    return (seconds + 0.5) * most_bits_per_second(size, seconds) / 8 * _IN_BASE64


def most_bits_per_second(size: Size, seconds: float) -> float:
    """Return the limit of the rate of a video that lasts `seconds`."""
    return max(UNLIMITED_BITS / seconds, BITS_PER_PIXEL * math.prod(size))


class StackedVideo:
    """A writer of stacked pictures as H.264, which all browsers and phones decode.

    Args:
        path: the file to write.
        layout: of the stacked pictures.
        info: the source whose times the pictures have.
        seconds: the approximate duration.
    """

    def __init__(self, path: Path, layout: Layout, info: VideoInfo, seconds: float) -> None:
        self._layout = layout
        self._path = path
        self._first_pts: int | None = None
        after = layout.boxes["after"]
        most = round(most_bits_per_second((after.height, after.width), seconds) / 1000)
        params = {
            "keyint": KEY_FRAMES,
            "bframes": 0,
            "vbv-maxrate": most,
            "vbv-bufsize": most // 2,
        }
        options = EncoderOptions(
            codec="h264",
            crf=CRF,
            preset=PRESET,
            pix_fmt="yuv420p",
            extra={"x264-params": ":".join(f"{name}={value}" for name, value in params.items())},
        )
        plain = replace(
            info,
            width=layout.width,
            height=layout.height,
            colour=SDR,
            bit_depth=8,
            light=Light(),
            sample_aspect_ratio=None,
            orientation=None,
            metadata={},
        )
        encoding = choose_encoding(options, path.suffix, plain, layout.height, layout.width)
        self._writer = VideoOnlyWriter(path, plain, encoding)

    def write(self, stacked: Tensor, shown: Frame) -> None:
        """Write one more stacked picture, at the time of a frame."""
        if self._first_pts is None:
            self._first_pts = shown.pts
        self._writer.write(Frame(stacked, shown.pts - self._first_pts, shown.duration))

    def finish(self) -> FinishedVideo:
        """Complete the file."""
        self._writer.commit()
        return FinishedVideo(self._path, self._layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.abort()


@dataclass(frozen=True, slots=True)
class FinishedVideo:
    """A finished video of stacked pictures."""

    path: Path
    layout: Layout

    @property
    def data(self) -> bytes:
        """Content of the file."""
        return self.path.read_bytes()

    def fidelity(self, exact: Mapping[int, Tensor]) -> float:
        """Return the lowest PSNR in dB of "before" and "after" in some frames.

        At most INDISTINGUISHABLE, which also stands for no difference.

        Args:
            exact: stacked pictures as written, by frame number.

        Raises:
            RuntimeError: the frames do not come back in order.
        """
        least = INDISTINGUISHABLE
        with open_source(self.path) as source:
            for number, frame in enumerate(source.frames()):
                if self.layout.number_in(frame.rgb) != number:
                    raise RuntimeError(
                        f"frame {number} reads back as {self.layout.number_in(frame.rgb)}"
                    )
                if number not in exact:
                    continue
                error = (to_float(frame.rgb) - to_float(exact[number])).square()
                for name in ("before", "after"):
                    box = self.layout.boxes[name]
                    inner = error[:, box.y : box.y + box.height, box.x : box.x + box.width]
                    mean = float(inner.mean())
                    if mean:
                        least = min(least, -10 * math.log10(mean))
        return least
