"""Picture files as other programs make them, and what other programs see in them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WILD = Path(__file__).parent.parent / "wild"
# XYZ of red, green and blue under D50.
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
WHITE = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1, 0.8249)))


def patches(height=32, side=32):
    """Eight flat colours side by side, dark greys among them, (height, 8 * side, 3) uint8."""
    colours = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (16, 16, 16))
    colours += ((48, 48, 48), (128, 128, 128), (220, 180, 60), (0, 128, 128))
    return np.array(colours, np.uint8).repeat(side, 0)[None].repeat(height, 0)


def textured(seed=1, height=96, width=128):
    """A picture that no format makes small, (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 128, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return (coarse + random.integers(0, 60, coarse.shape)).astype(np.uint8)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def p3_profile():
    return Image.open(WILD / "display_p3_png" / "f000.png").info["icc_profile"]


def adobe_profile():
    """The profile of sRGB with the colorants of Adobe RGB."""
    profile = bytearray(srgb_profile())
    for i in range(struct.unpack_from(">I", profile, 128)[0]):
        tag, at, _ = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        if tag in (b"rXYZ", b"gXYZ", b"bXYZ"):
            xyz = ADOBE_RGB[b"rgb".index(tag[:1])]
            struct.pack_into(">3i", profile, at + 8, *(round(value * 65536) for value in xyz))
    return bytes(profile)


def grey_profile(gamma):
    """An ICC profile of grey with a plain gamma."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"Grey\0" + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + WHITE,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2),
    }
    table, body, begin = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, begin + len(body), len(content))
        body += content
    head = struct.pack(">I4sI", begin + len(body), b"lcms", 0x02100000)
    head += b"mntrGRAYXYZ " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + WHITE
    return head.ljust(128, b"\0") + table + body


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunks(png, *chunks):
    """A PNG file with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def chunks_of(path):
    """Kind and content of all chunks of a PNG file."""
    data, at, found = path.read_bytes(), 8, {}
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = data[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def encoded(array, kind, **options):
    """A picture file of `kind`, by Pillow."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seen(path):
    """RGB of a picture file, by Pillow."""
    return np.asarray(Image.open(path).convert("RGB"))
