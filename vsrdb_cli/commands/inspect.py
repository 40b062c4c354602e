"""`vsrdb inspect`: show what the network computes for a frame."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import progress
from vsrdb_cli.commands.click_options import WEIGHTS_HELP, Read, restore_option
from vsrdb_cli.option_values import Position, Tile, read_position


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER|page.html",
    help="A folder for PNG pictures, or a page for a browser, in which a click on a pixel shows "
    "its kernels.",
)
@click.option(
    "--at",
    type=Read(read_position, "TIME|FRAME"),
    help="The frame to show: the first from a time on (90.5 or 0:01:30.5), or a frame number, "
    "counted from 0 (2250f).  [default: the middle of the busiest second]",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Number of consecutive frames to show.",
)
@click.option("--raw", is_flag=True, help="Also write the arrays, one .npz file per frame.")
@click.option(
    "--kernels-every",
    "every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the kernels of every Nth row and column of pixels.  [default: as many as fit into "
    "a page]",
)
@restore_option("weights", help=WEIGHTS_HELP)
@restore_option("tile")
@restore_option("hdr", help="What to do with HDR video, as in `vsrdb restore`.")
@click.option("--overwrite", is_flag=True, help="Replace existing output of this command.")
def inspect(
    source: Path,
    target: Path,
    *,
    at: Position | None,
    frames: int,
    raw: bool,
    every: int | None,
    weights: str,
    tile: Tile,
    hdr: str,
    overwrite: bool,
) -> None:
    """Show what FMA-Net computes for frames of SOURCE.

    Shows the steps in the paper's order: the neighbouring frames, flow and occlusion masks,
    degradation and restoration kernels, the frames warped onto the centre one, and the
    contributions of filter and residual. They reveal whether a network has learned motion. Computed
    in float32 on the CPU.

    \b
    vsrdb inspect in.mp4 -o page.html
    vsrdb inspect in.mp4 -o seen/ --at 0:12 --frames 3 --raw
    """
    from vsrdb_cli.inspection.inspect_source import InspectOptions, inspect_source
    from vsrdb_cli.options import Hdr

    options = InspectOptions(
        weights,
        at,
        frames,
        every=every,
        tile=tile,
        raw=raw,
        hdr=Hdr(hdr),
        overwrite=overwrite,
    )
    with progress(f"inspecting {source.name}") as on_frame:
        report = inspect_source(source, target, options, on_frame=on_frame)
    for notice in report.notices:
        console.say(f"note: {notice}")
    for line in report.frames:
        console.say(line)
    for path in (report.output, *report.arrays):
        console.result(str(path))
