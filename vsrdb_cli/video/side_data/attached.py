"""What decoders attach to frames beside their samples: carried, meaningless here, or named.

Every kind is looked at, also those that these tables do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from av.sidedata.sidedata import Type as _Type

Type: Any = _Type  # whose stubs say that the numbers are kinds

# Told of elsewhere: turned pictures, light of HDR, views, captions.
_CARRIED = (
    *(Type.DISPLAYMATRIX, Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL),
    *(Type.STEREO3D, Type.SPHERICAL, Type.A53_CC),
)
# Of the source's own coding, or of sound. GOP timecodes number the pictures of all MPEG-2.
_MEANINGLESS = (
    *(Type.MOTION_VECTORS, Type.REGIONS_OF_INTEREST, Type.VIDEO_ENC_PARAMS, Type.VIDEO_HINT),
    *(Type.DETECTION_BBOXES, Type.GOP_TIMECODE, Type.SKIP_SAMPLES, Type.REPLAYGAIN),
    *(Type.MATRIXENCODING, Type.DOWNMIX_INFO, Type.AUDIO_SERVICE_TYPE),
)
FURTHER_VIEWS = "all views but the first (multiview)"
FRAME_TIMECODES = "timecodes of single frames"
DOLBY_VISION = "Dolby Vision metadata"
_SILENT = {kind.value for kind in (*_CARRIED, *_MEANINGLESS)}
_WORDS = {
    Type.PANSCAN.value: "pan and scan",
    Type.AFD.value: "active format description (AFD)",
    Type.S12M_TIMECODE.value: FRAME_TIMECODES,
    Type.ICC_PROFILE.value: "colour profile (ICC)",
    Type.DYNAMIC_HDR_PLUS.value: "HDR10+ metadata",
    Type.DYNAMIC_HDR_VIVID.value: "HDR Vivid metadata",
    Type.DOVI_RPU_BUFFER.value: DOLBY_VISION,
    Type.DOVI_METADATA.value: DOLBY_VISION,
    Type.AMBIENT_VIEWING_ENVIRONMENT.value: "ambient viewing environment",
    Type.FILM_GRAIN_PARAMS.value: "film grain",
    28: "LCEVC enhancement",
    29: FURTHER_VIEWS,
    30: "3D reference displays",
    31: "EXIF",
    32: "HDR metadata (SMPTE 2094-50)",
}
_POSITIONS = slice(12, None)  # of a pan and scan: after its number and its size
# What encoders say of themselves: x264 and x265, their settings.
_ENCODERS = {
    UUID("dc45e9bd-e6d9-48b7-962c-d820d923eeef"),
    UUID("2ca2de09-b517-47db-bb55-a4fe7fc2fc4e"),
}
_AFD_AS_CODED = 8
_SHORTEST_SAYING = 8  # bytes; fewer are a mark of some encoder
_CAMERA = UUID("17ee8c60-f84d-11d9-8cd6-0800200c9a66")


def dropped(attached: Iterable[tuple[int, bytes]]) -> tuple[str, ...]:
    """In words, each once, what no output holds of what `Attachments` gives."""
    words = (_words(kind, data) for kind, data in attached)
    return tuple(dict.fromkeys(found for found in words if found is not None))


def has_captions(attached: Iterable[tuple[int, bytes]]) -> bool:
    """Whether there are closed captions (CEA-608 and 708) among it."""
    return any(kind == Type.A53_CC.value for kind, _ in attached)


def _words(kind: int, data: bytes) -> str | None:
    if kind in _SILENT:
        return None
    # What players do without a word: all is shown, or the middle.
    if kind == Type.PANSCAN.value and not any(data[_POSITIONS]):
        return None
    if kind == Type.AFD.value and data[:1] == bytes([_AFD_AS_CODED]):
        return None
    if kind == Type.SEI_UNREGISTERED.value:
        owner = UUID(bytes=data[:16].ljust(16, b"\0"))
        if owner == _CAMERA:
            return "the camera's settings (AVCHD)"
        mark = len(data) - len(owner.bytes) < _SHORTEST_SAYING
        return None if mark or owner in _ENCODERS else f"user data {owner}"
    return _WORDS.get(kind, f"side data of FFmpeg's kind {kind}")
