"""Immersive video: 360 degrees around the viewer, or 3D with both eyes in one picture.

FFmpeg's muxers take that from a stream they copy, and PyAV passes on nothing else. So a stream is
copied that holds nothing but a header, made here, and is then set up for the packets to come.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.sidedata.sidedata import Type

from vsrdb_cli.video.containers.structures import boxes_of, element, number

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from vsrdb_cli.video.containers.capabilities import Container

# AVStereo3DType: flat, and the two that stay what they are when the picture is enlarged.
_FLAT = 0
_PACKED = {1: "side by side", 2: "one above the other"}
_OTHER_PACKINGS = {
    **{3: "alternating", 4: "as a checkerboard", 5: "side by side, alternating by lines"},
    **{6: "in every other line", 7: "in every other column"},
}
# AVSphericalProjection, as Matroska and Google's boxes have them; a part of the first is another.
_PROJECTIONS = {0: "equirectangular", 1: "cubemap", 2: "equirectangular"}
_CUBEMAP = 1
_OTHER_PROJECTIONS = {3: "half equirectangular", 4: "rectilinear", 5: "fisheye"}
_INVERTED = 1  # AV_STEREO3D_FLAG_INVERT
_DEGREE = 1 << 16

# Matroska's names of codecs, and its StereoMode by AVStereo3DType and whether the right is first.
_MATROSKA = {
    **{"h264": b"V_MPEG4/ISO/AVC", "hevc": b"V_MPEGH/ISO/HEVC", "av1": b"V_AV1"},
    **{"vp9": b"V_VP9", "ffv1": b"V_FFV1", "prores": b"V_PRORES"},
}
_STEREO_MODE = {(1, False): 1, (1, True): 11, (2, False): 3, (2, True): 2}
# x264's numbers of the packings.
_FRAME_PACKING = {1: 3, 2: 4}
_COPIED = (
    *("width", "height", "pix_fmt", "extradata", "framerate", "sample_aspect_ratio"),
    *("colorspace", "color_range", "color_primaries", "color_trc", "field_order"),
    *("bits_per_coded_sample", "reorder_depth"),
)


@dataclass(frozen=True, slots=True)
class View:
    """How a picture that is not flat is shown."""

    packing: int | None = None
    """How both eyes' pictures share one, by FFmpeg's number; None if there is one picture."""
    inverted: bool = False
    """Whether the right eye's comes first."""
    projection: int | None = None
    """Of what surrounds the viewer, by FFmpeg's number; None if it is flat."""
    pose: tuple[int, int, int] = (0, 0, 0)
    """Yaw, pitch and roll in 1/65536 degree."""
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    """The parts of the whole missing at the left, top, right and bottom, in 1/2**32."""
    padding: int = 0
    """Around each face of a cube, in pixels."""

    def __bool__(self) -> bool:
        return self != View()

    def __str__(self) -> str:
        eyes = "" if self.packing is None else f"3D (both eyes {_PACKED[self.packing]})"
        around = "" if self.projection is None else f"360 degrees ({_PROJECTIONS[self.projection]})"
        return " and ".join(words for words in (around, eyes) if words)

    def held_by(self, container: Container) -> View:
        """Return as much of it as a container tells players."""
        if container.format == "mov":  # FFmpeg writes only half of Apple's metadata
            return View()
        if container.iso and self.inverted:
            return replace(self, packing=None, inverted=False)
        return self

    def lost_in(self, container: Container) -> View:
        """Return what a container does not tell players."""
        held = self.held_by(container)
        return View(
            packing=None if held.packing == self.packing else self.packing,
            projection=None if held.projection == self.projection else self.projection,
        )

    def x264_params(self) -> list[str]:
        """Return x264's parameters, which place the eyes in the stream itself."""
        if self.packing is None or self.inverted:
            return []
        return [f"frame-packing={_FRAME_PACKING[self.packing]}"]


