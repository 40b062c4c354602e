"""`vsrdb inspect`: what the network saw in a frame, and what it made of it."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.commands import console
from vsrdb_cli.commands.click_options import Read
from vsrdb_cli.commands.position import position
from vsrdb_cli.option_values import read_tile


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER|page.html",
    help="A folder of PNG pictures, or one page for a browser in which a click on a pixel shows"
    " its kernels.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="The frame to look at: the first from a time on (90.5 or 0:01:30.5), or a number"
    " (2250f, from 0f)."
    "  [default: amid the busiest second]",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many frames in a row.",
)
@click.option("--raw", is_flag=True, help="Write the arrays, too, one .npz file a frame.")
@click.option(
    "--kernels-every",
    "every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the kernels of every Nth row and column of pixels.  [default: what a page can hold]",
)
@click.option(
    "--weights",
    default=default_weights(),
    show_default=True,
    metavar="NAME|PATH",
    help="The network: a name from `vsrdb weights list` or a .safetensors file.",
)
@click.option(
    "--tile",
    type=Read(read_tile, "auto|none|SIZE"),
    default="auto",
    show_default=True,
    help="Side of the tiles the picture is worked in, in input pixels.",
)
@click.option(
    "--hdr",
    type=click.Choice(["refuse", "keep", "sdr"]),
    default="refuse",
    show_default=True,
    help="What to do with HDR video, as in `vsrdb restore`.",
)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier look has written.")
def inspect(
    source: Path,
    target: Path,
    *,
    at: str | None,
    frames: int,
    raw: bool,
    every: int | None,
    weights: str,
    tile: int | str | None,
    hdr: str,
    overwrite: bool,
) -> None:
    """Show what FMA-Net saw in frames of SOURCE, step by step, as its paper does.

    The neighbouring frames, the flow and occlusion masks it found, its degradation and restoration
    kernels, the frames moved onto the middle one, what the filter and what the residual
    contributes. Tells whether a network has learned motion. Computed in float32 on the CPU.

    \b
    vsrdb inspect in.mp4 -o page.html
    vsrdb inspect in.mp4 -o seen/ --at 0:12 --frames 3 --raw
    """
    from vsrdb_cli.inspection.inspect_source import InspectOptions, inspect_source
    from vsrdb_cli.options import Hdr

    options = InspectOptions(
        weights,
        position("--at", at),
        frames,
        every=every,
        tile=tile,
        raw=raw,
        hdr=Hdr(hdr),
        overwrite=overwrite,
    )
    with console.progress(f"looking into {source.name}") as on_frame:
        report = inspect_source(source, target, options, on_frame=on_frame)
    for notice in report.notices:
        console.say(f"note: {notice}")
    for line in report.frames:
        console.say(line)
    for path in (report.output, *report.arrays):
        console.result(str(path))
