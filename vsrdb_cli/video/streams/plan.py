"""What is to become of one stream beside the main video."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsrdb_cli.video.info import StreamInfo
    from vsrdb_cli.video.streams.sound_converter import SoundTarget

# Codecs of cover pictures that are attached as files.
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


class Fate(Enum):
    """What becomes of a stream."""

    COPY = "copied"
    CONVERT = "converted"
    ATTACH = "attached"
    REMAKE = "made anew"  # chapters and timecodes that are tracks: the container writes its own
    DROP = "dropped"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What becomes of one stream, and if not all of it, why.

    Attributes:
        sound: what it is encoded as, if it is sound and not copied.
        decodes: whether it is sound that can mostly be decoded, so that what cannot is damaged.
    """

    stream: StreamInfo
    fate: Fate
    notice: str | None = None
    sound: SoundTarget | None = None
    decodes: bool = False
