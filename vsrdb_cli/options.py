"""The options of a restoration, declared once: names, choices, defaults, help.

The command line, the configuration file, the journal of a long job, worker processes and programs
all read this module. Values are checked here, wherever they come from. An option is added by
adding a field; what it does is one place elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from fractions import Fraction
from typing import Any

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.errors import OptionError
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
    """What to do with HDR video, which the network was not trained on."""

    REFUSE = "refuse"
    KEEP = "keep"  # the signal goes through the network as it is
    SDR = "sdr"  # converted to BT.709 first


@dataclass(frozen=True)
class Option:
    """What a field of the options is to its users, beside its name and default.

    Attributes:
        help: one sentence or two, for `--help`.
        choices: all there are; none where anything goes.
        between: the least and the most of a number.
        read: text to value; raises ValueError with what is wrong and how to write it.
        metavar: how `--help` names the value.
        shown_default: how `--help` names the default, where the value itself would say nothing.
        flag: name on the command line, where it is not the field's; "no-..." turns a field off.
        frames: whether the restored frames depend on it; a job is gone on with only if these agree.
        hidden: not in `--help`.
    """

    help: str
    choices: tuple[str, ...] = ()
    between: tuple[float, float] | None = None
    read: Callable[[Any], Any] | None = None
    metavar: str | None = None
    shown_default: str | None = None
    flag: str | None = None
    frames: bool = True
    hidden: bool = False


def option(default: Any, text: str, **details: Any) -> Any:
    """A field of an options class; a callable default makes the value."""
    metadata = {"option": Option(text, **details)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


class _Options:
    """Reads and checks what the fields are given."""

    def __post_init__(self) -> None:
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            declared: Option | None = entry.metadata.get("option")
            if declared is None or (value is None and declared.read is not read_tile):
                continue
            object.__setattr__(self, entry.name, _checked(entry, declared, value))


def _checked(entry: Field[Any], declared: Option, value: Any) -> Any:
    name = flag_of(entry)
    told = value.value if isinstance(value, Enum) else value
    if declared.choices and told not in declared.choices:
        raise OptionError(
            f"--{name} {told} is not possible", hint=f"choose {' or '.join(declared.choices)}"
        )
    if declared.read is not None:
        try:
            return declared.read(value)
        except ValueError as error:
            raise OptionError(f"--{name} {value} is not possible", hint=str(error)) from None
    if declared.between is not None:
        low, high = declared.between
        if not isinstance(value, int | float | Fraction) or not low <= value <= high:
            raise OptionError(
                f"--{name} {value} is not possible", hint=f"choose {low:g} to {high:g}"
            )
        if is_whole(entry) and not isinstance(value, int):
            raise OptionError(
                f"--{name} {value} is not possible",
                hint=f"choose a whole number, {low:g} to {high:g}",
            )
    return value


@dataclass(frozen=True)
class EncoderOptions(_Options):
    """How the output is encoded; None is the default of the codec or container."""

    codec: str | None = option(
        None,
        "Video codec of the output.",
        choices=("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
        shown_default="what suits the file name; h264 in mp4",
    )
    crf: int | None = option(
        None,
        "Quality; lower is better and larger.",
        between=(0, 63),
        shown_default="16 for h264",
    )
    preset: str | None = option(
        None,
        "Speed of the encoder, in its own words.",
        shown_default="veryfast for h264",
    )
    pix_fmt: str | None = option(
        None, "Pixel format, by FFmpeg's name, such as yuv444p10le.", metavar="NAME"
    )
    extra: Mapping[str, str] = option(
        dict,
        "Pass another option to the encoder; can be repeated.",
        read=read_pairs,
        metavar="KEY=VALUE",
        flag="encoder-option",
    )
    hardware: str = option(
        "none",
        "Encode on the GPU: nvenc fails where that is not possible, auto uses it where it is.",
        choices=("none", "auto", "nvenc"),
    )
    threads: int = 0  # of the encoder; 0 lets it decide


@dataclass(frozen=True)
class RestoreOptions(_Options):
    """How to restore. Every field is an option of `vsrdb restore`, by the name of `flag_of`."""

    scale: int = option(
        4,
        "Output size over input size. The network always enlarges 4 times; for less, its result "
        "is scaled down (1: deblurring only).",
        between=(1, 4),
    )
    strength: float = option(
        1.0,
        "How much of the restored picture goes into the output, from 0 (plain bicubic "
        "enlargement) to 1.",
        between=(0, 1),
    )
    weights: str = option(
        default_weights,
        "The network: a name from `vsrdb weights list` or a .safetensors file. `bicubic` and "
        "`nearest` only enlarge.",
        metavar="NAME|PATH",
        frames=False,  # what it comes to is entered in the journal once it is loaded
    )
    tile: Tile = option(
        "auto",
        "Work in tiles of this side, in input pixels. auto uses the whole picture if it fits "
        "into memory.",
        read=read_tile,
        metavar="auto|none|SIZE",
    )
    device: str = option(
        "auto",
        "Where the network runs.",
        read=read_device,
        metavar="auto|cpu|cuda[:N]|mps",
        frames=False,
    )
    devices: tuple[str, ...] = option(
        (),
        "Run one process on each of these devices, all working on the same video.",
        read=read_devices,
        metavar="cuda:0,cuda:1",
        frames=False,
    )
    ray: str | None = option(
        None,
        "Restore on all nodes of a Ray cluster: auto (the one this machine is in), an address, or "
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
        "What runs the network. All but torch need files written by `vsrdb export`.",
        choices=("auto", "torch", "onnxruntime", "tensorrt", "tensorrt-rtx"),
        frames=False,
    )
    precision: str = option(
        "auto",
        "auto uses a lower precision only where it is faster and agrees with float32.",
        choices=("auto", "float32", "float16", "bfloat16"),
        frames=False,
    )
    scene_cuts: bool = option(
        True,
        "Let the network look across scene cuts.",
        flag="no-scene-cut",
    )
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    hdr: Hdr = option(
        Hdr.REFUSE,
        "HDR video: refuse it, keep it (10 bit, BT.2020 and its light metadata) or convert it to "
        "BT.709. The network was trained on neither.",
        read=Hdr,
        choices=tuple(h.value for h in Hdr),
    )
    fps: Fraction | None = option(
        None,
        "Frames per second of a folder of pictures, which have no times of their own: 25, 23.976 "
        "or 24000/1001.",
        read=read_rate,
        metavar="RATE",
        shown_default="24",
    )
    start: Position | None = option(
        None,
        "Start here: 90.5, 0:01:30 or 2250f (a frame number).",
        read=read_position,
        metavar="TIME|FRAME",
    )
    end: Position | None = option(
        None, "Stop before this time or frame.", read=read_position, metavar="TIME|FRAME"
    )
    sample: Fraction | None = option(
        None,
        "Restore only the busiest SECONDS, as a test.",
        read=read_seconds,
        metavar="SECONDS",
    )
    strict: bool = option(
        False, "Fail if anything would be changed or dropped, or is damaged.", frames=False
    )
    overwrite: bool = option(False, "Replace the output if it exists.", frames=False)
    restart: bool = option(
        False,
        "Start over instead of continuing an interrupted run.",
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
            raise OptionError("--device and --devices exclude each other", hint="omit one of them")
        if self.ray and self.devices:
            raise OptionError("--ray and --devices exclude each other", hint="omit one of them")
        if self.ray_ship_code and not self.ray:
            raise OptionError("--ray-ship-code is for --ray", hint="add --ray auto, or omit it")
        start, end = self.start, self.end
        if start is None or end is None or isinstance(start, int) != isinstance(end, int):
            return  # a time and a frame are compared once the video is open
        if end <= start:
            raise OptionError(
                f"--end {written(end)} is not after --start {written(start)}",
                hint="both count from the beginning of the video",
            )

    @classmethod
    def of(cls, **values: Any) -> RestoreOptions:
        """From values by the names of all fields, the encoder's among them."""
        names = {entry.name for entry in fields(EncoderOptions)}
        encoder = {name: values.pop(name) for name in names & values.keys()}
        return cls(**values, encoder=EncoderOptions(**encoder))

    @property
    def frame_values(self) -> dict[str, Any]:
        """All values the restored frames depend on, by the names of the command line."""
        return {
            flag_of(entry): _as_told(entry, getattr(holder, entry.name))
            for holder in (self, self.encoder)
            for entry in _declared(type(holder))
            if entry.metadata["option"].frames
        }


def declared_options() -> Iterator[Field[Any]]:
    """All fields that are options, in the order of `--help`."""
    for entry in fields(RestoreOptions):
        if entry.name == "encoder":
            yield from _declared(EncoderOptions)
        else:
            yield entry


def flag_of(entry: Field[Any]) -> str:
    """An option's name on the command line, without its dashes."""
    declared: Option = entry.metadata["option"]
    return declared.flag or entry.name.replace("_", "-")


def is_whole(entry: Field[Any]) -> bool:
    """Whether an option between two numbers is a whole number."""
    return "int" in str(entry.type)


def _as_told(entry: Field[Any], value: Any) -> Any:
    """A value as the command line has it: "no-..." turns a field off."""
    if isinstance(value, Enum):
        return value.value
    return not value if flag_of(entry).startswith("no-") else value


def _declared(options: type[Any]) -> list[Field[Any]]:
    return [entry for entry in fields(options) if "option" in entry.metadata]
