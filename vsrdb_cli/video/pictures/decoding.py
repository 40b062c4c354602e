"""Decode picture files: put together, in their colours, and upright."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from av.error import FFmpegError
from PIL import Image, ImageCms, ImageOps
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import main_video
from vsrdb_cli.video.containers.limits import limit_decoder
from vsrdb_cli.video.containers.opening import open_input, reason
from vsrdb_cli.video.pictures.heif import HeifPicture
from vsrdb_cli.video.pictures.metadata import coded_primaries, is_shown_as_srgb, space_of
from vsrdb_cli.video.pixels.colour import (
    BT709,
    BT2020_NCL,
    HLG,
    PQ,
    SDR,
    TV,
    UNSPECIFIED,
    Colour,
    to_float,
    to_planes,
)
from vsrdb_cli.video.pixels.pixel_formats import Transparency
from vsrdb_cli.video.side_data.orientation import (
    Orientation,
    orientation_of,
    upright,
    upright_size,
)

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from vsrdb_cli.video.pictures.picture_file import PictureFile
    from vsrdb_cli.video.pixels.to_rgb import ToRgb

# Warnings of large pictures and odd tags: what matters is checked here.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The formats that Pillow reads. For others it starts programs (EPS) or adds nothing to FFmpeg's
# decoders.
BY_PILLOW = (
    *("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "ICO", "CUR", "AVIF", "JPEG2000"),
    *("PSD", "PPM", "TGA", "SGI", "SUN", "PCX", "QOI", "DDS", "XBM", "XPM"),
)
# Errors that Pillow's readers raise for damaged files, such as a frame far larger than the first.
UNREADABLE = (
    Image.DecompressionBombError,
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    *(RuntimeError, TypeError, LookupError, OverflowError),
)
_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}


def decode(
    path: Path, heif: HeifPicture | None = None, *, strict: bool = False
) -> list[VideoFrame]:
    """Decode a file's first picture, or its tiles and then its alpha.

    Args:
        strict: treat errors that could be ignored as damage.

    Raises:
        VideoError: it cannot be decoded.
    """
    with open_input(path) as container:
        if heif is None:
            streams = [main_video(container, path)]
        else:
            by_id = {stream.id: stream for stream in container.streams.video}
            wanted = (*heif.tiles, *(() if heif.alpha is None else (heif.alpha,)))
            streams = [by_id[item] for item in wanted if item in by_id]
            for stream in streams:
                limit_decoder(stream, path)
            if len(streams) < len(wanted):
                raise damage_error(path, "parts of the picture are missing")
        if strict:
            for stream in streams:
                stream.codec_context.options = {**stream.codec_context.options, **_STRICT}
        indices = [stream.index for stream in streams]
        frames: dict[int, Any] = {}
        try:
            for packet in container.demux(*streams):
                for frame in packet.decode():
                    frames.setdefault(packet.stream.index, frame)
                if len(frames) == len(streams):
                    break
        except FFmpegError as error:
            raise damage_error(path, reason(error)) from error
    if len(frames) < len(indices):
        raise damage_error(path, "it contains no complete picture")
    return [frames[index] for index in indices]


def read_in_srgb(path: Path) -> Tensor:
    """Read a picture that FFmpeg would show wrong, as (3, H, W) uint8, upright.

    A profile of grey or CMYK is applied, one of RGB is not.

    Raises:
        VideoError: it is damaged.
    """
    srgb = ImageCms.createProfile("sRGB")
    try:
        with Image.open(path, formats=BY_PILLOW) as opened:
            profile = opened.info.get("icc_profile") or b""
            # Loading a TIFF rotates it and removes its orientation tag.
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if space_of(profile) in ("GRAY", "CMYK"):
                shown = ImageCms.profileToProfile(
                    image, io.BytesIO(profile), srgb, outputMode="RGB"
                )
            else:
                shown = image.convert("RGB")
    except (*UNREADABLE, ImageCms.PyCMSError) as error:
        raise damage_error(path, str(error)) from error
    return torch.from_numpy(np.array(shown)).permute(2, 0, 1).contiguous()


def damage_error(path: Path, why: str) -> VideoError:
    """Return the error for a picture that is not as it was written."""
    return VideoError(
        f"{path} is damaged or was cut off: {why}", hint="copy, download or create it again"
    )


_OPEN = (0, UNSPECIFIED)
# Most DPX files, FFmpeg's own among them, and Pillow's QOI files are tagged linear and are not.
_SAID_LINEAR = (".dpx", ".qoi")


class Picture:
    """The first picture of a file.

    Args:
        file: what is known of it.

    Raises:
        VideoError: it cannot be decoded.
    """

    def __init__(self, path: Path, file: PictureFile) -> None:
        self._path, self._file = path, file
        frames = decode(path, file.heif)
        tiles = len(frames) if file.heif is None else len(file.heif.tiles)
        self._tiles, self._alpha = frames[:tiles], frames[tiles:]
        # Cameras write an orientation; neither PNG nor a video has one for each picture.
        self._orientation = file.heif.orientation if file.heif else orientation_of(frames[0])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), upright."""
        coded = self._file.heif or self._tiles[0]
        return upright_size(coded.height, coded.width, self._orientation)

    @property
    def frame(self) -> VideoFrame | None:
        """The decoded frame, not turned; None if it is of several, or read by Pillow."""
        return None if self._file.foreign or self._file.heif else self._tiles[0]

    @property
    def orientation(self) -> Orientation | None:
        """How `frame` is turned to be upright."""
        return self._orientation

    @property
    def colour(self) -> Colour:
        """The colour of a video made of it; sRGB is plain BT.709 there."""
        file, frame = self._file, self._tiles[0]
        if file.colour.profile:
            return Colour(BT709, TV, coded_primaries(file.colour.profile) or 1, SDR.transfer)
        said = int(frame.color_primaries), int(frame.color_trc)
        if file.heif and file.heif.colour:
            said = file.heif.colour.primaries, file.heif.colour.transfer
        primaries, transfer = (1 if code in _OPEN else code for code in said)
        if (
            file.colour.gamma
            or is_shown_as_srgb(transfer)
            or self._path.suffix.lower() in _SAID_LINEAR
        ):
            transfer = SDR.transfer
        return Colour(BT2020_NCL if transfer in (PQ, HLG) else BT709, TV, primaries, transfer)

    def is_transparent(self, transparency: Transparency) -> bool:
        """Return whether any pixel is transparent."""
        if self._alpha:  # HEIF stores it as a separate picture
            bits = self._alpha[0].format.components[0].bits
            lowest = from_dlpack(self._alpha[0].planes[0]).to(torch.int32).min()
            return int(lowest) < (1 << bits) - 1
        return transparency(self._tiles[0])

    def rgb(self, to_rgb: ToRgb, bit_depth: int) -> Tensor:
        """Return (3, H, W) codes like those of a `Frame`, upright."""
        if self._file.foreign:
            return to_planes(to_float(read_in_srgb(self._path)), bit_depth)
        rgb = to_rgb(self._tiles[0]) if self._file.heif is None else self._joined(to_rgb)
        return upright(rgb, self._orientation).contiguous()

    def _joined(self, to_rgb: ToRgb) -> Tensor:
        heif = self._file.heif
        assert heif is not None
        for tile in self._tiles:
            if heif.colour is not None:  # overrides the coded tiles
                tile.color_range = heif.colour.range
                if heif.colour.matrix != UNSPECIFIED:
                    tile.colorspace = heif.colour.matrix
        tiles = [to_rgb(tile) for tile in self._tiles]
        rows = (tiles[i : i + heif.columns] for i in range(0, len(tiles), heif.columns))
        return torch.cat([torch.cat(row, 2) for row in rows], 1)[:, : heif.height, : heif.width]
