"""PNG pictures in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

from vsrdb_cli.video.writing.picture_writer import WRITTEN, picture_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode_png(picture: NDArray[Any]) -> bytes:
    """A PNG file of `picture`, (H, W, 3) RGB uint8."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    encoder = picture_encoder(WRITTEN[".png"], picture.shape[0], picture.shape[1], 8)
    encoder.options = {"pred": "mixed"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
