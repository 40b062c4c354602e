"""Plot the scores of every frame."""

from __future__ import annotations

from pathlib import Path

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.evaluation.metrics import import_extra
from vsrdb_cli.evaluation.scores import Evaluation
from vsrdb_cli.files import check_file, whole

FORMATS = (".png", ".svg", ".pdf")
_INCHES_PER_CLIP, _INCHES_PER_METRIC, _FEWEST_INCHES = 3.2, 2.1, 7.0
_DOTS_PER_INCH = 110


def check_plot(path: Path, sources: list[Path]) -> None:
    """Check before the work that a plot can be written to `path`.

    Raises:
        OptionError: its extension is not one of FORMATS.
        OutputError: it is a source or in a source's folder of pictures, or not writable.
        VsrdbError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(
            f"{path.name}: unsupported plot extension '{path.suffix}'",
            hint=f"use one of: {' '.join(FORMATS)}",
        )
    for source in sources:
        check_file(path.absolute(), source, overwrite=True)
        if path.resolve().parent == source.resolve():
            raise OutputError(
                f"{path} would be read as a frame of {source} next time",
                hint="write the plot to another folder",
            )
    import_extra("matplotlib.figure")


def plot_scores(evaluation: Evaluation, path: Path) -> None:
    """Plot PSNR, SSIM and tOF of every clip; an existing file is replaced."""
    clips = len(next(iter(evaluation.methods.values())))
    size = max(_FEWEST_INCHES, clips * _INCHES_PER_CLIP), 3 * _INCHES_PER_METRIC
    figure = import_extra("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots(3, clips, squeeze=False, sharex="col", sharey="row")
    for method, scored in evaluation.methods.items():
        for column, clip in enumerate(scored):
            frames = range(clip.first, clip.first + len(clip.frames))
            values: dict[str, list[float | None]] = {
                "PSNR (dB), higher is better": [score.psnr for score in clip.frames],
                "SSIM, higher is better": [score.ssim for score in clip.frames],
                "tOF (pixels), lower is better": [score.tof for score in clip.frames],
            }
            axes[0, column].set_title(clip.name, fontsize="small")
            axes[2, column].set_xlabel("frame")
            axes[2, column].xaxis.get_major_locator().set_params(integer=True)
            for row, (metric, points) in enumerate(values.items()):
                axes[row, column].plot(
                    frames,
                    [float("nan") if point is None else point for point in points],
                    label=method,
                    marker="." if len(frames) < 60 else "",
                )
                axes[row, column].grid(alpha=0.3)
                axes[row, 0].set_ylabel(metric.replace(", ", "\n"))
    if len(evaluation.methods) > 1:
        axes[0, 0].legend()
    with whole(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=_DOTS_PER_INCH)
