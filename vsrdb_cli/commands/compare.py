"""`vsrdb compare`: write a page that shows versions of a video side by side."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import progress
from vsrdb_cli.commands.click_options import restore_option
from vsrdb_cli.commands.lines import summary_of_page
from vsrdb_cli.names import fitting
from vsrdb_cli.option_values import Position

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.argument("truth", type=PATH, required=False)
@click.option(
    "-o",
    "--output",
    "page",
    type=PATH,
    metavar="PAGE.html",
    help="The page to write.  [default: AFTER's name with .html]",
)
@restore_option("start")
@restore_option("end")
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Number of frames to show.")
@restore_option(
    "hdr",
    choices=("refuse", "sdr"),
    help="How to compare HDR with SDR: refuse, or convert HDR to BT.709 first (sdr).",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
def compare(
    before: Path,
    after: Path,
    truth: Path | None,
    *,
    page: Path | None,
    start: Position | None,
    end: Position | None,
    frames: int | None,
    hdr: str,
    overwrite: bool,
) -> None:
    """Write a page that shows versions of a video frame by frame.

    The page shows BEFORE and AFTER with a wipe, frame stepping and a loupe, and how much each
    frame differs or, with TRUTH, how close to it each version is. Each is a video, a folder of
    pictures or a picture; BEFORE may be the low-resolution input. The page is a single file that
    works offline, also on a phone. Up to 8 frames are lossless; of more, the frames that differ
    most are lossless as long as the page stays small, and the others nearly so.

    \b
    vsrdb compare in.mp4 restored.mp4
    vsrdb compare in.mp4 restored.mp4 sharp.mp4 -o page.html --start 0:10 --end 0:20
    """
    from vsrdb_cli.comparison.compare import PageOptions, write_page
    from vsrdb_cli.options import Hdr

    page = page or Path(fitting(after.absolute().stem, ".html"))
    with progress(f"{before.name} and {after.name} → {page.name}") as on_frame:
        written = write_page(
            before,
            after,
            page,
            PageOptions(
                start=start,
                end=end,
                frames=frames,
                hdr=Hdr(hdr),
                overwrite=overwrite,
            ),
            truth=truth,
            on_progress=on_frame,
        )
    for notice in written.notices:
        console.say(f"note: {notice}")
    console.say(summary_of_page(written))
