"""`vsrdb evaluate`: measure restored video against the truth, as a table, JSON or a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import progress
from vsrdb_cli.errors import OptionError

if TYPE_CHECKING:
    from vsrdb_cli.evaluation.scores import Evaluation, Score

PATH = click.Path(path_type=Path)
_TABLE_9_WIDTH = 141  # with three numbers to a line


@click.command()
@click.argument("restored", type=PATH)
@click.argument("ground_truth", type=PATH, required=False)
@click.option(
    "--input",
    "lr",
    type=PATH,
    metavar="LR",
    help="The low-resolution input of RESTORED, for --baseline.",
)
@click.option(
    "--baseline",
    type=click.Choice(["bicubic"]),
    help="Also score bicubic enlargement of --input; implied by --input.",
)
@click.option(
    "--reds4",
    type=PATH,
    metavar="ROOT",
    help="Instead of GROUND_TRUTH: a folder with the REDS clips 000, 011, 015 and 020, as "
    "ROOT/000/00000000.png and so on. RESTORED and --input must have the same four folders. Prints "
    "Table 9 of the FMA-Net paper with this restoration beside the paper's numbers.",
)
@click.option(
    "--all-frames", is_flag=True, help="Score the first and last frame of every clip too."
)
@click.option("--summary", is_flag=True, help="Print only the means, not every frame.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object, with scores per frame and means.",
)
@click.option(
    "--plot", type=PATH, metavar="FILE.png", help="Draw quality per frame (.png, .svg or .pdf)."
)
def evaluate(
    restored: Path,
    ground_truth: Path | None,
    *,
    lr: Path | None,
    baseline: str | None,
    reds4: Path | None,
    all_frames: bool,
    summary: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure RESTORED against GROUND_TRUTH: PSNR, SSIM and tOF.

    Both are videos, folders of pictures, or folders of clips (subfolders of pictures, or videos)
    with the same names. Measures RGB as the FMA-Net paper does: 4 pixels are cut on each side, and
    the first and last frame of every clip are left out. tOF is the difference between the motion
    and the truth's, in pixels: the lower, the steadier.

    \b
    vsrdb evaluate restored.mp4 sharp.mp4 --input blurry.mp4
    vsrdb evaluate restored/ sharp/ --json > scores.json
    vsrdb evaluate restored/ --reds4 REDS/val/val_sharp
    """
    from vsrdb_cli.evaluation.pairs import find_clips
    from vsrdb_cli.evaluation.plot import check_plot, plot_scores
    from vsrdb_cli.evaluation.reds4 import not_comparable, paper_as_json, reds4_clips
    from vsrdb_cli.evaluation.scores import END_FRAMES
    from vsrdb_cli.evaluation.scores import evaluate as score

    truth = _truth(ground_truth, reds4)
    if baseline and lr is None:
        raise OptionError(
            f"--baseline {baseline} has nothing to enlarge",
            hint="add --input with the low-resolution video that was restored",
        )
    if plot:
        check_plot(plot, [path for path in (restored, truth, lr) if path])
    clips = (reds4_clips if reds4 else find_clips)(restored, truth, lr)
    with progress(f"{restored.name} against {truth.name}") as on_frame:
        evaluation = score(
            clips,
            baseline="bicubic" if lr else None,
            end_frames=0 if all_frames else END_FRAMES,
            on_progress=on_frame,
        )
    notices = [*evaluation.notices, *(not_comparable(evaluation) if reds4 else ())]
    for notice in notices:
        console.say(f"note: {notice}")
    if plot:
        plot_scores(evaluation, plot)
        console.say(f"{plot}: quality per frame")
    if as_json:
        sources = {"restored": restored, "ground_truth": truth, "input": lr}
        data: dict[str, Any] = {name: path and str(path) for name, path in sources.items()}
        data |= evaluation.as_json(summary=summary) | {"notices": notices}
        if reds4:
            data["paper"] = paper_as_json()
        console.json_result(data, indent=2, allow_nan=False)
    else:
        console.show(_table_9(evaluation) if reds4 else _table(evaluation, summary=summary))


