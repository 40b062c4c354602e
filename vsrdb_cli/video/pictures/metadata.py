"""Colour profiles, EXIF, XMP and text of picture files, and the PNG chunks that hold them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms

from vsrdb_cli.video.pixels.colour import BT709, Colour

HEADER = 33  # bytes of signature and IHDR
SIGNATURE = 8


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of PNG chunks in a row; only whole ones of a file that was cut off."""
    at = 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a whole PNG chunk."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def text(keyword: bytes, content: str) -> bytes:
    """Return a chunk of text, uncompressed and of no language."""
    return chunk(b"iTXt", keyword + b"\0\0\0\0\0" + content.encode())


SRGB_TRANSFER = 13
_P3 = 12
# Codes that players do not show like sRGB: film, BT.2020, XYZ, P3; and linear, logarithmic, HDR.
_WIDE_PRIMARIES = (8, 9, 10, 11, _P3, 22)
_ODD_TRANSFERS = (8, 9, 10, 16, 17, 18)

# X and Y of red, green and blue under D50, as profiles have them, by the primaries' code point.
_COLORANTS = {
    1: ((0.4361, 0.2225), (0.3851, 0.7169), (0.1431, 0.0606)),
    9: ((0.6735, 0.2790), (0.1657, 0.6753), (0.1251, 0.0457)),
    _P3: ((0.5151, 0.2412), (0.2920, 0.6922), (0.1571, 0.0666)),
}
_ROUNDED = 0.003
_NEAR = 2  # of 255: profiles of sRGB differ by as much among themselves

_SAYING_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI")
_SRGB_GAMMA = struct.pack(">I", 45455)
_SRGB_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_TIFF_PROFILE, _TIFF_BYTES = 34675, 7  # the tag InterColorProfile, and the type of its value


@dataclass(frozen=True, slots=True)
class PictureColour:
    """What a picture file tells of its colours beside the code points of H.273."""

    profile: bytes = b""
    """An ICC profile of RGB; empty if there is none."""
    gamma: bytes = b""
    """gAMA, and cHRM if it is there, of a PNG with nothing better; whole chunks."""

    @property
    def is_srgb(self) -> bool:
        """True if viewers show it like a picture without colour information."""
        if self.profile:
            return coded_primaries(self.profile) == BT709
        return not self.uncoded

    @property
    def uncoded(self) -> str:
        """What code points cannot express, in a few words; "" if they can express it all."""
        if self.profile:
            coded = coded_primaries(self.profile) is not None
            return "" if coded else f"the colour profile {profile_name(self.profile)!r}"
        said = dict(chunks(self.gamma))
        plain = said.get(b"gAMA", _SRGB_GAMMA) == _SRGB_GAMMA
        plain = plain and said.get(b"cHRM", _SRGB_PRIMARIES) == _SRGB_PRIMARIES
        return "" if plain else "a PNG's own gamma or primaries (gAMA, cHRM)"

    def in_png(self, png: bytes, colour: Colour, more: bytes = b"") -> bytes:
        """Return a PNG file with this colour information; without any, sRGB or `colour`.

        Args:
            more: whole chunks for behind that.
        """
        if self.profile:
            said = chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(self.profile))
        elif self.gamma:
            said = self.gamma
        elif not wide_colours(colour):
            said = chunk(b"sRGB", b"\0")
        else:
            transfer = SRGB_TRANSFER if is_shown_as_srgb(colour.transfer) else colour.transfer
            said = chunk(b"cICP", bytes((colour.primaries, transfer, 0, 1)))
        kept = (chunk(*c) for c in chunks(png[HEADER:]) if c[0] not in _SAYING_COLOUR)
        return b"".join((png[:HEADER], said, more, *kept))

    def in_tiff(self, tiff: bytes) -> bytes:
        """Return a little-endian TIFF file of one picture with the profile, if there is one."""
        if not self.profile:
            return tiff
        (begin,) = struct.unpack_from("<I", tiff, 4)
        (count,) = struct.unpack_from("<H", tiff, begin)
        entries = [tiff[begin + 2 + 12 * i :][:12] for i in range(count)]
        tiff += b"\0" * (len(tiff) % 2)
        entry = struct.pack("<HHII", _TIFF_PROFILE, _TIFF_BYTES, len(self.profile), len(tiff))
        tiff += self.profile + b"\0" * (len(self.profile) % 2)
        entries = sorted([*entries, entry], key=lambda entry: struct.unpack_from("<H", entry))
        table = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
        return b"".join((tiff[:4], struct.pack("<I", len(tiff)), tiff[8:], table))


