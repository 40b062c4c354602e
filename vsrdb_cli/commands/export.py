"""`vsrdb export`: write a checkpoint as files for other runtimes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.click_options import Read, read_size, restore_option
from vsrdb_cli.errors import BackendError

if TYPE_CHECKING:
    from vsrdb_cli.backends.engine_files import Place, Sizes
    from vsrdb_cli.backends.exported_files import ExportFiles
    from vsrdb_cli.backends.graphs import Precision
    from vsrdb_cli.checkpoints.checkpoint import Checkpoint

FORMATS = ("onnx", "tensorrt", "tensorrt-rtx")
_SIZE = Read(read_size(2), "WxH")


@click.command()
@restore_option(
    "weights", help="Network to export: a name from `vsrdb weights list` or a .safetensors file."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="onnx: two graphs, for ONNX Runtime and other runtimes; tensorrt, tensorrt-rtx: engines "
    "built from them.  [default: onnx, and tensorrt where it and a GPU are available]",
)
@click.option("--fp16", is_flag=True, help="Use half precision, and float32 where it matters.")
@click.option(
    "--size",
    type=_SIZE,
    default="320x180",
    show_default=True,
    help="Size of picture or tile to build an engine for, in input pixels.",
)
@click.option("--min", "smallest", type=_SIZE, help="Smallest size it takes.  [default: 32x32]")
@click.option("--max", "largest", type=_SIZE, help="Largest size it takes.  [default: --size]")
@click.option(
    "--no-plugin",
    "plugins",
    flag_value=False,
    default=True,
    help="Build a TensorRT engine of standard operators only.  [default: with vsrdb's plugins, "
    "which are faster, where they can be used]",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files.  [default: the one that restore searches, $VSRDB_EXPORTS or "
    "~/.cache/vsrdb/exports]",
)
def export(
    *,
    weights: str,
    kind: str | None,
    fp16: bool,
    size: tuple[int, int],
    smallest: tuple[int, int] | None,
    largest: tuple[int, int] | None,
    plugins: bool,
    folder: Path | None,
) -> None:
    """Write a checkpoint as ONNX graphs and TensorRT engines.

    Compares every file with torch before keeping it. Run them with `vsrdb restore --backend
    onnxruntime`, `tensorrt` or `tensorrt-rtx`.

    \b
    vsrdb export                                       # ONNX, and an engine if possible
    vsrdb export --format tensorrt --fp16 --size 640x360
    """
    from vsrdb_cli.backends.engine_files import make_sizes
    from vsrdb_cli.backends.exported_files import ExportFiles, default_folder
    from vsrdb_cli.backends.tensorrt_library import find_place
    from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
    from vsrdb_cli.export.to_onnx import export_onnx

    started = time.monotonic()
    sizes = make_sizes(size, smallest, largest)
    checkpoint = load_checkpoint(weights)
    precision: Precision = "float16" if fp16 else "float32"
    files = ExportFiles.of(checkpoint, folder or default_folder(), precision)
    place = None
    if kind != "onnx":
        # Find out before the long work whether an engine can be built here.
        try:
            place = find_place(kind or "tensorrt")
        except BackendError as error:
            place_of_files = () if folder is None else ("-o", str(folder))
            command = files.command(kind or "tensorrt", *sizes.options, *place_of_files)
            if kind is not None:
                raise BackendError(str(error), hint=f"{error.hint}, then run: {command}") from None
            console.say(f"no engine: {error}; {error.hint}, then run: {command}")
    agreements = export_onnx(checkpoint, files.folder, precision, on_step=console.say)
    worst = max(agreements, key=lambda agreement: agreement.max_error)
    where = ", ".join(f"{agreement.width}x{agreement.height}" for agreement in agreements)
    done = [
        *map(_file, files.graphs),
        f"ONNX Runtime within {worst.max_error:.1e} of torch float32 ({worst.psnr:.0f} dB)"
        f" at {where}",
    ]
    if place is not None:
        done += _engine(checkpoint, files, place, sizes, plugins=plugins)
    seconds = time.monotonic() - started
    console.result(f"{checkpoint.name} in {precision}, {seconds:.0f} s: {'; '.join(done)}")


def _engine(
    checkpoint: Checkpoint, files: ExportFiles, place: Place, sizes: Sizes, *, plugins: bool
) -> list[str]:
    """Build an engine, and return its files with their sizes, and its agreement with torch."""
    from vsrdb_cli.backends.engine_files import engine_paths
    from vsrdb_cli.export.to_tensorrt import export_engine

    agreements = export_engine(
        checkpoint, files, place, sizes, plugins=plugins, on_step=console.say
    )
    _, *graphs = engine_paths(files, place, sizes)
    done = [_file(path) for path in graphs]
    if not agreements:
        return [*done, "the engine will be compared with torch when it first runs"]
    worst = max(agreements, key=lambda agreement: agreement.max_error)
    where = ", ".join(f"{a.width}x{a.height}" for a in agreements)
    return [*done, f"the engine within {worst.max_error:.1e} of torch float32"
            f" ({worst.psnr:.0f} dB) at {where}"]  # fmt: skip


def _file(path: Path) -> str:
    return f"{path} ({console.human_bytes(path.stat().st_size)})"
