"""Closed captions (CEA-608 and 708), which lie in the pictures' own stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vsrdb_cli.video.pixels.filters import FilterChain

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class Captioner:
    """Gives pictures for an encoder the captions of the frames they were restored from.

    PyAV attaches nothing to a frame, but FFmpeg's filters keep what is attached: so the source's
    frame is enlarged in the roughest way, and the restored samples are laid over its own. One per
    thread; keeps its filters.

    Args:
        width, height, pix_fmt: of the pictures.
    """

    def __init__(self, width: int, height: int, pix_fmt: str) -> None:
        self._enlarged = FilterChain(
            ("sidedata", "mode=delete:type=STEREO3D"),  # x264 would follow it
            ("scale", f"{width}:{height}:flags=neighbor"),
            ("format", pix_fmt),
            ("copy", ""),  # a decoder goes on to use what it gave
        )

    def __call__(self, picture: VideoFrame, source: VideoFrame) -> VideoFrame:
        """The picture, with all that is attached to `source`."""
        (carrier,) = self._enlarged.push(source)
        for plane, samples in zip(carrier.planes, picture.planes, strict=True):
            target, origin = _rows(plane), _rows(samples)
            length = min(target.shape[1], origin.shape[1])
            target[:, :length] = origin[:, :length]
        carrier.colorspace, carrier.color_range = picture.colorspace, picture.color_range
        carrier.color_primaries, carrier.color_trc = picture.color_primaries, picture.color_trc
        carrier.pict_type = picture.pict_type
        return carrier


def _rows(plane: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A plane's memory, with what pads its rows."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
