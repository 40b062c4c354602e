"""The video encoders and what each accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Encoder:
    """One way to encode."""

    name: str
    """FFmpeg's."""
    pix_fmts: tuple[str, str]
    """For 8 bit and for more."""
    crf: int | None = None
    """The default; None if the encoder has no such option."""
    crf_options: tuple[str, ...] = ("crf",)
    """The encoder's names for `--crf`."""
    crf_value: Callable[[int], int] = int
    """Turns `--crf` into what the encoder counts in."""
    crf_range: tuple[int, int] = (0, 51)
    """Of `--crf`, both ends included."""
    preset: str | None = None
    """The default; None if the encoder has no such option."""
    preset_option: str = "preset"
    """The encoder's name for `--preset`."""
    presets: tuple[str, ...] = ()
    """Those allowed."""
    smallest: tuple[int, int] = (4, 4)
    """(height, width)."""
    largest: tuple[int, int] = (16384, 16384)
    """(height, width)."""
    whole_chroma: bool = False
    """Whether it refuses pictures that end within a pixel of their chroma."""
    captions: bool = False
    """Whether it writes closed captions, unless its option `a53cc` is 0."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Options that are always given."""
    bits_per_pixel: float = 0.05
    """A low guess of the output's size."""

    def settings(self, crf: int | None = None, preset: str | None = None) -> dict[str, str]:
        """Return the options to give, by the encoder's names; None is its default."""
        settings = dict(self.fixed)
        crf = self.crf if crf is None else crf
        if crf is not None:
            settings |= dict.fromkeys(self.crf_options, str(self.crf_value(crf)))
        preset = preset or self.preset
        if preset is not None:
            settings[self.preset_option] = preset
        return settings


_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)

ENCODERS: Mapping[str, Encoder] = {
    "h264": Encoder(
        "libx264",
        ("yuv420p", "yuv420p10le"),
        crf=16,
        preset="veryfast",
        presets=_X26X_PRESETS,
        whole_chroma=True,
        captions=True,
        largest=(8640, 16384),
    ),
    "hevc": Encoder(
        "libx265",
        ("yuv420p", "yuv420p10le"),
        crf=20,
        preset="fast",
        presets=_X26X_PRESETS,
        whole_chroma=True,
        captions=True,
        # Between 32 and 64 pixels it writes beyond its memory (x265 216), and may end the process.
        smallest=(64, 64),
        largest=(8640, 16384),
        # The chroma location is set, since readers of BT.2020 assume another.
        fixed={"x265-params": "log-level=error:chromaloc=0", "a53cc": "1"},
    ),
    # Presets above 8 lose whole frames of sharp, fast-moving content (16 to 22 dB measured).
    "av1": Encoder(
        "libsvtav1",
        ("yuv420p", "yuv420p10le"),
        crf=20,
        crf_range=(1, 63),
        preset="8",
        presets=tuple(str(p) for p in range(9)),
        largest=(8704, 16384),
    ),
    "vp9": Encoder(
        "libvpx-vp9",
        ("yuv420p", "yuv420p"),
        crf=20,
        crf_range=(0, 63),
        preset="5",
        preset_option="cpu-used",
        presets=tuple(str(p) for p in range(9)),
        fixed={"b": "0", "deadline": "good", "row-mt": "1"},
    ),
    "prores": Encoder(
        "prores_ks",
        ("yuv422p10le", "yuv422p10le"),
        preset="hq",
        preset_option="profile",
        presets=("proxy", "lt", "standard", "hq"),
        bits_per_pixel=1.0,
    ),
    "ffv1": Encoder(
        "ffv1",
        ("yuv444p", "yuv444p10le"),
        fixed={"level": "3", "slicecrc": "1"},
        largest=(32767, 32767),
        bits_per_pixel=2.0,
    ),
}