def is_shown_as_srgb(transfer: int) -> bool:
    """Return whether signals of this transfer are shown like those of sRGB."""
    return transfer not in _ODD_TRANSFERS


def wide_colours(colour: Colour) -> str:
    """Describe in a few words which code points are not shown like sRGB; "" if all are."""
    if colour.primaries not in _WIDE_PRIMARIES and is_shown_as_srgb(colour.transfer):
        return ""
    return f"colours of primaries {colour.primaries} and transfer {colour.transfer} (H.273)"


def space_of(profile: bytes) -> str:
    """Return an ICC profile's colour space: "RGB", "GRAY", "CMYK"; "" without a profile."""
    return profile[16:20].decode("ascii", "replace").strip()


def is_usable(profile: bytes) -> bool:
    """Return whether colours can be converted by an ICC profile."""
    try:
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[space_of(profile)]
        ImageCms.buildTransform(_opened(profile), ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, KeyError):
        return False
    return True


def profile_name(profile: bytes) -> str:
    """Return an ICC profile's own name."""
    try:
        return ImageCms.getProfileDescription(_opened(profile)).strip()
    except (ImageCms.PyCMSError, OSError):
        return "without a name"


def coded_primaries(profile: bytes) -> int | None:
    """Return the code point of an RGB profile's primaries, if it has one and sRGB's curve."""
    try:
        opened = _opened(profile)
        ramp = Image.linear_gradient("L").convert("RGB")
        shown = ImageCms.profileToProfile(ramp, opened, ImageCms.createProfile("sRGB"))
        known = opened.profile
        found = [known.red_colorant, known.green_colorant, known.blue_colorant]
    except (ImageCms.PyCMSError, OSError):
        return None
    colorants = [colorant[0][:2] for colorant in found if colorant is not None]
    if len(colorants) < 3:
        return None
    if np.abs(np.asarray(shown, int) - np.asarray(ramp, int)).max() > _NEAR:
        return None
    return next(
        (
            code
            for code, xy in _COLORANTS.items()
            if np.abs(np.array(colorants) - xy).max() < _ROUNDED
        ),
        None,
    )


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def gamma_chunks(png: bytes) -> bytes:
    """Return gAMA and cHRM of a PNG file, unless it has better colour information."""
    said = dict(chunks(png[SIGNATURE:]))
    if b"gAMA" not in said or said.keys() & {b"sRGB", b"iCCP", b"cICP"}:
        return b""
    return b"".join(chunk(kind, said[kind]) for kind in (b"gAMA", b"cHRM") if kind in said)


_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
# The program and time that made the source, not the output.
_OF_THE_FILE = (b"Software\0", b"date:")
# Comments that programs leave about themselves: FFmpeg, OpenJPEG, GD, ImageMagick and others.
_BY_PROGRAMS = ("Lavc", "Created by ", "CREATOR: ", "File written by ", "Compressed by ")
# A TIFF has many more: sizes and offsets, which concern only that file.
_KEPT = {
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Artist, ExifTags.Base.Copyright),
    *(ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
}
_SIZES = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)

_BROKEN = (struct.error, SyntaxError, LookupError, TypeError, ValueError, OSError, OverflowError)


def metadata_chunks(data: bytes, image: Image.Image) -> bytes:
    """Return metadata as PNG chunks to follow the header; unreadable EXIF is left out.

    Args:
        data: the file.
        image: the same, opened by Pillow.
    """
    try:
        found = _exif_chunk(image.getexif())
    except _BROKEN:
        found = b""
    if image.format == "PNG":  # its XMP is one of its texts
        texts = (
            chunk(kind, content)
            for kind, content in chunks(data[SIGNATURE:])
            if kind in _TEXTS and not content.startswith(_OF_THE_FILE)
        )
        return b"".join((found, *texts))
    for keyword, name in ((_XMP, "xmp"), (b"Comment", "comment")):
        said = image.info.get(name) or ""
        if said:
            said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            if not said.startswith(_BY_PROGRAMS):
                found += text(keyword, said.rstrip("\0"))
    return found


def exif_of(tiff: bytes) -> bytes:
    """Return the PNG chunk for EXIF laid out as in a TIFF file; empty if it cannot be read."""
    exif = Image.Exif()
    try:
        exif.load(tiff)
        return _exif_chunk(exif)
    except _BROKEN:
        return b""


def _exif_chunk(exif: Image.Exif) -> bytes:
    """Keep what stays true of an upright, enlarged picture; empty if that is nothing."""
    for tag in set(exif) - _KEPT:
        del exif[tag]
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tag in _SIZES:
        details.pop(tag, None)
    return chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) if exif else b""
