"""Plans for streams beside the main video, and encodings for sound."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

if TYPE_CHECKING:
    from vsrdb_cli.video.info import StreamInfo

# Generous: most people hear no difference.
BITS_A_CHANNEL = {"aac": 128_000, "libopus": 112_000}
_USUAL_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "quad", "5.0", "5.1", "6.1", "7.1")
# Places that stand for others where a layout has not those: resampling moves channels there whole.
_LIKE = {"SL": "BL", "SR": "BR", "DL": "FL", "DR": "FR"}


@dataclass(frozen=True, slots=True)
class SoundTarget:
    """The encoding of a track that is not copied."""

    encoder: str
    """FFmpeg's name."""
    rate: int
    """Samples a second."""
    layout: str
    """FFmpeg's name of the channels."""
    sample_format: str
    """FFmpeg's name."""

    @property
    def packed_format(self) -> str:
        """The interleaved sample format; PyAV makes no frames of eight planes."""
        return self.sample_format.rstrip("p")

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return str(av.Codec(self.encoder, "w").canonical_name)

    def open(self, context: Any) -> None:
        """Set up an encoder."""
        context.sample_rate, context.layout = self.rate, self.layout
        context.format = self.sample_format
        bits = BITS_A_CHANNEL.get(self.encoder)
        if bits:
            context.bit_rate = bits * av.AudioLayout(self.layout).nb_channels


def nearest_target(encoder: str, rate: int, layout: str, sample_format: str) -> SoundTarget | None:
    """Find, by trying, the nearest to a decoded track that an encoder takes; None if nothing is.

    Without a place for each channel, they are mixed to as many as there can be.

    Args:
        rate, layout, sample_format: of the decoded track; the most of each, where they change.
    """
    codec = av.Codec(encoder, "w")
    rates = sorted(codec.audio_rates or [rate])
    rate = next((r for r in rates if r >= rate), rates[-1])
    formats = [f.name for f in codec.audio_formats or []]
    deep = sample_format.rstrip("p") not in ("u8", "s16")
    wanted = ("s32", "s32p", "flt", "fltp") if deep else ("s16", "s16p", "flt", "fltp")
    fitting = next((f for f in wanted if f in formats), formats[0])
    channels = av.AudioLayout(layout).nb_channels
    fewer = (name for name in _USUAL_LAYOUTS[::-1] if av.AudioLayout(name).nb_channels <= channels)
    wider = (name for name in _USUAL_LAYOUTS if holds(name, layout))
    for tried in (layout, *wider, *fewer):
        target = SoundTarget(encoder, rate, tried, fitting)
        context = av.CodecContext.create(encoder, "w")
        try:
            target.open(context)
            context.time_base = Fraction(1, rate)
            context.open()
        except (FFmpegError, ValueError):
            continue
        return target
    return None


def can_be_mixed(layout: str) -> bool:
    """Return whether the channels' places are known, or usual for their number."""
    places = _places(layout)
    try:
        return "NONE" not in places or bool(av.AudioLayout(f"{len(places)}c"))
    except ValueError:
        return False


def holds(wider: str, layout: str) -> bool:
    """Return whether each channel of a layout has a place of its own in another one."""
    places, taken = _places(wider), _places(layout)
    if "NONE" in taken:  # nobody knows which is which
        return len(places) == len(taken)
    return set(taken) <= set(places)


def _places(layout: str) -> list[str]:
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    return [name if _LIKE.get(name, name) in names else _LIKE.get(name, name) for name in names]


# Codecs of cover pictures that are attached as files.
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


class StreamAction(Enum):
    """What is done with a stream."""

    COPY = "copied"
    CONVERT = "converted"
    ATTACH = "attached"
    REBUILD = "rebuilt"  # chapters and timecodes that are tracks: the container writes its own
    DROP = "dropped"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What is done with one stream, and why if not all of it is kept."""

    stream: StreamInfo
    action: StreamAction
    notice: str | None = None
    sound: SoundTarget | None = None
    """The new encoding, if it is sound that is not copied."""
    decodes: bool = False
    """Whether it is sound that can mostly be decoded, so that what cannot is damaged."""
