"""`vsrdb restore`: a video in, the same video out, sharp and larger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.commands import console
from vsrdb_cli.commands.config import read_config
from vsrdb_cli.errors import OptionError, VsrdbError

if TYPE_CHECKING:
    from fractions import Fraction

    from vsrdb_cli.commands.display import Display
    from vsrdb_cli.restore import RestoreOptions
    from vsrdb_cli.video.part import Position


class TileType(click.ParamType[int | str | None]):
    """auto, none, or a side in pixels."""

    name = "auto|none|SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str | None:
        if value in ("auto", "none") or isinstance(value, int):
            return None if value == "none" else value
        if not str(value).isdigit():
            self.fail(f"'{value}' is neither auto, none nor a number of pixels", param, ctx)
        return int(value)


class DevicesType(click.ParamType[tuple[str, ...]]):
    """Names of devices, with commas between them."""

    name = "cuda:0,cuda:1"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        devices = tuple(name.strip() for name in str(value).split(","))
        if not all(devices) or "auto" in devices:
            self.fail(f"'{value}' is no list of devices, such as cuda:0,cuda:1", param, ctx)
        return devices


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--scale",
    type=click.IntRange(1, 4),
    default=4,
    show_default=True,
    help="Output size over input size. The network always works at 4; below that its "
    "result is downsampled (1: deblurring alone).",
)
@click.option(
    "--weights",
    default=default_weights(),
    show_default=True,
    metavar="NAME|PATH",
    help="What restores: a name from `vsrdb weights list` or a .safetensors file; "
    "`bicubic` and `nearest` only enlarge.",
)
@click.option(
    "--tile",
    type=TileType(),
    default="auto",
    show_default=True,
    help="Side of the tiles the picture is worked in, in input pixels; auto takes the "
    "whole picture if it fits into memory.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where the network runs.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "torch", "onnxruntime", "tensorrt", "tensorrt-rtx"]),
    help="What computes; all but torch run files written by `vsrdb export`.",
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    help="Auto takes a lower precision only where it is faster and agrees with float32.",
)
@click.option(
    "--no-scene-cut",
    is_flag=True,
    help="Let windows of neighbouring frames reach across scene cuts.",
)
@click.option(
    "--codec",
    type=click.Choice(["h264", "hevc", "av1", "vp9", "prores", "ffv1"]),
    help="Video codec of the output.  [default: what suits its ending; h264 in mp4]",
)
@click.option(
    "--crf",
    type=click.IntRange(0, 63),
    help="Quality of the encoder; lower is better and larger.  [default: 16 for h264]",
)
@click.option(
    "--preset", help="Speed of the encoder, in its own words.  [default: veryfast for h264]"
)
@click.option(
    "--devices",
    type=DevicesType(),
    default=(),
    help="Restore on several devices at once, each with a process of its own; the same result.",
)
@click.option("--start", metavar="TIME|FRAME", help="Restore from here on: 90.5, 0:01:30 or 2250f.")
@click.option("--end", metavar="TIME|FRAME", help="Restore up to here, this not included.")
@click.option("--sample", metavar="SECONDS", help="Restore so long a part of the busiest, to try.")
@click.option(
    "--strict",
    is_flag=True,
    help="Make an error of whatever would be changed, dropped or is damaged.",
)
@click.option("--pix-fmt", help="Pixel format to encode, by FFmpeg's name, such as yuv444p10le.")
@click.option(
    "--encoder-option",
    "encoder_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A further option of the encoder; may be given again.",
)
@click.option(
    "--hardware",
    type=click.Choice(["none", "auto", "nvenc"]),
    default="none",
    show_default=True,
    help="Encode on the GPU's own encoder, an error where it does not open; auto: where it does.",
)
@click.option(
    "--hdr",
    type=click.Choice(["refuse", "keep", "sdr"]),
    default="refuse",
    show_default=True,
    help="HDR video: keep it (10 bit, BT.2020, its light metadata) or convert it to BT.709; the "
    "network has seen neither.",
)
@click.option("--overwrite", is_flag=True, help="Replace an output that is there.")
@click.option(
    "--restart",
    is_flag=True,
    help="Throw away the finished segments of a run that was stopped, instead of going on.",
)
@click.option(
    "--segment-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    hidden=True,
    help="Length of the segments in which longer videos are restored.",
)
@click.option("--recursive", is_flag=True, help="Of a folder: take the folders in it as well.")
@click.option("--pattern", metavar="'*.mp4'", help="Of a folder: take only files named so.")
@click.option(
    "--skip-existing", is_flag=True, help="Of several inputs: leave those that have an output."
)
@click.option(
    "--container",
    type=click.Choice(["mp4", "m4v", "mov", "mkv", "webm"]),
    help="Of several inputs: what to write.  [default: what the input is, or mkv]",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write what became of each input, as JSON."
)
@click.option(
    "--progress",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="json: one object a line on stderr, for other programs.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Tell what the run would take and do, having restored two frames; write nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Of --dry-run: one JSON object on stdout.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="A TOML file of options by these names; the command line wins.",
)
def restore(
    sources: tuple[Path, ...],
    target: Path,
    *,
    quiet: bool,
    progress: str,
    recursive: bool,
    pattern: str | None,
    skip_existing: bool,
    container: str | None,
    report: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Restore SOURCES and write them, four times as large, to TARGET.

    A source is a video or a folder of PNG or JPEG pictures; TARGET a video (.mp4, .mov, .mkv,
    .webm) or a folder, which gets PNG pictures. Sound and everything else that was in the file
    comes along; frames keep their times. "-" is a y4m stream on stdin or stdout.

    Several sources, or a folder of videos, are restored one after another into the folder TARGET;
    one that fails does not stop the others.

    A long video is restored in segments. Stopped, by whatever, the same command goes on after the
    last finished one.

    \b
    vsrdb restore in.mp4 out.mp4
    vsrdb restore in.mp4 out.mkv --codec hevc --crf 18
    vsrdb restore frames/ restored/
    vsrdb restore videos/ restored/ --recursive --skip-existing

    Ends with 0 if all is restored, 1 if something is not, 2 if these options cannot be, 130 if
    interrupted.
    """
    from vsrdb_cli.batch.inputs import Batch, Item, find, is_batch
    from vsrdb_cli.commands.display import Bar, JsonLines
    from vsrdb_cli.commands.restore_many import FAILED, run_many, run_one, table_of

    if as_json and not dry_run:
        raise click.UsageError("--json is for --dry-run; see --report and --progress json")
    if dry_run and report:
        raise click.UsageError("--report and --dry-run exclude each other; see --json")
    if quiet and progress == "json":
        raise click.UsageError("--quiet and --progress json exclude each other")
    if options["devices"] and options["device"] != "auto":
        raise click.UsageError("--device and --devices exclude each other")
    display: Display = JsonLines() if progress == "json" else Bar(quiet=quiet)
    settings = _options(**options)
    try:
        several = is_batch(sources, recursive=recursive, pattern=pattern)
        if not several:
            if container:
                raise click.UsageError("--container is for several inputs; name the output so")
            item = Item(sources[0], target)
            if not dry_run:
                run_one(item, settings, display, skip_existing=skip_existing, report_file=report)
                return
            batch = Batch([item])
        else:
            batch = find(
                sources,
                target,
                recursive=recursive,
                pattern=pattern,
                suffix=container and f".{container}",
            )
        if dry_run:
            from vsrdb_cli.commands.dry_run import estimate_all

            status = estimate_all(
                batch,
                settings,
                display,
                skip_existing=skip_existing,
                new_folders=several,
                as_json=as_json,
            )
            sys.exit(status)
        outcomes = run_many(
            batch, settings, display, skip_existing=skip_existing, report_file=report
        )
    except VsrdbError as error:
        display.error(str(error), error.hint)
        sys.exit(FAILED)
    if progress == "bar" and not quiet:
        console.show(table_of(outcomes))
    if any(outcome.error is not None for outcome in outcomes):
        sys.exit(FAILED)


