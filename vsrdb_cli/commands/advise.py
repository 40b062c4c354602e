"""`vsrdb advise`: estimate whether restoring a video is worth the time."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import waiting
from vsrdb_cli.commands.click_options import WEIGHTS_HELP, restore_option


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@restore_option("weights", help=WEIGHTS_HELP)
@restore_option("hdr", help="What to do with HDR video, as in `vsrdb restore`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for other programs.")
def advise(source: Path, *, weights: str, hdr: str, as_json: bool) -> None:
    """Estimate whether restoring SOURCE is worth the time.

    Measures real resolution, black bars, blur, noise, blocks, interlacing, banding, light, repeated
    frames and motion at three places of the video, and proposes filters for what the network cannot
    restore. Restores a part of each place on the CPU, and tests whether the result, degraded again
    by the network's own kernels, agrees with its input. ! marks what is beyond the usual.
    docs/ADVISE.md explains how the verdicts were calibrated.

    \b
    vsrdb advise in.mp4
    """
    with waiting(f"examining {source.name}"):
        from vsrdb_cli.advice.advise import advise as advice_on
        from vsrdb_cli.options import Hdr

        advice = advice_on(source, weights, hdr=Hdr(hdr))
    if as_json:
        console.json_result(advice.as_json())
        return
    for notice in advice.notices:
        console.say(f"note: {notice}")
    low, high = advice.verdict.usual_gain
    console.result(f"{advice.verdict.value}: similar clips gain {low:+.1f} to {high:+.1f} dB")
    for finding in advice.findings:
        mark = "!" if finding.is_reason else " "
        console.result(f"{mark} {finding.name:11} {finding.text}")
    console.result(f"next: {advice.command}")
