"""HDR metadata: static light levels for encoders, and Dolby Vision."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from av.sidedata.sidedata import Type

from vsrdb_cli.errors import VideoError
from vsrdb_cli.video.containers.demuxing import stream_description
from vsrdb_cli.video.side_data.attachments import side_data

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Item = TypeVar("Item")

# The units of chromaticities, and of luminances in cd/m2 (SMPTE ST 2086).
CHROMATICITY = Fraction(1, 50_000)
LUMINANCE = Fraction(1, 10_000)
# Profiles whose base layer is HDR10 or SDR by definition; old records do not declare it.
_COMPATIBLE = (2, 4, 6, 7, 9)
# In FFmpeg's header of a frame's Dolby Vision metadata.
_RPU_PROFILE, _FULL_RANGE = 4, 10


@dataclass(frozen=True, slots=True)
class Light:
    """Static HDR metadata; all None where the source has none."""

    primaries: tuple[tuple[Fraction, Fraction], ...] | None = None
    """(x, y) of red, green, blue and white of the mastering display."""
    luminance: tuple[Fraction, Fraction] | None = None
    """The least and the most of that display, in cd/m2."""
    content: tuple[int, int] | None = None
    """The brightest pixel and the brightest frame's mean (MaxCLL, MaxFALL), in cd/m2."""

    def __bool__(self) -> bool:
        return self != Light()

    def x26x_params(self, *, mastering: str, content: str) -> list[str]:
        """Return it for x264 and x265, in units of the bitstream, under their names."""
        params = []
        if self.primaries and self.luminance:
            red, green, blue, white = (
                f"({round(x / CHROMATICITY)},{round(y / CHROMATICITY)})" for x, y in self.primaries
            )
            least, most = (round(value / LUMINANCE) for value in self.luminance)
            params.append(f"{mastering}=G{green}B{blue}R{red}WP{white}L({most},{least})")
        if self.content:
            params.append(f"{content}={self.content[0]},{self.content[1]}")
        return params

    def svtav1_params(self) -> list[str]:
        """Return it for SVT-AV1, in decimal units."""
        params = []
        if self.primaries and self.luminance:
            red, green, blue, white = (
                f"({float(x):.5f},{float(y):.5f})" for x, y in self.primaries
            )
            least, most = (f"{float(value):.4f}" for value in self.luminance)
            display = f"G{green}B{blue}R{red}WP{white}L({most},{least})"
            params.append(f"mastering-display={display}")
        if self.content:
            params.append(f"content-light={self.content[0]},{self.content[1]}")
        return params


def light_of(frame: VideoFrame) -> Light:
    """Read the static HDR metadata of the first frame."""
    attached = side_data(frame)
    primaries = luminance = content = None
    mastering = attached.get(Type.MASTERING_DISPLAY_METADATA)
    if mastering is not None:
        *numbers, has_primaries, has_luminance = struct.unpack_from("<22i", mastering)
        values = [Fraction(n, d) if d else Fraction(0) for n, d in _pairs(numbers)]
        if has_primaries:
            # x and y in turn of red, green, blue and white.
            primaries = tuple(_pairs(values[:8]))
        if has_luminance:
            luminance = values[8], values[9]
    level = attached.get(Type.CONTENT_LIGHT_LEVEL)
    if level is not None:
        most, mean = struct.unpack_from("<2I", level)
        content = (most, mean) if most or mean else None
    return Light(primaries, luminance, content)


def is_dolby_vision(description: str, stream: VideoStream, path: Path) -> bool:
    """Return whether a file declares Dolby Vision of a kind that others can show as well.

    Args:
        description: what FFmpeg's programs print of the file.

    Raises:
        VideoError: its samples are not colours without the metadata of each frame.
    """
    record = re.search(
        r"DOVI configuration record:.* profile: (\d+),.*compatibility id: (\d+)",
        stream_description(description, stream.index),
    )
    if not record:
        return False
    profile, compatibility = int(record[1]), int(record[2])
    if not compatibility and profile not in _COMPATIBLE:
        raise _only_dolby_vision(path, f"Dolby Vision profile {profile}")
    return True


def check_dolby_vision(frame: VideoFrame, path: Path) -> None:
    """Check that a frame's own metadata does not show what the file did not declare.

    Raises:
        VideoError: as `is_dolby_vision`; the frame is of profile 5.
    """
    data = side_data(frame).get(Type.DOVI_METADATA)
    if data is None:
        return
    (header,) = struct.unpack_from("<Q", data)
    if not data[header + _RPU_PROFILE] and data[header + _FULL_RANGE]:
        raise _only_dolby_vision(path, "Dolby Vision profile 5")


def _only_dolby_vision(path: Path, name: str) -> VideoError:
    return VideoError(
        f"{path} is {name}: its colours need Dolby's metadata, which vsrdb does not apply",
        hint="convert it to SDR first, where FFmpeg has libplacebo: ffmpeg -i IN -vf"
        " libplacebo=apply_dolbyvision=true:colorspace=bt709:color_primaries=bt709"
        ":color_trc=bt709:range=tv OUT",
    )


def _pairs(values: list[Item]) -> list[tuple[Item, Item]]:
    return list(zip(values[::2], values[1::2], strict=True))