def _options(
    *,
    scale: int,
    weights: str,
    tile: int | str | None,
    device: str,
    backend: str,
    precision: str,
    no_scene_cut: bool,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    pix_fmt: str | None,
    encoder_options: tuple[str, ...],
    hardware: str,
    hdr: str,
    start: str | None,
    end: str | None,
    sample: str | None,
    strict: bool,
    overwrite: bool,
    restart: bool,
    segment_seconds: float,
    devices: tuple[str, ...],
) -> RestoreOptions:
    from vsrdb_cli.restore import RestoreOptions
    from vsrdb_cli.video.encoders import EncoderOptions
    from vsrdb_cli.video.hdr import Hdr

    return RestoreOptions(
        scale=scale,
        weights=weights,
        tile=tile,
        device=device,
        backend=backend,
        precision=precision,
        scene_cuts=not no_scene_cut,
        encoder=EncoderOptions(
            codec=codec,
            crf=crf,
            preset=preset,
            pix_fmt=pix_fmt,
            extra=dict(_key_and_value(option) for option in encoder_options),
            hardware=hardware,
        ),
        hdr=Hdr(hdr),
        start=_position("--start", start),
        end=_position("--end", end),
        sample=_seconds("--sample", sample),
        strict=strict,
        overwrite=overwrite,
        restart=restart,
        segment_seconds=segment_seconds,
        devices=devices,
    )


def _position(name: str, text: str | None) -> Position | None:
    from vsrdb_cli.video.part import parse_position

    try:
        return None if text is None else parse_position(text)
    except ValueError as error:
        raise OptionError(
            f"{name}: {error}", hint=f"write {name} 0:01:30 or {name} 2250f"
        ) from None


def _seconds(name: str, text: str | None) -> Fraction | None:
    position = _position(name, text)
    if isinstance(position, int) or position == 0:
        raise OptionError(f"{name} {text} is no length of time", hint=f"write {name} 3s")
    return position


def _key_and_value(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise OptionError(
            f"--encoder-option {option} has no value", hint="write --encoder-option KEY=VALUE"
        )
    return key, value
