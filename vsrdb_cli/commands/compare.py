"""`vsrdb compare`: a page that shows two versions of a video side by side."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.display import summary_of_page
from vsrdb_cli.commands.position import position
from vsrdb_cli.names import fitting

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
    help="The page to write; AFTER's name with .html if omitted.",
)
@click.option("--start", metavar="TIME", help="Show from here on: 90.5, 0:01:30 or a frame, 2250f.")
@click.option("--end", metavar="TIME", help="Show what comes before this time or frame.")
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Show so many frames.")
@click.option(
    "--hdr",
    type=click.Choice(["refuse", "sdr"]),
    default="refuse",
    show_default=True,
    help="What to do where HDR is compared with SDR: sdr converts HDR to BT.709 first.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
def compare(
    before: Path,
    after: Path,
    truth: Path | None,
    *,
    page: Path | None,
    start: str | None,
    end: str | None,
    frames: int | None,
    hdr: str,
    overwrite: bool,
) -> None:
    """Write a page that shows BEFORE and AFTER, and perhaps the TRUTH, frame by frame.

    Wipe over the moving picture, step, look through a loupe, and see how much every frame differs
    or, with TRUTH, how close to it each comes. All are videos, folders of pictures or pictures;
    BEFORE may be the low-resolution input. The page is one file that needs no network, also on a
    phone. Up to 8 frames are lossless; of more, those that differ most are as far as the page
    stays small, and the others compressed so well that it hardly shows.

    \b
    vsrdb compare in.mp4 restored.mp4
    vsrdb compare in.mp4 restored.mp4 sharp.mp4 -o page.html --start 0:10 --end 0:20
    """
    from vsrdb_cli.comparison.compare import PageOptions, write_page
    from vsrdb_cli.options import Hdr

    page = page or Path(fitting(after.absolute().stem, ".html"))
    with console.progress(f"{before.name} and {after.name} → {page.name}") as on_frame:
        written = write_page(
            before,
            after,
            page,
            PageOptions(
                start=position("--start", start),
                end=position("--end", end),
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
