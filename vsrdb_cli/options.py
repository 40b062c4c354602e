"""The options of a restoration, declared once: names, choices, defaults, help.

The command line, the configuration file, the journal of a long job, worker processes and programs
all read this module. Values are checked when an object is made, wherever they come from. To add an
option, add a field; what it does is one place elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
from fractions import Fraction
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.device_kinds import METAVAR
from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_fields import CheckedOptions, flag_of, option
from vsrdb_cli.option_values import (
    Position,
    Tile,
    read_cluster,
    read_device,
    read_devices,
    read_pairs,
    read_position,
    read_rate,
    read_seconds,
    read_tile,
    written,
)


class Hdr(Enum):
    """Choices for HDR video, which the network was not trained on."""

    REFUSE = "refuse"
    KEEP = "keep"  # the signal goes through the network as it is
    SDR = "sdr"  # converted to BT.709 first


@dataclass(frozen=True)
class EncoderOptions(CheckedOptions):
    """How to encode the output; None is the default of the codec or container."""

    codec: str | None = option(
        None,
        "Video codec of the output.",
        choices=("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
        shown_default="by the file name; h264 in mp4",
    )
    crf: int | None = option(
        None,
        "Quality; lower is better, and makes larger files.",
        between=(0, 63),
        shown_default="16 for h264",
    )
    preset: str | None = option(
        None,
        "Speed preset, as the encoder names it.",
        shown_default="veryfast for h264",
    )
    pix_fmt: str | None = option(
        None, "Pixel format, by FFmpeg's name, such as yuv444p10le.", metavar="NAME"
    )
    extra: Mapping[str, str] = option(
        dict,
        "Pass another option to the encoder; can be repeated.",
        read=read_pairs,
        takes=(Mapping, list, tuple),
        metavar="KEY=VALUE",
        flag="encoder-option",
    )
    hardware: str = option(
        "none",
        "Encode on the GPU, with NVIDIA's (nvenc), Intel's (qsv), AMD's (amf) or Apple's "
        "(videotoolbox) encoder, or fail; auto uses the first encoder that works, or the CPU.",
        choices=("none", "auto", "nvenc", "qsv", "amf", "videotoolbox"),
    )
    threads: int = 0
    """Threads of the encoder; 0 lets it decide. Set by workers; no option of the command."""


@dataclass(frozen=True)
class RestoreOptions(CheckedOptions):
    """How to restore. Every field is an option of `vsrdb restore`, by the name of `flag_of`.

    Raises:
        TypeError: a value is of a type that its field does not take.
        OptionError: a value is not possible, or not together with another.
    """

    scale: int = option(
        4,
        "Enlargement. The network always enlarges 4 times; for less, its result is scaled down "
        "(1: deblurring only).",
        between=(1, 4),
    )
    strength: float = option(
        1.0,
        "Share of the restored picture in the output, from 0 (plain bicubic enlargement) to 1.",
        between=(0, 1),
    )
    weights: str = option(
        default_weights,
        "Network to use: a name from `vsrdb weights list` or a .safetensors file. `bicubic` and "
        "`nearest` only enlarge.",
        read=fspath,
        takes=(str, PathLike),
        metavar="NAME|PATH",
        frames=False,  # the journal records the network itself, once it is loaded
    )
    tile: Tile = option(
        "auto",
        "Side of the tiles to work in, in input pixels. auto uses the whole picture if it fits "
        "into memory.",
        read=read_tile,
        takes=(str, Integral),
        metavar="auto|none|SIZE",
    )
    device: str = option(
        "auto",
        "Device to run the network on; auto is the GPU that torch finds, else the CPU.",
        read=read_device,
        metavar=METAVAR,
        frames=False,
    )
    devices: tuple[str, ...] = option(
        (),
        "Run one process on each of these devices, all working on the same video.",
        read=read_devices,
        takes=(str, list, tuple),
        metavar="cuda:0,cuda:1",
        frames=False,
    )
    ray: str | None = option(
        None,
        "Restore on all nodes of a Ray cluster: auto (the one this machine is in), its address, or "
        "local (this machine alone). See docs/CLUSTER.md.",
        read=read_cluster,
        metavar="auto|HOST:PORT|local",
        frames=False,
    )
    ray_ship_code: bool = option(
        False,
        "Send vsrdb itself to nodes that do not have it; they still need torch and PyAV.",
        frames=False,
    )
    backend: str = option(
        "auto",
        "Library that runs the network. All but torch need files written by `vsrdb export`.",
        choices=("auto", "torch", "onnxruntime", "tensorrt", "tensorrt-rtx"),
        frames=False,
    )
    precision: str = option(
        "auto",
        "Number format to compute in. auto uses a smaller format than float32 only if it is faster "
        "and agrees with float32.",
        choices=("auto", "float32", "float16", "bfloat16"),
        frames=False,
    )
    scene_cuts: bool = option(
        True,
        "Let the network look across scene cuts.",
        flag="no-scene-cut",
    )
    prefilter: str | None = option(
        None,
        "Filters of FFmpeg for the decoded pictures, before the network: one frame out for each in."
        " See docs/FILTERS.md.",
        metavar="GRAPH",
    )
    postfilter: str | None = option(
        None,
        "Filters of FFmpeg for the restored pictures, before the encoder.",
        metavar="GRAPH",
    )
    grain: float | None = option(
        None,
        "Add film grain of this strength to the restored pictures; 2 is fine, 6 is strong.",
        between=(0.5, 20),
    )
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    detelecine: bool | None = option(
        None,
        "Bring back the 24 frames a second of film in 29.97 fps video (3:2 pulldown).",
        shown_default="if all of the video is such film",
    )
    hdr: Hdr = option(
        Hdr.REFUSE,
        "HDR video: refuse it, keep it (10-bit BT.2020 with its HDR metadata) or convert it to "
        "BT.709. The network was trained on neither.",
        read=Hdr,
        takes=(str, Hdr),
        choices=tuple(h.value for h in Hdr),
    )
    fps: Fraction | None = option(
        None,
        "Frame rate of a folder of pictures: 25, 23.976 or 24000/1001.",
        read=read_rate,
        takes=(str, Real),
        metavar="RATE",
        shown_default="24",
    )
    start: Position | None = option(
        None,
        "Start at this time or frame: 90.5, 0:01:30 or 2250f (a frame number).",
        read=read_position,
        takes=(str, Real),
        metavar="TIME|FRAME",
    )
    end: Position | None = option(
        None,
        "Stop before this time or frame.",
        read=read_position,
        takes=(str, Real),
        metavar="TIME|FRAME",
    )
    sample: Fraction | None = option(
        None,
        "Restore only the busiest SECONDS, as a test.",
        read=read_seconds,
        takes=(str, Real),
        metavar="SECONDS",
    )
    strict: bool = option(
        False,
        "Fail if anything would be changed or dropped, or if the input is damaged.",
        frames=False,
    )
    overwrite: bool = option(False, "Replace the output if it exists.", frames=False)
    restart: bool = option(
        False,
        "Start over instead of resuming an interrupted run.",
        frames=False,
    )
    segment_seconds: float = option(
        10.0,
        "Length of the segments in which longer videos are restored.",
        between=(1e-3, 1e9),
        hidden=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.devices and self.device != "auto":
            raise OptionError("device and devices cannot be used together", hint="omit one of them")
        if self.ray and self.devices:
            raise OptionError("ray and devices cannot be used together", hint="omit one of them")
        if self.ray_ship_code and not self.ray:
            raise OptionError(
                "code can only be sent to a Ray cluster",
                hint="name one, such as --ray auto",
            )
        start, end = self.start, self.end
        if start is None or end is None or type(start) is not type(end):
            return  # a time and a frame are compared once the video is open
        if end <= start:
            raise OptionError(
                f"end {written(end)} is not after start {written(start)}",
                hint="both count from the beginning of the video",
            )

    @classmethod
    def of(cls, **values: Any) -> RestoreOptions:
        """Make options from values by the names of all fields, the encoder's among them."""
        names = {entry.name for entry in fields(EncoderOptions)}
        encoder = {name: values.pop(name) for name in names & values.keys()}
        return cls(**values, encoder=EncoderOptions(**encoder))

    @property
    def is_distributed(self) -> bool:
        """True if several processes or nodes restore the same video."""
        return bool(self.devices or self.ray)

    def on_one_device(self) -> RestoreOptions:
        """Return the options for a video that cannot be divided among several."""
        device = self.devices[0] if self.devices else self.device
        return replace(self, device=device, devices=(), ray=None, ray_ship_code=False)

    @property
    def frame_values(self) -> dict[str, Any]:
        """The values the restored frames depend on, by the names of the command line."""
        return {
            flag_of(entry): _on_command_line(entry, getattr(holder, entry.name))
            for holder in (self, self.encoder)
            for entry in _declared(type(holder))
            if entry.metadata["option"].frames
        }


def declared_options() -> Iterator[Field[Any]]:
    """Yield all fields that are options, in the order of `--help`."""
    for entry in fields(RestoreOptions):
        if entry.name == "encoder":
            yield from _declared(EncoderOptions)
        else:
            yield entry


def _on_command_line(entry: Field[Any], value: Any) -> Any:
    """Return a value as the command line has it: "no-..." turns a field off."""
    if isinstance(value, Enum):
        return value.value
    return not value if flag_of(entry).startswith("no-") else value


def _declared(options: type[Any]) -> list[Field[Any]]:
    return [entry for entry in fields(options) if "option" in entry.metadata]
