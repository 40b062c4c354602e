"""What FFmpeg attaches to frames beside the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from av.sidedata.sidedata import Type

from vsrdb_cli.video.filters import FilterChain

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# More kinds than FFmpeg has; those PyAV has no name for make it refuse to show any.
_KINDS = 64


def side_data(frame: VideoFrame) -> Mapping[Type, bytes]:
    """The attachments of the kinds PyAV knows."""
    try:
        return _read(frame)
    except ValueError:
        known: set[Any] = {kind.value for kind in Type}
        unknown = (kind for kind in range(_KINDS) if kind not in known)
        strip = FilterChain(*(("sidedata", f"mode=delete:type={kind}") for kind in unknown))
        return _read(strip.push(frame)[0])


def _read(frame: VideoFrame) -> dict[Type, bytes]:
    attached: Any = frame.side_data
    return {data.type: bytes(data) for data in attached}
