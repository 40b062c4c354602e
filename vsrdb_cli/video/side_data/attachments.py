"""Read, copy or report what decoders attach to frames beside their samples (side data).

Every kind is handled, also those that these tables do not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from av.sidedata.sidedata import Type

from vsrdb_cli.video.pixels.filters import FilterChain
from vsrdb_cli.video.pixels.pixel_formats import plane_rows

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_KIND: Any = Type  # PyAV's stubs give the values no type of their own
# More kinds of attachments than FFmpeg has.
_KINDS = 64
_NAMED = frozenset(kind.value for kind in _KIND)
_PROFILE: int = _KIND.ICC_PROFILE.value


class Attachments:
    """Reads what decoders attach to frames. One per thread; keeps its filters.

    PyAV raises an error if there is any of a kind it has no name for, and frees a colour profile
    twice, which ends the process: of those only the kind is returned.
    """

    def __init__(self) -> None:
        unnamed = [kind for kind in range(_KINDS) if kind not in _NAMED]
        self._profile = _only(_PROFILE)
        self._no_profile = _without(_PROFILE)
        self._no_unnamed = _without(*unnamed)
        self._unnamed = {kind: _only(kind) for kind in unnamed}

    def __call__(self, frame: VideoFrame) -> list[tuple[int, bytes]]:
        """Return kinds by FFmpeg's numbers, and contents; those of some kinds are empty."""
        found = [(_PROFILE, b"")] if self._profile.push(frame) else []
        (frame,) = self._no_profile.push(frame)
        try:
            return found + _read(frame)
        except ValueError:
            found += [(kind, b"") for kind, only in self._unnamed.items() if only.push(frame)]
            (frame,) = self._no_unnamed.push(frame)
            return found + _read(frame)


def side_data(frame: VideoFrame) -> Mapping[Type, bytes]:
    """Return the attachments of the kinds PyAV knows, the last of each."""
    return {Type(kind): data for kind, data in Attachments()(frame) if kind in _NAMED}


def _only(kind: int) -> FilterChain:
    return FilterChain(("sidedata", f"mode=select:type={kind}"))


def _without(*kinds: int) -> FilterChain:
    return FilterChain(*(("sidedata", f"mode=delete:type={kind}") for kind in kinds))


def _read(frame: VideoFrame) -> list[tuple[int, bytes]]:
    attached: Any = frame.side_data
    return [(data.type.value, bytes(data)) for data in attached]


# Handled elsewhere: orientation, HDR light levels, immersive video, captions.
_CARRIED = (
    *(_KIND.DISPLAYMATRIX, _KIND.MASTERING_DISPLAY_METADATA, _KIND.CONTENT_LIGHT_LEVEL),
    *(_KIND.STEREO3D, _KIND.SPHERICAL, _KIND.A53_CC),
)
# About the source's own coding, or about sound. GOP timecodes number the pictures of all MPEG-2.
_MEANINGLESS = (
    *(_KIND.MOTION_VECTORS, _KIND.REGIONS_OF_INTEREST, _KIND.VIDEO_ENC_PARAMS, _KIND.VIDEO_HINT),
    *(_KIND.DETECTION_BBOXES, _KIND.GOP_TIMECODE, _KIND.SKIP_SAMPLES, _KIND.REPLAYGAIN),
    *(_KIND.MATRIXENCODING, _KIND.DOWNMIX_INFO, _KIND.AUDIO_SERVICE_TYPE),
)
FURTHER_VIEWS = "all views but the first (multiview)"
FRAME_TIMECODES = "per-frame timecodes"
DOLBY_VISION = "Dolby Vision metadata"
_SILENT = {kind.value for kind in (*_CARRIED, *_MEANINGLESS)}
_WORDS = {
    _KIND.PANSCAN.value: "pan and scan",
    _KIND.AFD.value: "active format description (AFD)",
    _KIND.S12M_TIMECODE.value: FRAME_TIMECODES,
    _KIND.ICC_PROFILE.value: "colour profile (ICC)",
    _KIND.DYNAMIC_HDR_PLUS.value: "HDR10+ metadata",
    _KIND.DYNAMIC_HDR_VIVID.value: "HDR Vivid metadata",
    _KIND.DOVI_RPU_BUFFER.value: DOLBY_VISION,
    _KIND.DOVI_METADATA.value: DOLBY_VISION,
    _KIND.AMBIENT_VIEWING_ENVIRONMENT.value: "ambient viewing environment",
    _KIND.FILM_GRAIN_PARAMS.value: "film grain",
    28: "LCEVC enhancement",
    29: FURTHER_VIEWS,
    30: "3D reference displays",
    31: "EXIF",
    32: "HDR metadata (SMPTE 2094-50)",
}
_POSITIONS = slice(12, None)  # of a pan and scan: after its number and its size
# Encoders' own settings: x264 and x265.
_ENCODERS = {
    UUID("dc45e9bd-e6d9-48b7-962c-d820d923eeef"),
    UUID("2ca2de09-b517-47db-bb55-a4fe7fc2fc4e"),
}
_AFD_AS_CODED = 8
_SHORTEST_SAYING = 8  # bytes; less is a mark of some encoder
_CAMERA = UUID("17ee8c60-f84d-11d9-8cd6-0800200c9a66")


