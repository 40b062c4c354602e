"""`vsrdb weights`: list, describe and import checkpoints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsrdb_cli.commands import console
from vsrdb_cli.errors import OptionError, VsrdbError

if TYPE_CHECKING:
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint


@click.group()
def weights() -> None:
    """List, describe and import checkpoints."""


@weights.command("import")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.safetensors",
    help="Write the checkpoint to this file instead; --weights then takes its path.",
)
@click.option(
    "--name",
    help="Name to use with --weights. The checkpoint is kept in $VSRDB_WEIGHTS or the user's data "
    "folder.  [default: fmanet]",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def import_(
    sources: tuple[Path, ...], output: Path | None, name: str | None, overwrite: bool
) -> None:
    """Import the weights that FMA-Net's authors released.

    SOURCES are model_D_best.pt and model_R_best.pt in any order, or a folder or zip archive that
    contains them.

    \b
    vsrdb weights import model_D_best.pt model_R_best.pt
    vsrdb restore in.mp4 out.mp4 --weights fmanet
    """
    from vsrdb_cli.checkpoints.registry import place_for_import
    from vsrdb_cli.checkpoints.released import NOTICE, import_released

    if name is not None and output is not None:
        raise OptionError("--name and -o cannot be used together", hint="omit one of them")
    name = "fmanet" if name is None else name
    target = place_for_import(name) if output is None else output
    checkpoint = import_released(sources, target, overwrite=overwrite)
    console.result(f"{target}: FMA-Net with {checkpoint.parameters:,} parameters, x4, RGB")
    value = name if output is None else output
    console.say(f"use it with: vsrdb restore in.mp4 out.mp4 --weights {shlex.quote(str(value))}")
    console.say(f"note: {NOTICE}")


@weights.command("list")
def list_() -> None:
    """List the names that --weights takes.

    --weights also takes the path of any .safetensors checkpoint.
    """
    from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
    from vsrdb_cli.checkpoints.registry import METHODS, bundled_models, imported_models

    table = console.PlainTable(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("parameters", no_wrap=True, justify="right")
    table.add_column("scale", no_wrap=True)
    table.add_column("licence", min_width=10)
    table.add_column("size", min_width=10, justify="right")
    table.add_column("SHA-256", no_wrap=True)
    table.add_column("description", min_width=16)
    damaged: list[VsrdbError] = []
    models = {
        model.name: (
            model.licence,
            f"{model.summary} (default)" if model.default else model.summary,
        )
        for model in bundled_models()
    }
    models |= {name: ("see info", f"imported: {path}") for name, path in imported_models().items()}
    for name, (licence, summary) in models.items():
        try:
            checkpoint = load_checkpoint(name)
        except VsrdbError as error:
            damaged.append(error)
            cells = [name, "", "", licence, "", "damaged", summary]
        else:
            size = console.human_bytes(checkpoint.path.stat().st_size)
            scale, start = f"x{checkpoint.config.scale}", checkpoint.sha256[:12]
            count = f"{checkpoint.parameters:,}"
            cells = [name, count, scale, licence, size, start, summary]
        table.add_row(*cells)
    for name, summary in METHODS.items():
        table.add_row(name, "none", "x4", "", "", "", summary)
    console.show(table)
    for reason in damaged:
        console.report(reason)
    if damaged:
        raise SystemExit(1)


@weights.command()
@click.argument("name_or_path", metavar="NAME|PATH")
def info(name_or_path: str) -> None:
    """Describe a checkpoint: configuration, licence, origin, SHA-256."""
    from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
    from vsrdb_cli.checkpoints.registry import METHODS

    if name_or_path in METHODS:
        facts = {
            "name": name_or_path,
            "description": METHODS[name_or_path],
            "parameters": "none",
            "scale": "4",
        }
    else:
        checkpoint = load_checkpoint(name_or_path)
        facts = _facts(checkpoint)
        for note in checkpoint.notes:
            console.say(f"note: {note}")
    width = max(map(len, facts)) + 2
    for key, value in facts.items():
        console.result(f"{key:{width}}{value}")


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    unknown = "not recorded"
    return {
        "name": checkpoint.name,
        "file": str(checkpoint.path),
        "size": console.human_bytes(checkpoint.path.stat().st_size),
        "SHA-256": checkpoint.sha256,
        "parameters": f"{checkpoint.parameters:,}",
        "scale": str(checkpoint.config.scale),
        "channel order": checkpoint.channel_order or unknown,
        "licence": checkpoint.licence or unknown,
        "origin": checkpoint.origin or unknown,
        "recipe": checkpoint.recipe or unknown,
        **{
            f"config.{name}": str(value)
            for name, value in checkpoint.config.to_dict().items()
            if name != "scale"
        },
    }
