"""What a picture says of itself (EXIF, XMP, text), as the chunks of PNG that hold it."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

from vsrdb_cli.video.pictures.png_chunks import SIGNATURE, chunk, chunks, text

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
# Of which program and when: of the source, which the output is not.
_OF_THE_FILE = (b"Software\0", b"date:")
# What programs leave as a comment about themselves: FFmpeg, OpenJPEG, GD, ImageMagick's and others.
_BY_PROGRAMS = ("Lavc", "Created by ", "CREATOR: ", "File written by ", "Compressed by ")
# Of a TIFF there are many more: sizes and places, which are its own.
_KEPT = {
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Artist, ExifTags.Base.Copyright),
    *(ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
}
_SIZES = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)


_BROKEN = (struct.error, SyntaxError, LookupError, TypeError, ValueError, OSError, OverflowError)


def metadata_chunks(data: bytes, image: Image.Image) -> bytes:
    """Whole chunks, to stand behind a PNG's header; without EXIF that Pillow cannot read.

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
    """The chunk of EXIF that is laid out as in a TIFF file; empty if it cannot be read."""
    exif = Image.Exif()
    try:
        exif.load(tiff)
        return _exif_chunk(exif)
    except _BROKEN:
        return b""


def _exif_chunk(exif: Image.Exif) -> bytes:
    """What stays true of an enlarged picture that is upright; empty if it is nothing."""
    for tag in set(exif) - _KEPT:
        del exif[tag]
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tag in _SIZES:
        details.pop(tag, None)
    return chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) if exif else b""
