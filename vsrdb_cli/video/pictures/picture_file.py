"""Inspect picture files for what FFmpeg does not report: damage, colours, further pictures."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.limits import check_size, check_texts
from vsrdb_cli.video.pictures.decoding import BY_PILLOW, UNREADABLE, damage_error, decode
from vsrdb_cli.video.pictures.heif import HeifPicture, heif_picture
from vsrdb_cli.video.pictures.metadata import (
    PictureColour,
    exif_of,
    gamma_chunks,
    is_usable,
    metadata_chunks,
    profile_name,
    space_of,
)
from vsrdb_cli.video.side_data.orientation import orientation_of, upright

# In other formats Pillow counts something else, such as the layers of a PSD.
_PAGED = ("TIFF", "MPO", "PNG", "GIF", "WEBP", "AVIF")
_JPEG_END = b"\xff\xd9"
_BITS_PER_SAMPLE, _TILE_WIDTH = 258, 322  # tags of TIFF
_CODE_BITS = 8
_ALIKE = 2.0  # of 255, on average: the difference between JPEG decoders
_EXR = b"\x76\x2f\x31\x01"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """What is known of a picture file."""

    colour: PictureColour
    """As the file specifies it."""
    heif: HeifPicture | None
    """How it is made up, if it is a HEIF file."""
    others: int
    """The number of further pictures: pages, frames, previews."""
    foreign: bool
    """Whether FFmpeg would show it wrong, so that `read_in_srgb` has to read it: its profile is of
    grey or CMYK, or it is laid out as FFmpeg does not expect.
    """
    lost: str
    """The name of a profile that can be neither applied nor kept."""
    metadata: bytes
    """As chunks of PNG."""
    state: tuple[int, int]
    """The `file_state` when it was read."""


def file_state(path: Path) -> tuple[int, int]:
    """Return a value that differs when a file has changed."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def inspect_picture(path: Path) -> PictureFile:
    """Read a file's first picture as other programs do, and its metadata.

    Raises:
        VideoError: the file ends in the middle of the picture, or is damaged otherwise.
    """
    state, data = file_state(path), path.read_bytes()
    check_texts(path)
    heif = heif_picture(path)
    if heif is not None:
        check_size(path, heif.width, heif.height)
    image = _opened(path, data)
    if image is None:
        if data.startswith(_EXR) and not _exr_is_whole(data):
            raise damage_error(path, "parts of the picture are missing")
        decode(path, heif, strict=True)
        profile, gamma, others, foreign = b"", b"", 0, False
        metadata = exif_of(heif.exif) if heif else b""
    else:
        with image:
            check_size(path, *image.size)
            if image.format == "WEBP" and getattr(image, "is_animated", False):
                raise VideoError(
                    f"{path} is an animated WebP, which FFmpeg cannot decode",
                    hint="convert it to an animated PNG first, which is restored as a video",
                )
            others = max(0, len(image.info.get("sizes", ())) - 1)  # of an icon
            try:
                if image.format in _PAGED:
                    others = getattr(image, "n_frames", 1) - 1
                image.load()
            except UNREADABLE as error:
                if image.format not in ("JPEG", "MPO") or not _lacks_its_end_alone(image, data):
                    raise damage_error(path, str(error)) from error
            profile = image.info.get("icc_profile") or b""
            metadata = metadata_chunks(data, image)
            gamma = gamma_chunks(data) if image.format == "PNG" else b""
            foreign = (space_of(profile), image.mode) in (("GRAY", "L"), ("CMYK", "CMYK"))
            foreign = foreign and is_usable(profile)
            if image.format == "TIFF" and not foreign:
                foreign = _is_misread(path, image)
    if heif is not None:
        profile, others = heif.profile, heif.others
    rgb = space_of(profile) == "RGB"
    lost = profile_name(profile) if profile and not rgb and not foreign else ""
    colour = PictureColour(profile if rgb else b"", gamma)
    return PictureFile(colour, heif, others, foreign, lost, metadata, state)


def frames_of_animation(path: Path) -> int | None:
    """Count and check the frames of a GIF or PNG; FFmpeg shows a damaged last one.

    Raises:
        VideoError: one is damaged or was cut off.
    """
    image = _opened(path, path.read_bytes())
    if image is None:
        return None
    with image:
        try:
            number = int(getattr(image, "n_frames", 1))
            for frame in range(number):
                image.seek(frame)
                check_size(path, *image.size)
                image.load()
        except UNREADABLE as error:
            raise damage_error(path, str(error)) from error
    return number


def _is_misread(path: Path, image: Image.Image) -> bool:
    """Return whether FFmpeg decodes an 8-bit TIFF file to another picture than Pillow does.

    FFmpeg does not support tiles, and takes YCbCr inside JPEG-compressed TIFF for RGB.

    Args:
        image: the same, loaded, which has turned it upright.

    Raises:
        VideoError: it cannot be read with all of its bits.
    """
    tags: Any = image
    deep = max(tags.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > _CODE_BITS
    try:
        (frame,) = decode(path)
    except VideoError:
        frame = None
    if frame is None or (deep and _TILE_WIDTH in tags.tag_v2):
        raise VideoError(
            f"{path} is a kind of TIFF that is not supported",
            hint=f"convert it first: magick {path.name} {path.stem}.png",
        )
    if deep:  # of which Pillow knows less
        return False
    coded = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    shown = upright(coded, orientation_of(frame)).permute(1, 2, 0).numpy().astype(int)
    expected = np.asarray(image.convert("RGB"), int)
    return shown.shape != expected.shape or bool(np.abs(shown - expected).mean() > _ALIKE)


def _opened(path: Path, data: bytes) -> Image.Image | None:
    """Open a picture with Pillow; None if it does not know the format."""
    try:
        # Disks and cards leave zeros where the rest was not written.
        file = io.BytesIO(data.rstrip(b"\0") if _is_jpeg(data) else data)
        return Image.open(file, formats=BY_PILLOW)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return None
    except UNREADABLE as error:
        raise damage_error(path, str(error)) from error


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def _lacks_its_end_alone(image: Image.Image, data: bytes) -> bool:
    """Return whether a JPEG without its end mark has all of its picture nevertheless.

    If so, the missing bytes do not matter. A progressive JPEG may lack scans without a trace.
    """
    if image.info.get("progressive"):
        return False
    body = data.rstrip(b"\0").rstrip(b"\xff")
    shown = set()
    for filler in (b"\x00", b"\x55", b"\xaa"):
        padded = body + filler * (image.width * image.height + 1024) + _JPEG_END
        try:
            with Image.open(io.BytesIO(padded), formats=BY_PILLOW) as padded_image:
                shown.add(padded_image.tobytes())
        except UNREADABLE:
            return False
    return len(shown) == 1


def _exr_is_whole(data: bytes) -> bool:
    """Return whether all parts of an OpenEXR picture lie within its file.

    Source: "OpenEXR File Layout": attributes, an empty name, then where each part begins.
    """
    at = 8
    try:
        while data[at]:
            at = data.index(0, data.index(0, at) + 1) + 1  # behind name and type
            at += 4 + struct.unpack_from("<i", data, at)[0]
        at += 1
        end = first = struct.unpack_from("<Q", data, at)[0]
        begins = struct.unpack_from(f"<{(first - at) // 8}Q", data, at)
        for begin in begins:
            end = max(end, begin + 8 + struct.unpack_from("<i", data, begin + 4)[0])
        return bool(end <= len(data) and min(begins) >= first)
    except (IndexError, ValueError, OverflowError, struct.error):
        return False
