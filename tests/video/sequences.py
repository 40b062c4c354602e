"""Folders of pictures."""

from fractions import Fraction

import av
import clips
import numpy as np


def save(path, image):
    """(H, W, 3) uint8 or uint16 RGB as a picture file, by FFmpeg."""
    codec = {".jpg": "mjpeg", ".png": "png"}.get(path.suffix, "tiff")
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.time_base = Fraction(1, 25)
    if codec == "mjpeg":
        encoder.pix_fmt, encoder.options = "yuvj444p", {"qmin": "1", "qmax": "1"}
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format="yuvj444p", dst_colorspace=5, dst_color_range=2
        )
    else:
        deep = image.dtype == np.uint16
        encoder.pix_fmt = f"rgb48{'be' if codec == 'png' else 'le'}" if deep else "rgb24"
        frame = av.VideoFrame.from_ndarray(image, "rgb48le" if deep else "rgb24")
        frame = frame.reformat(format=encoder.pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)]))


def load(path, format="rgb24"):
    """A picture file as an array, by FFmpeg."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format=format)


def sequence(folder, numbers=range(8, 12), suffix=".png"):
    """A folder of pictures that carry their numbers."""
    folder.mkdir()
    for number in numbers:
        save(folder / f"frame_{number}{suffix}", clips.picture(number, 48, 64))
    return folder
