"""Formats of picture files, and pictures encoded in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How pictures are written."""

    codec: str
    """FFmpeg's name."""
    pix_fmts: tuple[str, str]
    """FFmpeg's pixel formats for 8 and 16 bits."""
    options: Mapping[str, str]
    """The encoder's."""


_TIFF = PictureFormat("tiff", ("rgb24", "rgb48le"), {"compression_algo": "deflate"})
WRITTEN: Mapping[str, PictureFormat] = {
    ".png": PictureFormat("png", ("rgb24", "rgb48be"), {}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
SUFFIXES = (*WRITTEN, ".jpg", ".jpeg", ".webp", ".bmp", ".jp2", ".avif", ".heic", ".heif")


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden."""
    return [f for f in folder.iterdir() if not f.is_dir() and not f.name.startswith(".")]


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures in a folder, in natural order."""
    files = [
        file for file in visible_files(folder) if file.suffix.lower() in SUFFIXES and file.is_file()
    ]
    return sorted(files, key=lambda file: natural_order(file.name))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people count: frame_2 before frame_10."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name) if p]


def picture_encoder(
    picture_format: PictureFormat, height: int, width: int, bit_depth: int
) -> VideoCodecContext:
    """Open an encoder of RGB pictures with 8 or 16 bits a channel; one packet a picture."""
    encoder: VideoCodecContext = av.CodecContext.create(picture_format.codec, "w")  # type: ignore[assignment]
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = picture_format.pix_fmts[bit_depth > 8]
    encoder.options = dict(picture_format.options)
    encoder.time_base = Fraction(1, 25)  # required, but meaningless for a picture
    return encoder


def encode_png(picture: NDArray[Any]) -> bytes:
    """Encode `picture`, (H, W, 3) RGB uint8, as a PNG file."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    encoder = picture_encoder(WRITTEN[".png"], picture.shape[0], picture.shape[1], 8)
    encoder.options = {"pred": "mixed"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


LARGEST = 16383  # width or height of a WebP picture


def lossless_webp(rgb: Tensor) -> bytes:
    """Encode a picture, (3, H, W) uint8, as a WebP file that decodes to the same codes."""
    encoder: Any = av.CodecContext.create("libwebp", "w")
    _, encoder.height, encoder.width = rgb.shape
    encoder.pix_fmt = "bgra"
    encoder.time_base = Fraction(1, 25)  # required, but meaningless for a picture
    # Some effort: more makes files a few percent smaller in twice the time.
    encoder.options = {"lossless": "1", "compression_level": "3", "quality": "60"}
    pixels = np.full((*rgb.shape[1:], 4), 255, np.uint8)
    pixels[..., :3] = rgb.flip(0).permute(1, 2, 0).numpy()
    frame = av.VideoFrame.from_ndarray(pixels, "bgra")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