def _truth(ground_truth: Path | None, reds4: Path | None) -> Path:
    if ground_truth and reds4:
        raise OptionError(
            f"the ground truth is given twice: {ground_truth} and --reds4 {reds4}",
            hint="omit one of them",
        )
    truth = ground_truth or reds4
    if truth is None:
        raise OptionError(
            "GROUND_TRUTH is missing",
            hint="vsrdb evaluate RESTORED GROUND_TRUTH, or RESTORED --reds4 ROOT",
        )
    return truth


def _caption(evaluation: Evaluation) -> str:
    left_out = f"{evaluation.end_frames} frame left out at each end of a clip"
    return f"RGB, 4 pixels cut on each side; {left_out if evaluation.end_frames else 'all frames'}"


def _table(evaluation: Evaluation, *, summary: bool) -> console.PlainTable:
    """Return a table of a clip's frames, or of several clips; every method is a column."""
    methods = list(evaluation.methods)
    clips = evaluation.methods[methods[0]]
    table = console.PlainTable(caption=_caption(evaluation), caption_justify="left")
    table.add_column("frame" if len(clips) == 1 else "clip", justify="right")
    for method in methods:
        for metric in ("PSNR ↑", "SSIM ↑", "tOF ↓"):
            table.add_column((method, metric), justify="right")
    if len(methods) > 1:
        table.add_column(("gain", "dB"), justify="right")

    def add(name: str, scores: list[Score]) -> None:
        cells = [cell for score in scores for cell in _cells(score, tof_digits=3)]
        if len(scores) > 1:
            cells.append(f"{scores[0].psnr - scores[1].psnr:+.2f}")
        table.add_row(name, *cells)

    if len(clips) > 1:
        for index, clip in enumerate(clips):
            add(clip.name, [evaluation.methods[method][index].mean for method in methods])
    elif not summary:
        columns = [evaluation.methods[method][0].frames for method in methods]
        for index, scores in enumerate(zip(*columns, strict=True), clips[0].first):
            add(str(index), list(scores))
    table.add_section()
    add("mean", [evaluation.mean(method) for method in methods])
    return table


def _table_9(evaluation: Evaluation) -> console.PlainTable:
    """Return a table as in the paper: methods down, clips across, PSNR / SSIM / tOF in a cell."""
    from vsrdb_cli.evaluation.reds4 import TABLE_9

    narrow = console.results.is_terminal and console.results.width < _TABLE_9_WIDTH
    table = console.PlainTable(
        title="REDS4, x4 video super-resolution and deblurring",
        caption=f"PSNR ↑ / SSIM ↑ / tOF ↓; {_caption(evaluation)}",
        caption_justify="left",
        show_lines=narrow,
    )
    table.add_column("method")
    names = [clip.name for clip in next(iter(evaluation.methods.values()))]
    for name in [*(f"CLIP {name}" for name in names), "Average"]:
        table.add_column(name, justify="right", no_wrap=True)

    def cell(score: Score) -> Sequence[str]:
        return _cells(score) if narrow else (" / ".join(_cells(score)),)

    for row in TABLE_9:
        scores = [*row.clips, row.average]
        table.add_row(f"{row.method} (paper)", *map(cell, scores))
    table.add_section()
    for method, clips in evaluation.methods.items():
        scores = [*(clip.mean for clip in clips), evaluation.mean(method)]
        table.add_row(method, *map(cell, scores))
    return table


def _cells(score: Score, *, tof_digits: int = 2) -> tuple[str, str, str]:
    tof = "-" if score.tof is None else f"{score.tof:.{tof_digits}f}"
    return f"{score.psnr:.2f}", f"{score.ssim:.4f}", tof
