"""`vsrdb export`: a checkpoint as files that other runtimes run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli import console

if TYPE_CHECKING:
    from vsrdb_cli.export.engine import Engine
    from vsrdb_cli.export.graph import Precision

FORMATS = ("onnx", "tensorrt", "tensorrt-rtx")


class SizeType(click.ParamType[tuple[int, int]]):
    """WxH -> (height, width)."""

    name = "WxH"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        if not (width.isdigit() and height.isdigit() and min(int(width), int(height)) >= 2):
            self.fail(f"'{value}' is no size such as 320x180 (from 2x2 up)", param, ctx)
        return int(height), int(width)


@click.command()
@click.option(
    "--weights",
    metavar="NAME|PATH",
    help="What to export: a name from `vsrdb weights list` or a .safetensors file.  "
    "[default: the bundled default]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="onnx: two graphs for ONNX Runtime and others; tensorrt, tensorrt-rtx: engines made of "
    "them.  [default: onnx, and tensorrt where it and a GPU are there]",
)
@click.option("--fp16", is_flag=True, help="Half precision, with float32 where it matters.")
@click.option(
    "--size",
    type=SizeType(),
    default="320x180",
    show_default=True,
    help="Size of picture or tile an engine is made for, in input pixels.",
)
@click.option("--min", "smallest", type=SizeType(), help="Smallest it takes.  [default: 32x32]")
@click.option("--max", "largest", type=SizeType(), help="Largest it takes.  [default: --size]")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files.  [default: where restore looks for them: $VSRDB_EXPORTS or "
    "~/.cache/vsrdb/exports]",
)
def export(
    *,
    weights: str | None,
    kind: str | None,
    fp16: bool,
    size: tuple[int, int],
    smallest: tuple[int, int] | None,
    largest: tuple[int, int] | None,
    folder: Path | None,
) -> None:
    """Write a checkpoint as ONNX graphs and TensorRT engines.

    Every file is compared with torch before it is kept. `vsrdb restore --backend onnxruntime`,
    `tensorrt` and `tensorrt-rtx` run them.

    \b
    vsrdb export                                       # ONNX, and an engine where that is possible
    vsrdb export --format tensorrt --fp16 --size 640x360
    """
    from vsrdb_cli.checkpoint import load_checkpoint
    from vsrdb_cli.errors import BackendError
    from vsrdb_cli.export.engine import make_sizes
    from vsrdb_cli.export.files import ExportFiles, default_folder
    from vsrdb_cli.export.to_onnx import export_onnx
    from vsrdb_cli.export.to_tensorrt import find_place
    from vsrdb_cli.registry import default_weights

    started = time.monotonic()
    sizes = make_sizes(size, smallest, largest)
    place = None
    if kind != "onnx":
        # Before the long work: whether the engine can be built here at all.
        try:
            place = find_place(kind or "tensorrt")
        except BackendError as error:
            if kind is not None:
                raise
            console.say(f"no engine: {error}; {error.hint}")
    checkpoint = load_checkpoint(weights or default_weights())
    precision: Precision = "float16" if fp16 else "float32"
    files = ExportFiles(folder or default_folder(), checkpoint.name, checkpoint.sha256, precision)
    agreements = export_onnx(checkpoint, files.folder, precision, on_step=console.say)
    for path in files.graphs:
        console.result(f"{path}  {console.human_bytes(path.stat().st_size)}")
    console.result(
        f"ONNX Runtime differs from torch in float32 by at most, {precision}: "
        + ", ".join(str(agreement) for agreement in agreements)
    )
    if place is not None:
        _engines(checkpoint, files, place, sizes)
    console.say(f"exported {checkpoint.name} in {time.monotonic() - started:.0f} s")


def _engines(checkpoint: Any, files: Any, place: Any, sizes: Any) -> None:
    import torch

    from vsrdb_cli.export.engine import engine_path
    from vsrdb_cli.export.files import GRAPHS
    from vsrdb_cli.export.to_tensorrt import build_engine, proven

    engine: Engine = build_engine(files, checkpoint.config, place, sizes, on_step=console.say)
    for graph in GRAPHS:
        path = engine_path(engine.path(files.folder), graph)
        console.result(f"{path}  {console.human_bytes(path.stat().st_size)}")
    if not torch.cuda.is_available():
        console.result("the engine's agreement with torch is measured where it first runs")
        return
    from vsrdb_cli.backends.trt import TrtRunner

    console.say("comparing the engine with torch")
    runner = TrtRunner(engine, files.folder, "cuda")
    measured = proven(engine, runner, checkpoint, files.folder).agreement
    text = ", ".join(f"{size}: {error:.1e}" for size, error in measured.items())
    console.result(f"the engine differs from torch in float32 by at most {text}")
