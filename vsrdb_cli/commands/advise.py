"""`vsrdb advise`: whether restoring is worth its hours, and the command to run next."""

from __future__ import annotations

from pathlib import Path

import click

from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.commands import console


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--weights",
    default=default_weights(),
    show_default=True,
    metavar="NAME|PATH",
    help="The network: a name from `vsrdb weights list` or a .safetensors file.",
)
@click.option(
    "--hdr",
    type=click.Choice(["refuse", "keep", "sdr"]),
    default="refuse",
    show_default=True,
    help="What to do with HDR video, as in `vsrdb restore`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for other programs.")
def advise(source: Path, *, weights: str, hdr: str, as_json: bool) -> None:
    """Say whether restoring SOURCE is worth it, before hours are spent.

    Looks at three places of it: real resolution, blur, noise, blocks, interlacing, banding, light,
    repeated frames, motion. Restores a part of each on the CPU, and tests whether the result,
    degraded again by the network's own kernels, agrees with the source. Marks with ! what speaks
    against it. docs/ADVISE.md tells how the verdicts were calibrated.

    \b
    vsrdb advise in.mp4
    """
    with console.waiting(f"looking at {source.name}"):
        from vsrdb_cli.advice.advise import advise as advice_on
        from vsrdb_cli.options import Hdr

        advice = advice_on(source, weights, hdr=Hdr(hdr))
    if as_json:
        console.json_result(advice.as_json())
        return
    for notice in advice.notices:
        console.say(f"note: {notice}")
    low, high = advice.verdict.usual_gain
    console.result(f"{advice.verdict.value}: clips like it gain {low:+.1f} to {high:+.1f} dB")
    for finding in advice.findings:
        mark = "!" if finding.is_reason else " "
        console.result(f"{mark} {finding.name:11} {finding.text}")
    console.result(f"next: {advice.command}")