def view_of(attached: Mapping[Type, bytes]) -> tuple[View, str | None]:
    """Return how a frame is to be shown, and a description of what cannot be kept."""
    packing = projection = None
    inverted, pose, bounds, padding = False, (0, 0, 0), (0, 0, 0, 0), 0
    lost = []
    stereo, spherical = attached.get(Type.STEREO3D), attached.get(Type.SPHERICAL)
    if stereo is not None:
        kind, flags = struct.unpack_from("<2i", stereo)
        if kind in _PACKED:
            packing, inverted = kind, bool(flags & _INVERTED)
        elif kind != _FLAT:
            how = _OTHER_PACKINGS.get(kind, "in an uncommon layout")
            lost.append(f"3D (both eyes {how})")
    if spherical is not None:
        kind, yaw, pitch, roll, *sides, rim = struct.unpack_from("<4i5I", spherical)
        if kind in _PROJECTIONS:
            projection, padding = kind, rim
            pose, bounds = (yaw, pitch, roll), (sides[0], sides[1], sides[2], sides[3])
        else:
            lost.append(f"360 degree view ({_OTHER_PROJECTIONS.get(kind, 'of an unknown kind')})")
    view = View(packing, inverted, projection, pose, bounds, padding)
    return view, " and ".join(lost) or None


def add_immersive_stream(
    container: OutputContainer, codec: str, view: View, like: VideoCodecContext, scale: Fraction
) -> VideoStream:
    """Add a stream to a new file for packets that are encoded elsewhere.

    Args:
        codec: a key of `ENCODERS`.
        like: of the opened encoder, or of the stream that packets come from.
        scale: HR pixels for each pixel of `view`.
    """
    with av.open(io.BytesIO(_matroska(codec, view, like, scale))) as header:
        stream: VideoStream = container.add_stream_from_template(
            header.streams.video[0], opaque=True
        )
    context: Any = stream.codec_context
    for name in _COPIED:
        value = getattr(like, name)
        if value is not None:
            setattr(context, name, value)
    if codec == "prores":  # which names its profile
        context.codec_tag = like.codec_tag
    return stream


def remove_apple_boxes(path: Path) -> None:
    """Leave in a finished mp4 file only the boxes that players know: sv3d and st3d.

    FFmpeg also writes Apple's (vexu), which holds less, and then reads that one.
    """
    with path.open("r+b") as file:
        begin, end = next((b, e) for kind, b, e in boxes_of(file) if kind == b"moov")
        file.seek(begin)
        found = file.read(end - begin).find(b"vexu")
        if found >= 0:
            file.seek(begin + found)
            file.write(b"free")


def _matroska(codec: str, view: View, like: VideoCodecContext, scale: Fraction) -> bytes:
    """Return a file of one video track without a picture."""
    video = number("B0", like.width) + number("BA", like.height)
    if view.packing is not None:
        video += number("53B8", _STEREO_MODE[view.packing, view.inverted])
    if view.projection is not None:
        cubemap = view.projection == _CUBEMAP
        left, top, right, bottom = view.bounds
        rim = round(view.padding * scale)
        private = (
            struct.pack(">3I", 0, 0, rim)
            if cubemap
            else struct.pack(">5I", 0, top, bottom, left, right)
        )
        video += element(
            "7670",
            number("7671", 2 if cubemap else 1),
            element("7672", private),
            *(
                element(name, struct.pack(">f", angle / _DEGREE))
                for name, angle in zip(("7673", "7674", "7675"), view.pose, strict=True)
            ),
        )
    track = element(
        "AE",
        *(number("D7", 1), number("73C5", 1), number("83", 1)),
        element("86", _MATROSKA[codec]),
        element("E0", video),
    )
    return element("1A45DFA3", element("4282", b"matroska")) + element(
        "18538067",
        element("1549A966", number("2AD7B1", 1_000_000)),
        element("1654AE6B", track),
        element("1F43B675", number("E7", 0)),
    )