def unsupported(attached: Iterable[tuple[int, bytes]]) -> tuple[str, ...]:
    """Name each kind of attachment that no output holds."""
    words = (_words(kind, data) for kind, data in attached)
    return tuple(dict.fromkeys(found for found in words if found is not None))


def has_captions(attached: Iterable[tuple[int, bytes]]) -> bool:
    """Return whether there are closed captions (CEA-608 and 708)."""
    return any(kind == _KIND.A53_CC.value for kind, _ in attached)


def _words(kind: int, data: bytes) -> str | None:
    if kind in _SILENT:
        return None
    # The default of players: everything is shown, or the middle.
    if kind == _KIND.PANSCAN.value and not any(data[_POSITIONS]):
        return None
    if kind == _KIND.AFD.value and data[:1] == bytes([_AFD_AS_CODED]):
        return None
    if kind == _KIND.SEI_UNREGISTERED.value:
        owner = UUID(bytes=data[:16].ljust(16, b"\0"))
        if owner == _CAMERA:
            return "the camera's settings (AVCHD)"
        mark = len(data) - len(owner.bytes) < _SHORTEST_SAYING
        return None if mark or owner in _ENCODERS else f"user data {owner}"
    return _WORDS.get(kind, f"side data of FFmpeg type {kind}")


class CaptionKeeper:
    """Reduces frames to what is attached to them: a repeated picture is held for many of them.

    PyAV cannot attach anything to a frame, but FFmpeg's filters keep attachments. One per thread.
    """

    def __init__(self) -> None:
        self._reduced = FilterChain(("scale", "16:16:flags=neighbor"))

    def __call__(self, source: VideoFrame) -> VideoFrame:
        """Return a small frame with all that is attached to `source`."""
        (carrier,) = self._reduced.push(source)
        return carrier


class Captioner:
    """Copies to pictures for an encoder the captions of the frames they were restored from.

    What a `CaptionKeeper` has kept is enlarged in the cheapest way, and its samples overwritten.
    One per thread; keeps its filters.

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
        """Return the picture with all that is attached to `source`."""
        (carrier,) = self._enlarged.push(source)
        for plane, samples in zip(carrier.planes, picture.planes, strict=True):
            target, origin = plane_rows(plane), plane_rows(samples)
            length = min(target.shape[1], origin.shape[1])
            target[:, :length] = origin[:, :length]
        carrier.colorspace, carrier.color_range = picture.colorspace, picture.color_range
        carrier.color_primaries, carrier.color_trc = picture.color_primaries, picture.color_trc
        carrier.pict_type = picture.pict_type
        return carrier
