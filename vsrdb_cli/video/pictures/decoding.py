"""A picture file decoded: put together, in its colours, and upright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.dlpack import from_dlpack

from vsrdb_cli.video.pictures.picture_file import PictureFile, decode, in_srgb
from vsrdb_cli.video.pictures.profiles import coded_primaries, is_usual
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
from vsrdb_cli.video.side_data.orientation import orientation_of, upright, upright_size

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.pixels.to_rgb import ToRgb

_OPEN = (0, UNSPECIFIED)
# Most DPX files call their codes linear, FFmpeg's own among them, as Pillow's QOI, and are not.
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
        # Cameras write how they were held; neither PNG nor a video has that for each picture.
        self._orientation = file.heif.orientation if file.heif else orientation_of(frames[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright."""
        coded = self._file.heif or self._tiles[0]
        return upright_size(coded.height, coded.width, self._orientation)

    @property
    def colour(self) -> Colour:
        """What a video made of it says; sRGB is plain BT.709 there."""
        file, frame = self._file, self._tiles[0]
        if file.colour.profile:
            return Colour(BT709, TV, coded_primaries(file.colour.profile) or 1, SDR.transfer)
        said = int(frame.color_primaries), int(frame.color_trc)
        if file.heif and file.heif.colour:
            said = file.heif.colour.primaries, file.heif.colour.transfer
        primaries, transfer = (1 if code in _OPEN else code for code in said)
        if file.colour.gamma or is_usual(transfer) or self._path.suffix.lower() in _SAID_LINEAR:
            transfer = SDR.transfer
        return Colour(BT2020_NCL if transfer in (PQ, HLG) else BT709, TV, primaries, transfer)

    def is_transparent(self, transparency: Transparency) -> bool:
        """Whether it is so in places."""
        if self._alpha:  # of HEIF, where it is a picture of its own
            bits = self._alpha[0].format.components[0].bits
            lowest = from_dlpack(self._alpha[0].planes[0]).to(torch.int32).min()
            return int(lowest) < (1 << bits) - 1
        return transparency(self._tiles[0])

    def rgb(self, to_rgb: ToRgb, bit_depth: int) -> Tensor:
        """(3, H, W) codes as those of a `Frame`, upright."""
        if self._file.foreign:
            return to_planes(to_float(in_srgb(self._path)), bit_depth)
        rgb = to_rgb(self._tiles[0]) if self._file.heif is None else self._joined(to_rgb)
        return upright(rgb, self._orientation).contiguous()

    def _joined(self, to_rgb: ToRgb) -> Tensor:
        heif = self._file.heif
        assert heif is not None
        for tile in self._tiles:
            if heif.colour is not None:  # counts for more than what the coded tiles say
                tile.color_range = heif.colour.range
                if heif.colour.matrix != UNSPECIFIED:
                    tile.colorspace = heif.colour.matrix
        tiles = [to_rgb(tile) for tile in self._tiles]
        rows = (tiles[i : i + heif.columns] for i in range(0, len(tiles), heif.columns))
        return torch.cat([torch.cat(row, 2) for row in rows], 1)[:, : heif.height, : heif.width]
